"""Answers scrapes from a snapshot of the last seconds, so that scrapes cost the database nothing more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from catchup_jobs.adapters.database.metrics.snapshot import Snapshot
from catchup_jobs.adapters.exporter.families import build_info, families, gauge, up
from catchup_jobs.jobs.run.errors import JobError

_log = structlog.get_logger()


class SnapshotCollector(Collector):
    """The metrics of an installation.

    Args:
        take: reads the database; raises JobError.
        quota: reads how much of Google's quota is used, from Redis; raises JobError. None where there is no Redis.
        every: seconds for which what was read is served again, failures too.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        take: Callable[[], Snapshot],
        quota: Callable[[], float] | None,
        *,
        every: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._quota = quota
        self._every = every
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def describe(self) -> list[Metric]:
        """Return nothing: the registry need not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Numbers of a service that does not answer are left out, never told as they were."""
        with self._lock:
            if self._monotonic() - self._read_at >= self._every:
                self._metrics = list(self._read())
                self._read_at = self._monotonic()
            yield from self._metrics

    def _read(self) -> Iterator[Metric]:
        answers = {}
        try:
            snapshot = self._take()
        except JobError as error:
            _log.warning("the database cannot be read", why=str(error))
            answers["database"] = False
        else:
            answers["database"] = True
            yield from families(snapshot)
        if self._quota is not None:
            try:
                used = self._quota()
            except JobError as error:
                _log.warning("Redis cannot be read", why=str(error))
                answers["redis"] = False
            else:
                answers["redis"] = True
                yield gauge(
                    "google_quota_used_ratio",
                    "How much of the project's quota at Google is used: 1 is all, more where requests wait.",
                    used,
                )
        yield up(answers)
        yield build_info(version("catchup-jobs"))
