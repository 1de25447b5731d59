"""The definitions as part of a release: taken over for real, upgraded, left at an uninstall, with resources alive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.operator.conftest import CHART, ROOT, Namespace
from waiting import await_established, eventually

from catchup_dev.cluster import Cluster

# An API server of its own: the other tests stand on definitions that no release has.
pytestmark = [pytest.mark.xdist_group("definitions"), pytest.mark.release]

DEFINITIONS = ("userschedules.catchup.dev", "schedulepools.catchup.dev")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Namespace]:
    """A namespace of a cluster where the definitions were applied by hand."""
    cluster = Cluster(f"crd-{os.getpid()}", tmp_path / "cluster", node=False)
    cluster.up()
    try:
        cluster.kubectl("apply", "-f", str(ROOT / "crds"))
        for name in DEFINITIONS:
            await_established(cluster, name)
        eventually(lambda: cluster.kubectl("get", "userschedules,schedulepools", "-A") is not None)
        yield Namespace.make(cluster)
    finally:
        cluster.down()


def test_a_release_takes_them_over_upgrades_and_leaves_them_and_no_resource_is_lost(
    own: Namespace, helm: Path, tmp_path: Path
) -> None:
    def run(verb: str, *arguments: str, code: int = 0) -> str:
        where = [f"--namespace={own.name}", f"--kubeconfig={own.cluster.kubeconfig}"]
        # There is no node: a hook's pod would not end.
        done = subprocess.run(
            [str(helm), verb, "catchup-jobs", *arguments, "--no-hooks", *where],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    def uids() -> set[str]:
        items = json.loads(own.kubectl("get", "userschedules,schedulepools", "-o", "json"))["items"]
        return {item["metadata"]["uid"] for item in items}

    def owner() -> set[tuple[str, str]]:
        found = json.loads(own.cluster.kubectl("get", "crd", *DEFINITIONS, "-o", "json"))["items"]
        metadata = [each["metadata"] for each in found]
        return {
            (
                each.get("annotations", {}).get("meta.helm.sh/release-name", ""),
                each.get("labels", {}).get("app.kubernetes.io/version", ""),
            )
            for each in metadata
        }

    own.apply("ada")
    own.apply_pool("people")
    alive = uids()
    assert len(alive) == 2
    values = ["--set=generateSecrets=true"]
    assert "applied by hand" in run("install", str(CHART), *values, code=1)
    taken = (*values, "--take-ownership", "--set=crds.takeOwnership=true")
    assert 'conflict with "kubectl' in run("install", str(CHART), *taken, code=1)
    run("uninstall")  # what that left
    assert uids() == alive
    run("install", str(CHART), *taken, "--force-conflicts")
    assert owner() == {("catchup-jobs", "0.1.0")}
    assert uids() == alive

    newer = tmp_path / "newer"
    shutil.copytree(CHART, newer)
    about = newer / "Chart.yaml"
    about.write_text(about.read_text().replace("0.1.0", "0.2.0"))
    run("upgrade", str(newer), *values)
    assert owner() == {("catchup-jobs", "0.2.0")}
    assert uids() == alive
    own.apply("bob")

    run("rollback", "1")
    assert owner() == {("catchup-jobs", "0.1.0")}
    run("uninstall")
    assert len(uids()) == 3
    run("install", str(CHART), *values)  # its own from before
    assert owner() == {("catchup-jobs", "0.1.0")}
    assert uids() > alive
