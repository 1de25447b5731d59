"""The operator's own loops beside kopf: watching CronJobs for drift and Jobs for results, and one queue of work."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from catchup_jobs import contract
from catchup_operator.cluster import CRONJOBS, JOBS, ApiError, Cluster
from catchup_operator.ledger import Key, Ledger, key_of
from catchup_operator.reconcile import Reconciler, RefusedError
from catchup_operator.runs import FinishedJob
from catchup_operator.watch import Watch

_WORKERS: Final = 4
# Long enough for the watch to show our own write before a difference is called drift.
_SETTLE_SECONDS: Final = 1.0
_RETRY_FIRST_SECONDS: Final = 1.0
_RETRY_MAX_SECONDS: Final = 300.0
# A quota, a policy or a missing permission: somebody must act first.
REFUSED_RETRY_SECONDS: Final = 600.0

logger = logging.getLogger(__name__)

Task = Callable[[], Awaitable[None]]


class WorkQueue:
    """Runs keyed tasks, each key once at a time, again after a failure with growing delays, for ever.

    A key that is already waiting is not queued twice, so that a storm of events costs one visit.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Task] = {}
        self._ready: asyncio.Queue[Hashable] = asyncio.Queue()
        self._failures: dict[Hashable, int] = {}
        self._timers: set[asyncio.TimerHandle] = set()

    def add(self, key: Hashable, task: Task, *, delay: float = 0.0) -> None:
        """Queue a task after a delay in seconds, unless its key is queued already."""
        if key in self._waiting:
            return
        self._waiting[key] = task
        if delay <= 0:
            self._ready.put_nowait(key)
            return

        def due() -> None:
            self._timers.discard(timer)
            self._ready.put_nowait(key)

        timer = asyncio.get_running_loop().call_later(delay, due)
        self._timers.add(timer)

    async def work(self) -> None:
        """Work until cancelled; several of these may run at once."""
        while True:
            key = await self._ready.get()
            task = self._waiting.pop(key)
            try:
                await task()
            except RefusedError as error:
                logger.warning("%s: %s; again in %.0f s", key, error, REFUSED_RETRY_SECONDS)
                self.add(key, task, delay=REFUSED_RETRY_SECONDS)
            except ApiError as error:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                delay = min(_RETRY_MAX_SECONDS, _RETRY_FIRST_SECONDS * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
                logger.warning("%s failed, again in %.0f s: %s", key, delay, error)
                self.add(key, task, delay=delay)
            except Exception:
                logger.exception("%s failed for an unexpected reason; it is tried again at the next resync", key)
            else:
                self._failures.pop(key, None)


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

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._queue = WorkQueue()
        self.ledger = Ledger(self._on_drift)
        self._reconciler: Reconciler | None = None
        self._watches: list[Watch] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def silent_seconds(self) -> float:
        """The longest that one of the watches has heard nothing, in seconds."""
        return max((watch.silent_seconds for watch in self._watches), default=0.0)

    def start(self, reconciler: Reconciler) -> None:
        """Start watching and working."""
        self._reconciler = reconciler
        selector = f"{contract.LABEL_USER_SCHEDULE},{contract.LABEL_JOB}"
        for namespace in self._namespaces:
            self._watches += [
                Watch(
                    self._cluster,
                    CRONJOBS,
                    namespace,
                    _CronJobs(self.ledger, namespace),
                    selector=selector,
                    metadata_only=True,
                ),
                Watch(self._cluster, JOBS, namespace, _FinishedJobs(self._on_finished), selector=selector),
            ]
        loops = [watch.run() for watch in self._watches] + [self._queue.work() for _ in range(_WORKERS)]
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

    def retry(self, body: Mapping[str, Any], error: Exception, *, refused: bool) -> None:
        """Visit a UserSchedule again later, if it still needs it then."""
        reconciler = self._reconciler
        namespace, schedule = key_of(body)
        logger.warning("%s/%s: the API server says: %s", namespace, schedule, error)

        async def revisit() -> None:
            if reconciler is not None:
                await reconciler.revisit(namespace, schedule)

        delay = REFUSED_RETRY_SECONDS if refused else _RETRY_FIRST_SECONDS
        self._queue.add(("retry", namespace, schedule), revisit, delay=delay)

    def _on_drift(self, cronjob: Key, schedule: str) -> None:
        reconciler = self._reconciler

        async def repair() -> None:
            if reconciler is not None and self.ledger.drifted(cronjob):
                await reconciler.revisit(cronjob[0], schedule, drifted=cronjob)

        self._queue.add(("drift", *cronjob), repair, delay=_SETTLE_SECONDS)

    def _on_finished(self, finished: FinishedJob) -> None:
        reconciler = self._reconciler

        async def record() -> None:
            if reconciler is not None:
                await reconciler.record(finished)

        self._queue.add(("record", finished.namespace, finished.name), record)
