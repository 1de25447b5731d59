"""The controller: watches CronJobs and Jobs, and feeds the work queue with repairs, results, retries and resyncs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import CRONJOBS, JOBS
from catchup_operator.kube.watch import Watch
from catchup_operator.manifests.names import Key
from catchup_operator.reconcile.job_status import JobStatusUpdater
from catchup_operator.reconcile.observers import CronJobObserver, FinishedJobObserver
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.reconcile.rollout import Rollout
from catchup_operator.reconcile.scopes import Scopes
from catchup_operator.reconcile.work_queue import RETRY_FIRST_SECONDS, RetryAfterError, WorkQueue
from catchup_operator.state import State
from catchup_operator.status.results import FinishedJob

_WORKERS: Final = 4
# Long enough for the watch to report the operator's own apply before a difference counts as drift.
_SETTLE_SECONDS: Final = 1.0
# Another writer that reverts each repair gets this many at once; then the delay doubles with each one.
_REPAIRS_AT_ONCE: Final = 4
_SETTLE_DOUBLINGS_MAX: Final = 6
_RESYNC_SECONDS: Final = 30.0
# Every so many resyncs, that is every ten minutes: each UserSchedule in conflict costs a read or two.
_FULL_RESYNC_ROUNDS: Final = 20

logger = logging.getLogger(__name__)


class Controller:
    """Starts and stops the loops and reports whether they work."""

    def __init__(
        self,
        client: KubeClient,
        namespaces: Sequence[str],
        *,
        state: State,
        rollout: Rollout,
        reconciler: Reconciler,
        job_status: JobStatusUpdater,
        scopes: Scopes,
    ) -> None:
        self._client = client
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._queue = WorkQueue()
        self._state = state
        self._rollout = rollout
        self._reconciler = reconciler
        self._job_status = job_status
        self._scopes = scopes
        self._watches: list[Watch] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._repairs: Counter[Key] = Counter()
        state.drift.subscribe(self._on_drift)
        state.conflicts.subscribe(self._enqueue)

    @property
    def silent_seconds(self) -> float:
        """The longest time for which one of the watches has received nothing, in seconds."""
        return max((watch.silent_seconds for watch in self._watches), default=0.0)

    def problems(self) -> list[str]:
        """Return why watches do not work at present; empty if all work."""
        return [watch.problem for watch in self._watches if watch.problem and not self._scopes.is_gone(watch.namespace)]

    def failure(self) -> BaseException | None:
        """Return the exception that ended a loop, or None; no loop ends but for a bug."""
        return next((task.exception() for task in self._tasks if task.done() and not task.cancelled()), None)

    def start(self) -> None:
        """Start the watches, the workers and the periodic loops."""
        selector = f"{LABEL_USER_SCHEDULE},{LABEL_JOB}"
        for namespace in self._namespaces:
            cronjobs = CronJobObserver(self._state.drift, namespace)
            jobs = FinishedJobObserver(self._on_finished)
            self._watches += [
                Watch(self._client, CRONJOBS, namespace, cronjobs, selector=selector),
                Watch(self._client, JOBS, namespace, jobs, selector=selector),
            ]
        loops = [watch.run() for watch in self._watches] + [self._queue.work() for _ in range(_WORKERS)]
        loops += [self._scopes.run(), self._resync(), self._rollout.run(self._enqueue)]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Cancel the loops and wait for them. Raises the exception that ended a loop before, if any."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def retry(self, schedule: Key, error: Exception) -> None:
        """Reconcile a UserSchedule again after a failed reconciliation."""
        delay, level = RETRY_FIRST_SECONDS, logging.WARNING
        if isinstance(error, RetryAfterError):
            delay, level = error.seconds, error.log_level
        logger.log(level, "%s/%s: %s; retrying in %.0f s", *schedule, error, delay)
        self._enqueue(schedule, delay=delay)

    def _enqueue(self, schedule: Key, *, delay: float = 0.0) -> None:
        # A reconciliation for a reason of its own must not wait for a delayed retry.
        name = _task_name("retry" if delay else "reconcile", schedule)
        self._queue.add(name, partial(self._reconciler.reconcile_key, schedule), delay=delay)

    async def _resync(self) -> None:
        """Periodically enqueue what becomes outdated without an event.

        Every round: statuses that name a next run that has passed. Every ten minutes: UserSchedules in conflict, since
        the deletion of the older one may have been missed.
        """
        for round_number in count(1):
            await asyncio.sleep(_RESYNC_SECONDS)
            if round_number % _FULL_RESYNC_ROUNDS == 0:
                self._repairs.clear()
                for schedule in self._state.conflicts.not_served():
                    self._enqueue(schedule)
            for schedule in self._job_status.overdue():
                self._queue.add(_task_name("refresh", schedule), partial(self._job_status.refresh, schedule))

    def _on_drift(self, cronjob: Key, schedule: str) -> None:
        async def repair() -> None:
            if self._state.drift.has_drifted(cronjob):
                await self._reconciler.reconcile_key((cronjob[0], schedule), drifted=cronjob)
                self._repairs[cronjob] += 1

        doublings = max(0, self._repairs[cronjob] - _REPAIRS_AT_ONCE)
        delay = _SETTLE_SECONDS * 2 ** min(doublings, _SETTLE_DOUBLINGS_MAX)
        self._queue.add(_task_name("repair", cronjob), repair, delay=delay)

    def _on_finished(self, finished: FinishedJob) -> None:
        name = _task_name("record", (finished.namespace, finished.name))
        self._queue.add(name, partial(self._job_status.record, finished))


def _task_name(verb: str, key: Key) -> str:
    return f"{verb} {key[0]}/{key[1]}"
