"""What the operator counts while it works. `ops.metrics` adds what it knows at the time of a scrape.

Names follow Prometheus' practices (https://prometheus.io/docs/practices/naming/) and controller-runtime's where it has
the same thing. No label grows with the number of UserSchedules.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

PREFIX: Final = "catchup_operator_"
# A reconciliation is a few requests; one that waits for the connection pool takes seconds.
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds (seconds) of the buckets of the operator's histograms."""
# As client-go writes the code of a request without an answer.
NO_ANSWER: Final = "<error>"


class Instruments:
    """The counters and histograms of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = Counter(
            f"{PREFIX}reconcile_total",
            "Tasks of the operator that ended: reconciliations, repairs, records of results and others, by result.",
            ("task", "result"),
            registry=self.registry,
        )
        self._task_seconds = Histogram(
            f"{PREFIX}reconcile_time_seconds",
            "How long they took.",
            ("task",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            f"{PREFIX}api_requests_total",
            "Requests to the API server by verb, resource and HTTP code.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            f"{PREFIX}api_request_duration_seconds",
            "Time until the API server answered, without the body of the answer.",
            ("verb",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._drift_repairs = Counter(
            f"{PREFIX}drift_repairs_total",
            "CronJobs that were restored after somebody edited or deleted them.",
            registry=self.registry,
        )

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """Count a task by its result, and time it.

        An exception gives the result by its attribute `result`, else it is `error`; a cancelled task is not counted.
        """
        started, result = time.perf_counter(), "success"
        try:
            yield
        except Exception as error:
            result = getattr(error, "result", "error")
            raise
        except BaseException:
            result = ""
            raise
        finally:
            if result:
                self._tasks.labels(name, result).inc()
                self._task_seconds.labels(name).observe(time.perf_counter() - started)

    def request(self, verb: str, resource: str, status: int | None, seconds: float) -> None:
        """Count a request to the API server; `status` is None where no answer came."""
        self._requests.labels(verb, resource, NO_ANSWER if status is None else str(status)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def drift_repaired(self) -> None:
        """Count a repair."""
        self._drift_repairs.inc()
