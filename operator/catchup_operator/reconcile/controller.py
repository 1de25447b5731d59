"""The operator's own loops beside kopf: watching CronJobs for drift and Jobs for results, and one queue of work."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import CRONJOBS, JOBS
from catchup_operator.kube.watch import Watch
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.reconcile.work_queue import RETRY_FIRST_SECONDS, WorkQueue
from catchup_operator.state.drift import Key, Ledger, key_of
from catchup_operator.state.memory import Memory
from catchup_operator.status.results import FinishedJob

_WORKERS: Final = 4
# Long enough for the watch to show our own write before a difference is called drift.
_SETTLE_SECONDS: Final = 1.0
# Whoever undoes a repair as soon as it is made gets this many, and then fewer and fewer: a fight must not be a storm.
_REPAIRS_AT_ONCE: Final = 4
_SETTLE_DOUBLINGS_MAX: Final = 6
_RESYNC_SECONDS: Final = 30.0
# A look at each loser costs a read or two, and a fight over a CronJob must be given its time to end.
_ROUNDS_OF_TEN_MINUTES: Final = 20

logger = logging.getLogger(__name__)


class _CronJobs:
    """Observes the CronJobs of a namespace (None: of all) for the ledger."""

    def __init__(self, ledger: Ledger, namespace: str | None) -> None:
        self._ledger = ledger
        self._namespace = namespace
        self._listing: set[Key] = set()

    def listing(self) -> None:
        self._listing = set()

    def observe(self, item: Mapping[str, Any]) -> None:
        self._listing.add(self._ledger.see(item))

    def forget(self, item: Mapping[str, Any]) -> None:
        self._ledger.lose(key_of(item))

    def listed(self) -> None:
        self._ledger.listed(self._namespace, self._listing)
        self._listing = set()


class _FinishedJobs:
    """Observes Jobs and hands on each finished one once."""

    def __init__(self, on_finished: Callable[[FinishedJob], None]) -> None:
        self._on_finished = on_finished
        self._told: set[str] = set()
        self._listing: set[str] = set()

    def listing(self) -> None:
        self._listing = set()

    def observe(self, item: Mapping[str, Any]) -> None:
        uid = item["metadata"]["uid"]
        self._listing.add(uid)
        if uid not in self._told and (finished := FinishedJob.from_object(item)) is not None:
            self._told.add(uid)
            self._on_finished(finished)

    def forget(self, item: Mapping[str, Any]) -> None:
        self._told.discard(item["metadata"]["uid"])

    def listed(self) -> None:
        self._told &= self._listing
        self._listing = set()


class Background:
    """Starts the loops, stops them, and tells whether they live."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], memory: Memory, reconciler: Reconciler) -> None:
        self._cluster = cluster
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._queue = WorkQueue()
        self._memory = memory
        self._reconciler = reconciler
        self._watches: list[Watch] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._repairs: Counter[Key] = Counter()
        memory.ledger.report_to(self._on_drift)
        memory.claims.report_to(self._revisit)

    @property
    def silent_seconds(self) -> float:
        """The longest that one of the watches has heard nothing, in seconds."""
        return max((watch.silent_seconds for watch in self._watches), default=0.0)

    def troubles(self) -> list[str]:
        """Return what is the matter with those watches that show nothing at present."""
        return [watch.trouble for watch in self._watches if watch.trouble]

    def start(self) -> None:
        """Start watching and working."""
        selector = f"{LABEL_USER_SCHEDULE},{LABEL_JOB}"
        for namespace in self._namespaces:
            self._watches += [
                Watch(
                    self._cluster,
                    CRONJOBS,
                    namespace,
                    _CronJobs(self._memory.ledger, namespace),
                    selector=selector,
                ),
                Watch(self._cluster, JOBS, namespace, _FinishedJobs(self._on_finished), selector=selector),
            ]
        loops = [watch.run() for watch in self._watches] + [self._queue.work() for _ in range(_WORKERS)]
        loops += [self._resync(), self._memory.roll.run(self._revisit)]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Cancel the loops and wait for them; raises what a loop died of, if one did."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    def died(self) -> BaseException | None:
        """Return what a loop died of; a bug, since none ever ends by itself."""
        return next((task.exception() for task in self._tasks if task.done() and not task.cancelled()), None)

    def retry(self, body: Mapping[str, Any], error: Exception) -> None:
        """Visit a UserSchedule again later, if it still needs it then."""
        delay = getattr(error, "retry_seconds", RETRY_FIRST_SECONDS)
        logger.warning("%s/%s: %s; again in %.0f s", *key_of(body), error, delay)
        self._revisit(key_of(body), delay=delay)

    def _revisit(self, schedule: Key, *, delay: float = 0.0) -> None:
        async def revisit() -> None:
            await self._reconciler.revisit(*schedule)

        # A visit for a reason of its own must not wait for one that is put off.
        self._queue.add(_called("retry" if delay else "visit", schedule), revisit, delay=delay)

    async def _resync(self) -> None:
        """Look again, now and then, at what time alone makes wrong.

        What names a next digest that is over, and every ten minutes what waits for another resource to go, since a
        deletion may have been missed.
        """
        for round_number in count(1):
            await asyncio.sleep(_RESYNC_SECONDS)
            if round_number % _ROUNDS_OF_TEN_MINUTES == 0:
                self._repairs.clear()
                for schedule in self._memory.claims.losers():
                    self._revisit(schedule)
            for schedule in self._reconciler.overdue():
                self._queue.add(_called("refresh", schedule), partial(self._reconciler.refresh, *schedule))

    def _on_drift(self, cronjob: Key, schedule: str) -> None:
        async def repair() -> None:
            if self._memory.ledger.drifted(cronjob):
                await self._reconciler.revisit(cronjob[0], schedule, drifted=cronjob)
                self._repairs[cronjob] += 1

        doublings = max(0, self._repairs[cronjob] - _REPAIRS_AT_ONCE)
        delay = _SETTLE_SECONDS * 2 ** min(doublings, _SETTLE_DOUBLINGS_MAX)
        self._queue.add(_called("repair", cronjob), repair, delay=delay)

    def _on_finished(self, finished: FinishedJob) -> None:
        async def record() -> None:
            await self._reconciler.record(finished)

        self._queue.add(_called("record", (finished.namespace, finished.name)), record)


def _called(what: str, key: Key) -> str:
    return f"{what} {key[0]}/{key[1]}"
