"""What the operator costs on a real API server, beside clients in Go that send the same writes.

Run by `make bench-operator`, or alone: `python tests/benchmarks/reconciliation.py --help`. `go-raw` sends the writes
and does nothing else, `go-controller` is a controller as controller-runtime makes them, `go-controller-lean` one that
keeps only metadata of CronJobs and Jobs; `operator-pooled` is the operator where all UserSchedules name a pool. Each
measurement has a fresh API server and etcd; the clients take turns, so that a busy moment of the machine touches all.
Measured are

- the time until every status is written: of N UserSchedules that exist before the start, or (`--streaming`) are created
  while the client runs;
- the operator's work for the Jobs of which two a UserSchedule end while it runs;
- a restart with nothing changed, with these Jobs still there, and a later firing of each digest that had nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

ROOT: Final = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / name) for name in ("tests", "contract", "operator", "dev")]

from benchmarks import anchor  # noqa: E402 - where the line above finds it
from benchmarks.finished_jobs import follow_up, run_each_once  # noqa: E402
from benchmarks.phases import Before, Cost, Phase  # noqa: E402
from waiting import await_established  # noqa: E402

from catchup_dev.cluster import Cluster as LocalCluster  # noqa: E402
from catchup_operator.job_template import JobTemplate  # noqa: E402
from catchup_operator.kube.client import KubeClient  # noqa: E402
from catchup_operator.kube.config import load_access  # noqa: E402
from catchup_operator.kube.resources import SCHEDULES  # noqa: E402

NAMESPACE: Final = "bench"
CONNECTIONS: Final = 20
ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Beirut", "Asia/Kolkata", "Etc/UTC", "Australia/Lord_Howe")
TEMPLATE: Final = JobTemplate(image="catchup-jobs:bench")

OPERATOR: Final = "operator"
GO_RAW: Final = "go-raw"
POOLED: Final = "operator-pooled"
CLIENTS: Final = (GO_RAW, "go-controller", "go-controller-lean", OPERATOR, POOLED)
POOL: Final[dict[str, Any]] = {
    "apiVersion": "catchup.dev/v1alpha1",
    "kind": "SchedulePool",
    "metadata": {"name": "people", "namespace": NAMESPACE},
    "spec": {"members": "UserSchedules"},
}


def resource(namespace: str, number: int, *, pooled: bool = False) -> dict[str, Any]:
    """One user's resource; zones vary, as they do."""
    made: dict[str, Any] = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": f"user-{number:05}", "namespace": namespace},
        "spec": {
            "userId": f"user-{number:05}",
            "timeZone": ZONES[number % len(ZONES)],
            # Hardly any run of the real controllers falls into a measurement.
            "calendarSync": {"every": "24h"},
        },
    }
    if pooled:
        made["spec"]["pool"] = POOL["metadata"]["name"]
    return made


@contextmanager
def api_server() -> Iterator[LocalCluster]:
    """A fresh API server that knows of UserSchedules."""
    with tempfile.TemporaryDirectory(prefix="catchup-bench-") as directory:
        cluster = LocalCluster(f"bench-{os.getpid()}", Path(directory), node=False)
        cluster.up()
        try:
            cluster.kubectl("apply", "-f", str(ROOT / "crds"))
            await_established(cluster, "userschedules.catchup.dev", "schedulepools.catchup.dev")
            cluster.kubectl("create", "namespace", NAMESPACE)
            os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
            yield cluster
        finally:
            cluster.down()


async def create(namespace: str, count: int, *, pooled: bool = False) -> None:
    """Create so many UserSchedules, over 20 connections, where `KUBECONFIG` says."""
    api = KubeClient(await load_access())
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> None:
        async with gate:
            await api.create(SCHEDULES, resource(namespace, number, pooled=pooled))

    await asyncio.gather(*(one(number) for number in range(count)))
    await api.close()


def cronjobs(cluster: LocalCluster) -> list[dict[str, Any]]:
    """All CronJobs, whole."""
    path, found, page = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs?limit=500", [], ""
    while True:
        listed = cluster.read(path + (f"&continue={page}" if page else ""))
        found += listed["items"]
        page = listed["metadata"].get("continue", "")
        if not page:
            return found


def service_account(directory: Path) -> dict[str, str]:
    """Write the files that a pod finds of its service account, here the administrator; return its environment."""
    kubeconfig = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    (directory / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    (directory / "token").write_text(user["token"])
    server = urlsplit(cluster["server"])
    return {"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)}


@contextmanager
def running(client: str, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator or a client in Go."""
    with tempfile.TemporaryDirectory(prefix="catchup-bench-") as directory:
        template, samples = Path(directory) / "job-template.yaml", Path(directory) / "samples.json"
        template.write_text(yaml.safe_dump({"image": TEMPLATE.image}))
        anchor.write_samples(samples, [resource(NAMESPACE, number) for number in range(len(ZONES))], TEMPLATE)
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env |= {"CATCHUP_NAMESPACES": NAMESPACE, "CATCHUP_JOB_TEMPLATE_FILE": str(template)}
        env |= {"CATCHUP_ROLL_PER_SECOND": "9999", "CATCHUP_RELEASE": socket.gethostname()}
        if client in {OPERATOR, POOLED}:
            env |= service_account(Path(directory))
            command = [sys.executable, str(Path(__file__).with_name("in_pod.py")), directory]
        else:
            command = [str(anchor.program()), "-mode", client.removeprefix("go-"), "-namespace", NAMESPACE]
            command += ["-samples", str(samples), "-count", str(count)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Measured:
    """The phases of one client; the raw one has but the first, and only the operator records results."""

    first: Cost
    results: Cost | None = None
    restart: Cost | None = None


def measure(client: str, count: int, *, streaming: bool) -> Measured:
    """Measure the first start, the results of Jobs and a restart."""
    pooled = client == POOLED
    with api_server() as cluster:
        if pooled:
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(POOL))
        if not streaming:
            asyncio.run(create(NAMESPACE, count, pooled=pooled))
        results = None
        before = Before.of(cluster)
        with running(client, count) as process:
            phase = Phase(cluster, process, before=before)
            if streaming:
                phase.until_idle()
                phase = Phase(cluster, process)
                asyncio.run(create(NAMESPACE, count, pooled=pooled))
            first = phase.until_written(count)
            if client == GO_RAW:
                return Measured(first)
            if not pooled:
                made = cronjobs(cluster)
                phase = Phase(cluster, process)
                asyncio.run(run_each_once(made))
                if client == OPERATOR:
                    results = phase.until_written(len(made))
                phase = Phase(cluster, process)
                asyncio.run(follow_up(made))
                if client == OPERATOR:
                    phase.until_written(count)  # the syncs' results
        before = Before.of(cluster)
        with running(client, count) as process:
            return Measured(first, results, Phase(cluster, process, before=before).until_idle())


def all_cpu(costs: list[Cost]) -> float:
    """The CPU seconds of client and server: on a machine with other work it says more than the wall clock."""
    return statistics.median(cost.cpu + cost.server for cost in costs)


def row(count: int, client: str, measured: list[Measured], raw: list[Measured]) -> str:
    """A line of the table: medians, the highest peaks; ratios to the raw client's."""
    firsts, of_raw = [each.first for each in measured], [each.first for each in raw]
    wall = statistics.median(cost.wall for cost in firsts)
    cells = [
        str(count),
        client,
        f"{wall:.1f}",
        f"{wall / statistics.median(cost.wall for cost in of_raw):.2f}" if raw else "",
        f"{statistics.median(cost.cpu for cost in firsts):.1f}",
        f"{max(cost.memory for cost in firsts):.0f}",
        f"{statistics.median(cost.server for cost in firsts):.0f}",
        f"{all_cpu(firsts) / all_cpu(of_raw):.2f}" if raw else "",
        f"{firsts[0].writes / count:.2f}",
    ]
    results = [each.results for each in measured if each.results]
    per_job = [(1000 * cost.cpu / (2 * count), cost.requests / (2 * count)) for cost in results]
    cells += [f"{statistics.median(values):.1f}" for values in zip(*per_job, strict=True)] or ["", ""]
    restarts = [each.restart for each in measured if each.restart]
    if restarts:
        cells += [
            f"{statistics.median(cost.cpu for cost in restarts):.1f}",
            f"{max(cost.memory for cost in restarts):.0f}",
            str(restarts[0].writes),
        ]
    else:
        cells += ["", "", ""]
    return "| " + " | ".join(cells) + " |"


HEADER: Final = (
    "| N | client | wall s | of go-raw | CPU s | peak MB | server CPU s | all CPU of go-raw's | writes a resource "
    "| a Job's result: CPU ms | requests | restart: CPU s | peak MB | writes |"
)


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200,1000,3000", help="numbers of UserSchedules, separated by commas")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the medians are shown")
    parser.add_argument("--streaming", action="store_true", help="create them while the client runs")
    parser.add_argument("--only", choices=CLIENTS, action="append", help="leave others out; may be repeated")
    given = parser.parse_args()
    anchor.program()
    kind = "created while it runs" if given.streaming else "existing at start"
    print(f"{kind}; Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the beginning\n")
    print(HEADER)
    print("|---" * (HEADER.count("|") - 1) + "|", flush=True)
    for count in map(int, given.sizes.split(",")):
        found: dict[str, list[Measured]] = {client: [] for client in given.only or CLIENTS}
        for _ in range(given.rounds):
            for client, measured in found.items():
                measured.append(measure(client, count, streaming=given.streaming))
        for client, measured in found.items():
            print(row(count, client, measured, found.get(GO_RAW, [])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
