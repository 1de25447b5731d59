"""The chart as a package in a registry, as a platform's team mirrors it."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from integration.operator.conftest import CHART, Namespace
from registry import registry

if TYPE_CHECKING:
    from collections.abc import Callable

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("chart")

VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]


@pytest.fixture
def run(helm: Path, namespace: Namespace, tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        own = {"HELM_REGISTRY_CONFIG": str(tmp_path / "helm-registry.json"), "HELM_CACHE_HOME": str(tmp_path / "cache")}
        env = {**os.environ, **own, "KUBECONFIG": str(namespace.cluster.kubeconfig)}
        command = [str(helm), *arguments, f"--namespace={namespace.name}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def test_the_chart_is_packaged_pushed_and_installed_from_a_registry(
    run: Callable[..., str], namespace: Namespace, tmp_path: Path
) -> None:
    run("package", str(CHART), f"--destination={tmp_path}")
    package = tmp_path / f"catchup-jobs-{VERSION}.tgz"
    with registry(tmp_path) as found:
        place = f"oci://{found.address}/charts"
        pushed = run("push", str(package), place, "--plain-http")
        manifest = found.read(f"charts/catchup-jobs/manifests/{VERSION}")
        assert manifest["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
        assert manifest["annotations"]["org.opencontainers.image.version"] == VERSION
        values = ["--set=generateSecrets=true,crds.enabled=false", "--no-hooks"]
        at = re.findall(r"Digest: (sha256:\w+)", pushed)
        run("install", "mirrored", f"{place}/catchup-jobs@{at[0]}", f"--version={VERSION}", "--plain-http", *values)
    release = yaml.safe_load(run("status", "mirrored", "--output=yaml"))
    assert release["info"]["status"] == "deployed"
    assert namespace.kubectl("get", "deployment", "mirrored-catchup-jobs-operator")


def test_the_package_holds_all_that_is_kept_of_the_chart_and_nothing_else(
    run: Callable[..., str], tmp_path: Path
) -> None:
    run("package", str(CHART), f"--destination={tmp_path}")
    with tarfile.open(tmp_path / f"catchup-jobs-{VERSION}.tgz") as tar:
        names = {name.removeprefix("catchup-jobs/") for name in tar.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=CHART, capture_output=True, text=True, check=True)
    assert names == set(tracked.stdout.split())
    assert {"README.md", "values.schema.json", "Chart.yaml"} <= names
