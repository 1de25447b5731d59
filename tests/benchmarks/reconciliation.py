"""What the operator costs on a real API server, beside a raw client that only sends the same writes.

Run by `make bench-operator`, or alone: `python tests/benchmarks/reconciliation.py --help`. Each measurement has a fresh
API server and etcd; operator and raw client take turns, so that a busy moment of the machine touches both. Measured is
the time until every status is written: of N UserSchedules that exist before the start, or (`--streaming`) are created
while it runs; then a restart with nothing changed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
import yaml

from catchup_dev.cluster import Cluster as LocalCluster
from catchup_operator.job_template import JobTemplate
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_client
from catchup_operator.kube.resources import CRONJOBS, SCHEDULES
from catchup_operator.manifests.cronjob import desired_cronjobs
from catchup_operator.manifests.names import fingerprint
from catchup_operator.manifests.template_hash import template_hash
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status import patches
from catchup_operator.status.job_section import active_since, cronjob_fields

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "bench"
CONNECTIONS: Final = 20
ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Beirut", "Asia/Kolkata", "Etc/UTC", "Australia/Lord_Howe")
TEMPLATE: Final = JobTemplate(image="catchup-jobs:bench")
_IDLE_SECONDS: Final = 4.0
_POLL_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Cost:
    """What one process took: wall and CPU seconds, peak memory in MB, writes that the API server counted."""

    wall: float
    cpu: float
    memory: float
    writes: int


def resource(namespace: str, number: int) -> dict[str, Any]:
    """One user's resource; zones vary, as they do."""
    return {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": f"user-{number:05}", "namespace": namespace},
        "spec": {"userId": f"user-{number:05}", "timeZone": ZONES[number % len(ZONES)]},
    }


@contextmanager
def api_server() -> Iterator[LocalCluster]:
    """A fresh API server that knows of UserSchedules."""
    with tempfile.TemporaryDirectory(prefix="catchup-bench-") as directory:
        cluster = LocalCluster(f"bench-{os.getpid()}", Path(directory), node=False)
        cluster.up()
        try:
            cluster.kubectl("apply", "-f", str(ROOT / "crds/userschedules.yaml"))
            cluster.kubectl("wait", "--for=condition=Established", "crd/userschedules.catchup.dev", "--timeout=20s")
            cluster.kubectl("create", "namespace", NAMESPACE)
            os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
            yield cluster
        finally:
            cluster.down()


async def create(namespace: str, count: int) -> None:
    """Create so many UserSchedules, over 20 connections, where `KUBECONFIG` says."""
    api = KubeClient(await load_client())
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> None:
        async with gate:
            await api.create(SCHEDULES, resource(namespace, number))

    await asyncio.gather(*(one(number) for number in range(count)))
    await api.close()


async def send_raw(count: int) -> None:
    """Send what the operator would send, as fast as 20 connections allow, and nothing else."""
    api = KubeClient(await load_client())
    gate = asyncio.Semaphore(CONNECTIONS)
    now = datetime.now(UTC)
    hash_of_template = template_hash(TEMPLATE)

    async def one(body: dict[str, Any]) -> None:
        schedule = UserSchedule.from_body(body)
        since = active_since(body, schedule, now=now)
        async with gate:
            cronjobs = {}
            for kind, manifest in desired_cronjobs(schedule, TEMPLATE, since).items():
                made = await api.apply(CRONJOBS, manifest)
                cronjobs[kind] = cronjob_fields(manifest, fingerprint(manifest), made["metadata"])
            patch = patches.reconciled(
                body, schedule, cronjobs, template_hash=hash_of_template, active_since=since, now=now
            )
            await api.patch_status(body, patch or {})

    async with asyncio.TaskGroup() as tasks:
        async for body in _bodies(api, count):
            tasks.create_task(one(body))
    await api.close()


async def _bodies(api: KubeClient, count: int) -> AsyncIterator[dict[str, Any]]:
    """Those that are there, then those that come."""
    version, seen = "", 0
    async for page, listed in api.list_pages(SCHEDULES, NAMESPACE, selector=""):
        version = listed
        for body in page:
            seen += 1
            yield body
    if seen < count:
        async for kind, body in api.watch(SCHEDULES, NAMESPACE, version, selector="", seconds=300, silence_seconds=90):
            if kind == "ADDED":
                seen += 1
                yield body
            if seen == count:
                return


def statuses_written(cluster: LocalCluster) -> tuple[int, int]:
    """The API server's own count of status patches, and of all writes, to UserSchedules and CronJobs."""
    patches = total = 0
    for line in cluster.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        kind = (labels["resource"], labels["subresource"])
        if labels["verb"] in {"APPLY", "PATCH"} and kind in {("cronjobs", ""), ("userschedules", "status")}:
            total += int(float(line.rsplit(" ", 1)[1]))
            patches += int(float(line.rsplit(" ", 1)[1])) if kind[1] else 0
    return patches, total


def used(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process that still runs."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    return cpu, int(peak[1]) / 1024 if peak else 0.0


@contextmanager
def running(cluster: LocalCluster, contender: str, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator or the raw client."""
    with tempfile.TemporaryDirectory(prefix="catchup-bench-") as directory:
        template = Path(directory) / "job-template.yaml"
        template.write_text(yaml.safe_dump({"image": TEMPLATE.image}))
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" or contender == "raw"}
        env |= {"CATCHUP_NAMESPACES": NAMESPACE, "CATCHUP_JOB_TEMPLATE_FILE": str(template)}
        env |= {"CATCHUP_ROLL_PER_SECOND": "9999"}
        command = [str(Path(sys.executable).parent / "catchup-operator"), "run", "--json-logs"]
        if contender == "raw":
            command = [sys.executable, __file__, "--send-raw", str(count)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def until_written(cluster: LocalCluster, process: subprocess.Popen[bytes], count: int, began: float) -> Cost:
    """Wait until all statuses are written."""
    cost = (0.0, 0.0)
    while True:
        if process.poll() is None:
            cost = used(process)
        patches, total = statuses_written(cluster)
        if patches >= count:
            return Cost(time.monotonic() - began, *cost, writes=total)
        if process.poll() not in {None, 0}:
            raise SystemExit(f"the process ended with {process.returncode}")
        time.sleep(_POLL_SECONDS)


def until_idle(cluster: LocalCluster, process: subprocess.Popen[bytes]) -> Cost:
    """Wait until a process that has nothing to do does nothing."""
    began, (_, before) = time.monotonic(), statuses_written(cluster)
    seen, since = -1.0, time.monotonic()
    while time.monotonic() - since < _IDLE_SECONDS:
        cpu, memory = used(process)
        if cpu - seen > 0.05:
            seen, since = cpu, time.monotonic()
        time.sleep(_POLL_SECONDS)
    return Cost(since - began, cpu, memory, statuses_written(cluster)[1] - before)


def measure(contender: str, count: int, *, streaming: bool) -> tuple[Cost, Cost | None]:
    """Measure the first start and, for the operator, a restart."""
    with api_server() as cluster:
        if not streaming:
            asyncio.run(create(NAMESPACE, count))
        began = time.monotonic()
        with running(cluster, contender, count) as process:
            if streaming:
                until_idle(cluster, process)
                began = time.monotonic()
                asyncio.run(create(NAMESPACE, count))
            first = until_written(cluster, process, count, began)
        if contender == "raw":
            return first, None
        with running(cluster, contender, count) as process:
            return first, until_idle(cluster, process)


def row(count: int, contender: str, costs: list[tuple[Cost, Cost | None]], raw_wall: float) -> str:
    """A line of the table: medians of wall and CPU, the highest peak."""
    firsts = [first for first, _ in costs]
    again = [restart for _, restart in costs if restart is not None]
    wall = statistics.median(cost.wall for cost in firsts)
    cells = [count, contender, f"{wall:.1f}", f"{wall / raw_wall:.2f}" if raw_wall else ""]
    cells += [f"{statistics.median(cost.cpu for cost in firsts):.1f}"]
    cells += [f"{max(cost.memory for cost in firsts):.0f}", f"{firsts[0].writes / count:.2f}"]
    if again:
        cells += [f"{statistics.median(cost.cpu for cost in again):.1f}", f"{max(cost.memory for cost in again):.0f}"]
        cells += [again[0].writes]
    else:
        cells += ["", "", ""]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200,1000,3000", help="numbers of UserSchedules, separated by commas")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the medians are shown")
    parser.add_argument("--streaming", action="store_true", help="create them while the operator runs")
    parser.add_argument("--only", choices=["raw", "operator"], help="leave the other out")
    parser.add_argument("--send-raw", type=int, metavar="COUNT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send_raw is not None:
        uvloop.run(send_raw(given.send_raw))
        return 0
    kind = "created while it runs" if given.streaming else "existing at start"
    print(f"{kind}; Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the beginning\n")
    print(
        "| N | client | wall s | of raw | CPU s | peak MB | writes per resource | restart: CPU s | peak MB | writes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in map(int, given.sizes.split(",")):
        contenders = [given.only] if given.only else ["raw", "operator"]
        found: dict[str, list[tuple[Cost, Cost | None]]] = {contender: [] for contender in contenders}
        for _ in range(given.rounds):
            for contender, costs in found.items():
                costs.append(measure(contender, count, streaming=given.streaming))
        raw_wall = statistics.median(first.wall for first, _ in found["raw"]) if "raw" in found else 0.0
        for contender, costs in found.items():
            print(row(count, contender, costs, raw_wall), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
