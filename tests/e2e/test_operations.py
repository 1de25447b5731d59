"""`docs/operations.md` from the first installation to the last removal, as it stands, on a cluster of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catchup_dev import images
from catchup_dev.binaries import ensure
from catchup_dev.cluster import Cluster
from catchup_dev.console import Console
from catchup_dev.stack import build_images

# One test with a cluster of its own.
pytestmark = pytest.mark.xdist_group("operations")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations.md"
# What the reader sets, and what needs a daemon and a registry of the reader's (tests/integration has the chart's part).
_OWN = "export NAMESPACE="
# In the order of the page.
_ELSEWHERE = ("docker build", "apiVersion: cert-manager.io/v1")
_SECRET = "try-out"
_SERVERS: dict[str, dict[str, Any]] = {
    "postgres": {
        "port": 5432,
        "env": [
            {"name": name, "value": value}
            for name, value in {
                "POSTGRES_USER": "catchup",
                "POSTGRES_PASSWORD": _SECRET,
                "POSTGRES_DB": "catchup",
                "PGDATA": "/var/lib/postgresql/data/pgdata",
            }.items()
        ],
    },
    "redis": {"port": 6379, "args": ["--requirepass", _SECRET]},
}
# Kinds of the Prometheus operator, whose definitions the page's cluster has.
_MONITORING = {"servicemonitors": "ServiceMonitor", "podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}


def blocks() -> list[tuple[str, str]]:
    """Return language and text of each block of the page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_is_of_the_session_but_those_that_need_a_registry_or_cert_manager() -> None:
    elsewhere = [text.partition("\n")[0] for language, text in blocks() if language != "sh"]
    assert [line[: len(begin)] for line, begin in zip(elsewhere, _ELSEWHERE, strict=True)] == list(_ELSEWHERE)
    assert [text for _, text in blocks() if text.startswith(_OWN)] == [blocks()[0][1]]


def _definition(plural: str, kind: str) -> dict[str, Any]:
    group = "monitoring.coreos.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _server(name: str, image: str) -> list[dict[str, Any]]:
    port = _SERVERS[name]["port"]
    container = {"name": "main", "image": image, **{k: v for k, v in _SERVERS[name].items() if k != "port"}}
    metadata = {"name": name, "namespace": "servers", "labels": {"server": name}}
    spec = {"containers": [container], "securityContext": {"runAsUser": 999, "fsGroup": 999}}
    service = {"selector": {"server": name}, "ports": [{"port": port}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A cluster with a PostgreSQL and a Redis that are the reader's; the environment of the session."""
    cluster = Cluster(f"operations-{os.getpid()}", tmp_path, node=True, helm=True)
    try:
        cluster.up()
        built = build_images(Console(quiet=True))
        for image in built.values():
            images.import_image(cluster, image)
        cluster.kubectl("create", "namespace", "servers")
        objects = [_definition(*names) for names in _MONITORING.items()]
        objects += [part for name in _SERVERS for part in _server(name, built[name].reference)]
        cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
        cluster.kubectl("-n", "servers", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
        address = {
            name: cluster.kubectl("-n", "servers", "get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
            for name in _SERVERS
        }
        chosen = {}
        for name in ("operator", "jobs"):
            repository, _, tag = built[name].reference.rpartition(":")
            chosen[name] = {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}}
        (tmp_path / "values.json").write_text(json.dumps(chosen))
        folder = ensure(["kubectl"])["kubectl"].parent
        helm = ensure(["helm"])["helm"].parent
        yield {
            "PATH": f"{folder}:{helm}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "KUBECONFIG": str(cluster.kubeconfig),
            "NAMESPACE": "catchup",
            "VALUES": str(tmp_path / "values.json"),
            "DATABASE_URL": f"postgresql://catchup:{_SECRET}@{address['postgres']}:5432/catchup",
            "REDIS_URL": f"redis://:{_SECRET}@{address['redis']}:6379/0",
            "GOOGLE_CLIENT_ID": "id",
            "GOOGLE_CLIENT_SECRET": "secret",
            "CA_FILE": str(cluster.layout.pki / "ca.crt"),
        }
    finally:
        cluster.down()


@pytest.mark.release
def test_the_session_of_the_page_runs_as_it_stands_and_leaves_nothing(session: dict[str, str], tmp_path: Path) -> None:
    # It writes files: into a tree that has what it names.
    for name in ("helm", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = "".join(text for language, text in blocks() if language == "sh" and not text.startswith(_OWN))
    checks = "kubectl get namespaces -o name; kubectl get crd -o name; kubectl get cronjobs -A -o name; helm list -A -q"
    script = f"set -euo pipefail\nset -x\n{text}\nset +x\n{{ {checks}; }} > left\n"
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=session,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    told = (tmp_path / "log").read_text()
    assert done.returncode == 0, told[-3000:]
    left = (tmp_path / "left").read_text()
    assert "catchup" not in left
    assert "people" not in left
    assert told.count("job.batch/ada-now condition met") == 1
    assert "Rollback was a success" in told
    # After the restoration: all users, each with a schedule whose uid is another.
    restored = told.rpartition("pg_restore")[2]
    assert all(f"userschedule.catchup.dev/{user} condition met" in restored for user in ("ada", "grace", "zaha"))
