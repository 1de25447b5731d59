"""The metrics that `/metrics` serves: what `Instruments` counted, and what the operator knows when it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from catchup_operator.instruments import PREFIX, Instruments
from catchup_operator.manifests.names import SCHEDULE_POOL, USER_SCHEDULE, Owner
from catchup_operator.reconcile.controller import Controller
from catchup_operator.reconcile.placement_parts import OwnerRollout
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.schedule.clock_changes import zone_data_version
from catchup_operator.state import State
from catchup_operator.status.conditions import READY


class StateCollector(Collector):
    """Reads the operator's state; sends no request."""

    def __init__(
        self,
        states: Mapping[Owner, State],
        controller: Controller,
        rollout: OwnerRollout,
        served: ServedNamespaces,
        *,
        problems: Callable[[], list[str]],
    ) -> None:
        self._states = states
        self._controller = controller
        self._rollout = rollout
        self._served = served
        self._problems = problems

    def describe(self) -> list[Metric]:
        """Return nothing: the registry need not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._schedules()
        yield from self._work()
        yield _gauge("ready", "Whether `/readyz` answers 200.", not self._problems())
        yield _gauge(
            "contested_cronjobs",
            "CronJobs that another writer changes back whenever they are repaired.",
            sum(state.contests.number_contested() for state in self._states.values()),
        )
        namespaces = _family("namespaces", "Served namespaces by who holds the Lease.", "lease")
        for held, number in self._served.counts().items():
            namespaces.add_metric([held], number)
        yield namespaces
        rolled, waiting = self._rollout.progress
        yield CounterMetricFamily(
            f"{PREFIX}rolled",
            "Resources whose CronJobs were applied again for a changed job template.",
            value=rolled,
        )
        yield _gauge("roll_waiting", "Resources that wait for it.", waiting)
        build = _family("build_info", "The version of the product and of its zone data.", "version", "zone_data")
        build.add_metric([version("catchup-jobs"), zone_data_version()], 1)
        yield build

    def _schedules(self) -> Iterator[Metric]:
        schedules = _family(
            "schedules",
            "UserSchedules by the status and reason of their condition Ready.",
            "placement",
            "ready",
            "reason",
        )
        jobs = _family(
            "schedule_jobs",
            "UserSchedules by the status and reason of the condition of each kind of job.",
            "condition",
            "status",
            "reason",
        )
        pools = _family("pools", "SchedulePools by the status and reason of their condition Ready.", "ready", "reason")
        pool_jobs = _family(
            "pool_jobs",
            "SchedulePools by the status and reason of the condition of each kind of job.",
            "condition",
            "status",
            "reason",
        )
        by_condition: Counter[tuple[str, str, str]] = Counter()
        for reported, number in sorted(self._states[USER_SCHEDULE].reported.counts().items()):
            if reported.type == READY:
                schedules.add_metric([reported.placement, reported.status, reported.reason], number)
            else:
                by_condition[reported.type, reported.status, reported.reason] += number
        for condition, number in by_condition.items():
            jobs.add_metric([*condition], number)
        for reported, number in sorted(self._states[SCHEDULE_POOL].reported.counts().items()):
            family = pools if reported.type == READY else pool_jobs
            family.add_metric([*reported[0 if family is pool_jobs else 1 : 3]], number)
        yield from (schedules, jobs, pools, pool_jobs)

    def _work(self) -> Iterator[Metric]:
        queue = self._controller.queue_state()
        yield _gauge("workqueue_depth", "Tasks that are due and wait for a worker.", queue.due)
        yield _gauge("workqueue_delayed", "Tasks that wait for the time of their retry.", queue.delayed)
        yield _gauge(
            "workqueue_oldest_seconds", "How long the task that waits longest has been due.", queue.oldest_seconds
        )
        silent = _family(
            "watch_silent_seconds",
            "Time since a watch heard of the API server, the longest of all namespaces.",
            "resource",
        )
        for resource, seconds in self._controller.silent_by_resource().items():
            silent.add_metric([resource], seconds)
        yield silent


def registry_of(instruments: Instruments, state: StateCollector) -> CollectorRegistry:
    """Return the registry of `/metrics`, with Python's own metrics of the process."""
    registry = instruments.registry
    registry.register(state)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)
