"""`make demo CLUSTER=current` on a cluster that is there already, which pulls from a registry that runs in it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catchup_dev import demo, images, own_cluster, places
from catchup_dev.binaries import ensure
from catchup_dev.cluster import Cluster
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.processes import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

# One cluster of its own.
pytestmark = [pytest.mark.xdist_group("own-cluster"), pytest.mark.release]

_DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -qq \\
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY registry.yml /
CMD ["docker-registry", "serve", "/registry.yml"]
"""
_CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: /tmp/registry}}
http: {addr: ":5000"}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(f"own-{os.getpid()}", tmp_path, node=True, helm=True)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def registry(theirs: Cluster, tmp_path: Path) -> str:
    """The address of a registry that runs as a pod, which the node pulls from and this machine pushes to."""
    context = tmp_path / "registry"
    context.mkdir()
    (context / "Dockerfile").write_text(_DOCKERFILE)
    (context / "registry.yml").write_text(_CONFIG)
    image = images.build_image("registry", context / "Dockerfile", context)
    images.import_image(theirs, image)
    theirs.kubectl("run", "registry", f"--image={image.reference}", "--image-pull-policy=Never", "--port=5000")
    theirs.kubectl("expose", "pod", "registry", "--port=5000")
    theirs.kubectl("wait", "--for=condition=Ready", "pod/registry", "--timeout=120s")
    address = theirs.kubectl("get", "service", "registry", "--output=jsonpath={.spec.clusterIP}:5000")
    hosts = theirs.layout.registries / address / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(f'[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n')
    return address


def objects(cluster: Cluster) -> set[str]:
    """Return the names of all that the demo could have made outside of its namespaces, and of namespaces."""
    kinds = (
        "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,priorityclasses,storageclasses,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    return set(cluster.kubectl("get", kinds, "--output=name").split())


def test_the_demo_runs_on_the_current_context_and_takes_everything_back(
    theirs: Cluster,
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A demo that runs from this checkout keeps its own notes.
    notes = CHECKOUT / ".local" / f"demo-{secrets.token_hex(4)}"
    monkeypatch.setattr(places, "_NOTE", notes / "place.json")
    monkeypatch.setattr(own_cluster.OwnCluster, "directory", notes)
    for module in (places, demo):
        monkeypatch.setattr(module, "OUTBOX", notes / "outbox")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("kubectl", "helm"):
        (tools / name).symlink_to(ensure([name])[name])
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(theirs.kubeconfig))
    # Their cluster has no way to the registries where the chart's own images of these two are.
    chosen = {}
    for component, name in (("postgresql", "postgres"), ("redis", "redis")):
        image = images.known_image(name)
        images.import_image(theirs, image)
        repository, _, tag = image.reference.rpartition(":")
        chosen[component] = {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}}
    values = tmp_path / "values.json"
    values.write_text(json.dumps(chosen))
    before = objects(theirs)
    try:
        place = ["--cluster=current", f"--registry=http://{registry}/team", f"--values={values}"]
        status = demo.main(["up", *place])
        told = capsys.readouterr()
        assert status == 0, told.err[-3000:] + told.out[-3000:]
        assert "On your cluster, the context" in told.err
        assert ".eml   to grace@example.com" in told.out  # an SMS waits at night
        assert "NEXT-DIGEST" in told.out
        pods = json.loads(theirs.kubectl("get", "pods", "-A", "--output=json"))["items"]
        ours = {
            container["image"].partition("/catchup-")[0]
            for pod in pods
            if pod["metadata"]["namespace"].startswith("catchup-demo")
            for container in pod["spec"]["containers"]
            if "postgres" not in container["image"] and "redis" not in container["image"]
        }
        assert ours == {f"{registry}/team"}
        assert len(objects(theirs) - before) > 3

        # Without a word about where: it knows which cluster it is on.
        assert demo.main(["down"]) == 0
        deadline = time.monotonic() + 60
        while objects(theirs) != before and time.monotonic() < deadline:
            time.sleep(0.5)
        assert objects(theirs) == before
        assert not (notes / "place.json").exists()
    finally:
        for name in ("google", "twilio", "smtp"):
            Daemon(f"forward-{name}", notes).stop()
        shutil.rmtree(notes, ignore_errors=True)
