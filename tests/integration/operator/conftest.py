"""A real API server, etcd and controller manager for each session, and a namespace for each test."""

from __future__ import annotations

import os
import re
import secrets
import time
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import yaml
from integration.operator.operator_process import OperatorProcess
from integration.operator.operator_process import operator_process as operator_in_a_process
from integration.services import free_port
from kopf.testing import KopfRunner
from waiting import await_established, eventually

from catchup_contract.kinds import SYNC, Kind
from catchup_contract.local_time import is_time_zone
from catchup_dev.binaries import ensure
from catchup_dev.cluster import Cluster, Failure
from catchup_dev.console import Console
from catchup_operator.schedule import clock_changes, cron

ROOT = Path(__file__).parents[3]
JOB_TEMPLATE = {
    "image": "catchup-jobs:test",
    "env": [{"name": "CATCHUP_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}}],
}
_GROUPS = {
    "userschedules": "/apis/catchup.dev/v1alpha1",
    "schedulepools": "/apis/catchup.dev/v1alpha1",
    "cronjobs": "/apis/batch/v1",
    "jobs": "/apis/batch/v1",
    "pods": "/api/v1",
    "events": "/api/v1",
    "configmaps": "/api/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "resourcequotas": "/api/v1",
}
CHART = ROOT / "helm/catchup-jobs"
# Without deletions: those are the namespace controller's, since the operator may not delete.
WRITES = ("APPLY", "PATCH", "POST", "PUT")


@pytest.fixture(scope="module")
def zones_of_the_images() -> Iterator[None]:
    """Let Python read the zones from PyPI's tzdata, as in the images."""

    def forget() -> None:
        ZoneInfo.clear_cache()
        for cached in (is_time_zone, cron._local_time_schedule, clock_changes.jumps, clock_changes.offsets):
            cached.cache_clear()

    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([])
    forget()
    yield
    zoneinfo.reset_tzpath(before)
    forget()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(f"op-{os.getpid()}", tmp_path_factory.mktemp("cluster"), node=False)
    found.up()
    try:
        found.kubectl("apply", "-f", str(ROOT / "crds"))
        for plural in ("userschedules", "schedulepools"):
            await_established(found, f"{plural}.catchup.dev")
            eventually(lambda plural=plural: found.kubectl("get", plural, "-A") is not None)  # type: ignore[misc]
        yield found
    finally:
        found.down()


@pytest.fixture(scope="session")
def helm() -> Path:
    return ensure(["helm"], Console())["helm"]


@dataclass(frozen=True)
class Namespace:
    """The namespace of one test, changed as a user does it with kubectl, which takes a fifth of a second of CPU."""

    cluster: Cluster
    name: str

    @classmethod
    def make(cls, cluster: Cluster, prefix: str = "t") -> Namespace:
        """Make one."""
        found = cls(cluster, f"{prefix}-{secrets.token_hex(4)}")
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found.name}}
        cluster.request("POST", "/api/v1/namespaces", document)
        return found

    def delete(self) -> None:
        """Delete it, if it is there; the namespace controller takes its time for that."""
        with suppress(Failure):
            self.cluster.request("DELETE", f"/api/v1/namespaces/{self.name}")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", self.name, *arguments, stdin=stdin)

    def apply(self, name: str = "ada", **spec: Any) -> None:
        self._apply("UserSchedule", "userschedules", name, {"userId": name, **spec})

    def apply_younger(self, name: str = "ada", **spec: Any) -> None:
        """Apply a UserSchedule that is younger than every one before: creation times have a second's resolution."""
        time.sleep(1.1)
        self.apply(name, **spec)

    def make_owner(self, name: str) -> dict[str, Any]:
        """Make a ConfigMap; return the owner reference to it."""
        self.kubectl("create", "configmap", name)
        uid = self.get("configmaps", name)["metadata"]["uid"]
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}

    def apply_pool(self, name: str = "people", **spec: Any) -> None:
        self._apply("SchedulePool", "schedulepools", name, spec)

    def _apply(self, kind: str, plural: str, name: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": "catchup.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.cluster.request(
            "PATCH",
            f"{self._path(plural)}/{name}?fieldManager=kubectl&force=true&fieldValidation=Strict",
            document,
            content_type="application/apply-patch+yaml",
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.cluster.read(f"{self._path(kind)}/{name}")

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        found: list[dict[str, Any]] = self.cluster.read(self._path(kind) + query)["items"]
        return found

    def _path(self, kind: str) -> str:
        return f"{_GROUPS[kind]}/namespaces/{self.name}/{kind}"

    def schedule(self, name: str = "ada") -> dict[str, Any]:
        return self.get("userschedules", name)

    def ready(self, name: str = "ada") -> dict[str, Any]:
        """Wait until the newest generation is Ready; return the resource."""
        return self._ready("userschedules", name)

    def ready_pool(self, name: str = "people") -> dict[str, Any]:
        return self._ready("schedulepools", name)

    def _ready(self, plural: str, name: str) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            found = self.get(plural, name)
            status = found.get("status") or {}
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return found if current and status["conditions"][0]["status"] == "True" else None

        return eventually(probe)

    def cronjob(self, kind: Kind = SYNC) -> dict[str, Any]:
        (found,) = self.items("cronjobs", f"catchup.dev/job={kind}")
        return found

    def reads(self, resource: str) -> int:
        """The API server's own count of reads of single objects."""
        return self._count(lambda labels: labels["resource"] == resource and labels["verb"] == "GET")

    def writes(self) -> int:
        """The API server's own count of writes to CronJobs and the statuses of both resources, controllers' apart."""
        ours = {("cronjobs", ""), ("userschedules", "status"), ("schedulepools", "status")}
        return self._count(
            lambda labels: (labels["resource"], labels["subresource"]) in ours and labels["verb"] in WRITES
        )

    def applies(self, resource: str) -> int:
        """The API server's own count of server-side applies to a resource."""
        return self._count(lambda labels: labels["resource"] == resource and labels["verb"] == "APPLY")

    def _count(self, wanted: Callable[[dict[str, str]], bool]) -> int:
        # The server counts a request a moment after it has answered it.
        found = self._counted(wanted)
        while True:
            time.sleep(0.05)
            before, found = found, self._counted(wanted)
            if found == before:
                return found

    def _counted(self, wanted: Callable[[dict[str, str]], bool]) -> int:
        total = 0
        pattern = re.compile(r'(\w+)="([^"]*)"')
        for line in self.cluster.request("GET", "/metrics").splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels = dict(pattern.findall(line))
            if wanted(labels):
                total += int(float(line.rsplit(" ", 1)[1]))
        return total


def act_as(namespace: Namespace, account: str, target: Path) -> Path:
    """Write a kubeconfig of a service account of the namespace."""
    config = yaml.safe_load(namespace.cluster.kubeconfig.read_text())
    token = namespace.kubectl("create", "token", account).strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(config))
    return target


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    found = Namespace.make(cluster)
    yield found
    found.delete()


@pytest.fixture
def another(namespace: Namespace) -> Iterator[Callable[[], Namespace]]:
    """Make a further namespace."""
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(Namespace.make(namespace.cluster))
        return made[-1]

    yield make
    for each in made:
        each.delete()


@pytest.fixture
def operator_env(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> dict[str, str]:
    template = tmp_path / "job-template.yaml"
    template.write_text(yaml.safe_dump(JOB_TEMPLATE))
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        "CATCHUP_NAMESPACES": namespace.name,
        "CATCHUP_JOB_TEMPLATE_FILE": str(template),
    }


@pytest.fixture
def url(operator_env: dict[str, str]) -> str:
    """Where the operator serves its metrics."""
    operator_env["CATCHUP_HEALTH_PORT"] = port = str(free_port())
    return f"http://127.0.0.1:{port}/metrics"


@pytest.fixture
def operator(
    operator_env: dict[str, str], namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KopfRunner]:
    """The operator in this process, until the test ends."""
    for name, value in operator_env.items():
        monkeypatch.setenv(name, value)
    arguments = ["run", "--standalone", "--namespace", namespace.name, "-m", "catchup_operator.handlers"]
    with KopfRunner(arguments, timeout=120) as runner:
        yield runner
    assert runner.exit_code == 0


@pytest.fixture
def operator_process(
    operator_env: dict[str, str], tmp_path: Path
) -> Callable[[], AbstractContextManager[OperatorProcess]]:
    """Start the operator as a process that can be killed."""

    return lambda: operator_in_a_process("--json-logs", {**os.environ, **operator_env}, tmp_path / "operator.log")
