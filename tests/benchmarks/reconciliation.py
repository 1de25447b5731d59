"""What the operator costs on a real API server, beside a raw client that only sends the same writes.

Run by `make bench-operator`, or alone: `python tests/benchmarks/reconciliation.py --help`. Each measurement has a fresh
API server and etcd; operator and raw client take turns, so that a busy moment of the machine touches both. N
UserSchedules exist before the start; measured is the time until every status is written, then a restart with nothing
changed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from catchup_dev.cluster import Cluster as LocalCluster
from catchup_jobs.contract import Job
from catchup_operator import status
from catchup_operator.cluster import CRONJOBS, SCHEDULES, Cluster
from catchup_operator.desired import desired
from catchup_operator.resource import UserSchedule
from catchup_operator.template import JobTemplate

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


def resource(number: int) -> dict[str, Any]:
    """One user's resource; zones vary, as they do."""
    return {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": f"user-{number:05}", "namespace": NAMESPACE},
        "spec": {"userId": f"user-{number:05}", "timeZone": ZONES[number % len(ZONES)]},
    }


@contextmanager
def api_server(count: int) -> Iterator[LocalCluster]:
    """A fresh API server with that many resources."""
    with tempfile.TemporaryDirectory(prefix="catchup-bench-") as directory:
        cluster = LocalCluster(f"bench-{os.getpid()}", Path(directory), node=False)
        cluster.up()
        try:
            cluster.kubectl("apply", "-f", str(ROOT / "crds/userschedules.yaml"))
            cluster.kubectl("wait", "--for=condition=Established", "crd/userschedules.catchup.dev", "--timeout=20s")
            cluster.kubectl("create", "namespace", NAMESPACE)
            asyncio.run(_create(cluster, count))
            yield cluster
        finally:
            cluster.down()


async def _create(cluster: LocalCluster, count: int) -> None:
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    api = await Cluster.connect()
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> None:
        async with gate:
            await api.create(SCHEDULES, resource(number))

    await asyncio.gather(*(one(number) for number in range(count)))
    await api.close()


async def send_raw(kubeconfig: str) -> None:
    """Send what the operator would send, as fast as 20 connections allow, and nothing else."""
    os.environ["KUBECONFIG"] = kubeconfig
    api = await Cluster.connect()
    bodies = [body async for page, _ in api.list_pages(SCHEDULES, NAMESPACE, selector="") for body in page]
    gate = asyncio.Semaphore(CONNECTIONS)
    now = datetime.now(UTC)

    async def one(body: dict[str, Any]) -> None:
        schedule = UserSchedule.from_body(body)
        since = status.digest_since(body, schedule, now=now)
        async with gate:
            applied = {}
            for manifest in desired(schedule, TEMPLATE, digest_since=since):
                applied[Job(manifest["metadata"]["labels"]["catchup.dev/job"])] = await api.apply(CRONJOBS, manifest)
            patch = status.reconciled(body, schedule, applied, template_hash=TEMPLATE.hash, digest_since=since, now=now)
            await api.patch_status(body, patch or {})

    await asyncio.gather(*map(one, bodies))
    await api.close()


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


def start(cluster: LocalCluster, contender: str, template: Path) -> subprocess.Popen[bytes]:
    """Start the operator or the raw client."""
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "CATCHUP_NAMESPACES": NAMESPACE}
    env |= {"CATCHUP_JOB_TEMPLATE_FILE": str(template), "CATCHUP_ROLL_PER_SECOND": "9999"}
    command = [str(Path(sys.executable).parent / "catchup-operator"), "run", "--json-logs"]
    if contender == "raw":
        command = [sys.executable, __file__, "--send-raw", str(cluster.kubeconfig)]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until_written(cluster: LocalCluster, process: subprocess.Popen[bytes], count: int) -> Cost:
    """Wait until all statuses are written."""
    began, (_, before) = time.monotonic(), statuses_written(cluster)
    cost = (0.0, 0.0)
    while True:
        if process.poll() is None:
            cost = used(process)
        patches, total = statuses_written(cluster)
        if patches >= count:
            return Cost(time.monotonic() - began, *cost, writes=total - before)
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


def measure(contender: str, count: int) -> tuple[Cost, Cost | None]:
    """Measure the first start and, for the operator, a restart."""
    with api_server(count) as cluster, tempfile.NamedTemporaryFile("w", suffix=".yaml") as template:
        yaml.safe_dump({"image": TEMPLATE.image}, template)
        template.flush()
        process = start(cluster, contender, Path(template.name))
        try:
            first = until_written(cluster, process, count)
        finally:
            process.kill()
            process.wait()
        if contender == "raw":
            return first, None
        process = start(cluster, contender, Path(template.name))
        try:
            return first, until_idle(cluster, process)
        finally:
            process.kill()
            process.wait()


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200,1000,3000", help="numbers of UserSchedules, separated by commas")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the medians are shown")
    parser.add_argument("--send-raw", metavar="KUBECONFIG", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send_raw:
        asyncio.run(send_raw(given.send_raw))
        return 0
    print(
        "| N | client | wall s | of raw | CPU s | peak MB | writes per resource | restart: CPU s | peak MB | writes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in map(int, given.sizes.split(",")):
        found: dict[str, list[tuple[Cost, Cost | None]]] = {"raw": [], "operator": []}
        for _ in range(given.rounds):
            for contender, costs in found.items():
                costs.append(measure(contender, count))
        raw = statistics.median(first.wall for first, _ in found["raw"])
        for contender, costs in found.items():
            firsts = [first for first, _ in costs]
            again = [restart for _, restart in costs if restart is not None]
            wall = statistics.median(cost.wall for cost in firsts)
            row: list[Any] = [count, contender, f"{wall:.1f}", f"{wall / raw:.2f}"]
            row += [f"{statistics.median(cost.cpu for cost in firsts):.1f}"]
            row += [f"{max(cost.memory for cost in firsts):.0f}", f"{firsts[0].writes / count:.2f}"]
            row += (
                [
                    f"{statistics.median(cost.cpu for cost in again):.1f}",
                    f"{max(cost.memory for cost in again):.0f}",
                    again[0].writes,
                ]
                if again
                else ["", "", ""]
            )
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
