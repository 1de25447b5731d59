"""What a stretch of time of a process costs, by the kernel's accounting and the API server's own counts."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from catchup_dev.cluster import Cluster

_IDLE_SECONDS: Final = 4.0
_POLL_SECONDS: Final = 0.25
# The operator's own requests: those about Jobs come from the benchmark, too, but for reads.
_OPERATORS: Final = {"userschedules", "pods", "events"}
_STATUS: Final = ("userschedules", "status")
# Resource and subresource: what is made for UserSchedules and for pools.
_WRITTEN: Final = {("cronjobs", ""), ("configmaps", ""), ("schedulepools", "status"), _STATUS}


@dataclass(frozen=True)
class Cost:
    """What a phase took.

    Attributes:
        wall: seconds.
        cpu: seconds of the process.
        memory: its peak in MB.
        server: CPU seconds of API server and etcd.
        writes: that the API server counted.
        requests: of the operator for the results of Jobs, that the API server counted.
    """

    wall: float
    cpu: float
    memory: float
    server: float
    writes: int
    requests: int


@dataclass(frozen=True)
class Counts:
    """The API server's own counts."""

    statuses: int
    writes: int
    requests: int


def counts(cluster: Cluster) -> Counts:
    """Return the API server's counts of requests."""
    statuses = writes = requests = 0
    for line in cluster.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels, number = dict(re.findall(r'(\w+)="([^"]*)"', line)), int(float(line.rsplit(" ", 1)[1]))
        kind, verb = (labels["resource"], labels["subresource"]), labels["verb"]
        if verb in {"APPLY", "PATCH", "POST", "PUT"} and kind in _WRITTEN:
            writes += number
            statuses += number if kind == _STATUS else 0
        if (kind[0] in _OPERATORS and verb != "WATCH") or (kind[0] == "jobs" and verb in {"GET", "LIST"}):
            requests += number
    return Counts(statuses, writes, requests)


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def server_seconds(cluster: Cluster) -> float:
    """The CPU seconds of API server and etcd."""
    pids = [cluster.layout.daemon(name).pid for name in ("kube-apiserver", "etcd")]
    return sum(cpu_seconds(pid) for pid in pids if pid is not None)


def peak_megabytes(pid: int) -> float:
    """The peak memory of a process that still runs."""
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(peak[1]) / 1024 if peak else 0.0


class Running(Protocol):
    """A process, as `subprocess.Popen` and others have it."""

    pid: int

    def poll(self) -> int | None: ...


@dataclass(frozen=True)
class Before:
    """What a server has counted, and the CPU seconds that it has used, before a phase."""

    counts: Counts
    server: float

    @classmethod
    def of(cls, cluster: Cluster) -> Before:
        """Read both."""
        return cls(counts(cluster), server_seconds(cluster))


class Phase:
    """A stretch of time of a process, and what it costs."""

    def __init__(self, cluster: Cluster, process: Running, *, before: Before | None = None) -> None:
        """Begin, or begin with what was read before the process was started."""
        self._cluster = cluster
        self._process = process
        self._before = before or Before.of(cluster)
        self._used = 0.0 if before else cpu_seconds(process.pid)
        self._cost = (0.0, 0.0)
        self._began = time.monotonic()

    def until_written(self, statuses: int) -> Cost:
        """Wait until so many more statuses are written."""
        while True:
            if self._process.poll() is None:
                self._cost = (cpu_seconds(self._process.pid), peak_megabytes(self._process.pid))
            if counts(self._cluster).statuses - self._before.counts.statuses >= statuses:
                return self._ended(time.monotonic())
            if self._process.poll() is not None:
                written = counts(self._cluster).statuses - self._before.counts.statuses
                if written < statuses:
                    raise SystemExit(
                        f"the process ended with {self._process.poll()} after {written} of {statuses} statuses"
                    )
            time.sleep(_POLL_SECONDS)

    def until_idle(self) -> Cost:
        """Wait until a process that has nothing to do does nothing."""
        seen, since = -1.0, time.monotonic()
        while time.monotonic() - since < _IDLE_SECONDS:
            self._cost = (cpu_seconds(self._process.pid), peak_megabytes(self._process.pid))
            if self._cost[0] - seen > 0.05:
                seen, since = self._cost[0], time.monotonic()
            time.sleep(_POLL_SECONDS)
        return self._ended(since)

    def _ended(self, at: float) -> Cost:
        now = counts(self._cluster)
        return Cost(
            wall=at - self._began,
            cpu=self._cost[0] - self._used,
            memory=self._cost[1],
            server=server_seconds(self._cluster) - self._before.server,
            writes=now.writes - self._before.counts.writes,
            requests=now.requests - self._before.counts.requests,
        )
