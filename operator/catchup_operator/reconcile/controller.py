"""The controller: watches CronJobs and Jobs, and feeds the work queue with repairs, results, retries and resyncs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from typing import Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_operator.instruments import Instruments
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import CRONJOBS, JOBS
from catchup_operator.kube.watch import Watch
from catchup_operator.manifests.names import Key
from catchup_operator.reconcile.job_status import JobStatusUpdater
from catchup_operator.reconcile.observers import CronJobObserver, JobObserver
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.reconcile.rollout import Rollout
from catchup_operator.reconcile.scopes import Scopes
from catchup_operator.reconcile.work_queue import RETRY_FIRST_SECONDS, QueueState, RetryAfterError, WorkQueue
from catchup_operator.state import State
from catchup_operator.state.waiting_jobs import WaitingJobs
from catchup_operator.status.results import FinishedJob
from catchup_operator.status.waiting import WaitingJob

_WORKERS: Final = 4
"""Reconciliations at the same time."""
_RESYNC_SECONDS: Final = 30.0
"""The time between two resyncs: next runs that have passed, contests that are over, Jobs without a pod."""
_LOOK_SECONDS: Final = 1.0
_LOOKS: Final = 30
"""How often (once a second) a Job's result waits for its UserSchedule to be listed, before that is read."""
# Every so many resyncs, that is every ten minutes: each UserSchedule in conflict costs a read or two.
_FULL_RESYNC_ROUNDS: Final = 20
"""After so many resyncs the UserSchedules in conflict are reconciled, too."""

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
        instruments: Instruments,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._instruments = instruments
        self._queue = WorkQueue(instruments)
        self._state = state
        self._rollout = rollout
        self._reconciler = reconciler
        self._job_status = job_status
        self._scopes = scopes
        self._now = now
        self._watches: list[Watch] = []
        self._waiting: list[WaitingJobs] = []
        self._tasks: list[asyncio.Task[None]] = []
        state.drift.subscribe(self._on_drift)
        state.conflicts.subscribe(self.enqueue)

    @property
    def silent_seconds(self) -> float:
        """The longest time for which one of the watches has received nothing, in seconds."""
        return max((watch.silent_seconds for watch in self._watches), default=0.0)

    def silent_by_resource(self) -> dict[str, float]:
        """Return by resource the longest time for which a watch of it has received nothing, in seconds."""
        silent: dict[str, float] = {}
        for watch in self._watches:
            silent[watch.resource] = max(silent.get(watch.resource, 0.0), watch.silent_seconds)
        return silent

    def queue_state(self) -> QueueState:
        """Return how much waits in the work queue."""
        return self._queue.state()

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
            waiting = WaitingJobs()
            self._waiting.append(waiting)
            jobs = JobObserver(self._on_finished, waiting, self._on_started)
            self._watches += [
                Watch(self._client, CRONJOBS, namespace, cronjobs, selector=selector),
                Watch(self._client, JOBS, namespace, jobs, selector=selector),
            ]
        loops = [watch.run() for watch in self._watches] + [self._queue.work() for _ in range(_WORKERS)]
        loops += [self._scopes.run(), self._resync(), self._rollout.run(self.enqueue)]
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
        self.enqueue(schedule, delay=delay)

    def enqueue(self, schedule: Key, *, delay: float = 0.0) -> None:
        """Read and reconcile a UserSchedule after a delay in seconds."""
        name = _task_name("reconcile", schedule)
        self._queue.add(name, partial(self._reconciler.reconcile_key, schedule), delay=delay)

    async def _resync(self) -> None:
        """Periodically enqueue what becomes outdated without an event.

        Every round: statuses that name a next run that has passed, UserSchedules whose contests are over, and Jobs of
        which no pod starts. Every ten minutes: UserSchedules in conflict, since the deletion of the older one may have
        been missed.
        """
        for round_number in count(1):
            await asyncio.sleep(_RESYNC_SECONDS)
            if round_number % _FULL_RESYNC_ROUNDS == 0:
                for schedule in self._state.conflicts.not_served():
                    self.enqueue(schedule)
            for schedule in self._state.contests.settle(time.monotonic()):
                self.enqueue(schedule)
            for schedule in self._job_status.overdue():
                self._queue.add(_task_name("refresh", schedule), partial(self._job_status.refresh, schedule))
            for waiting in self._waiting:
                for job in waiting.due(self._now()):
                    self._queue.add(
                        _task_name("explain", (job.namespace, job.name)), partial(self._explain, waiting, job)
                    )

    async def _explain(self, waiting: WaitingJobs, job: WaitingJob) -> None:
        if waiting.is_waiting(job) and await self._job_status.explain(job):
            if waiting.is_waiting(job):
                waiting.note_explained(job)
            else:  # it started meanwhile
                await self._job_status.note_started(job)

    def _on_drift(self, cronjob: Key, schedule: str) -> None:
        async def repair() -> None:
            if self._state.drift.has_drifted(cronjob):
                key = (cronjob[0], schedule)
                await self._reconciler.reconcile_key(key, drifted=cronjob)
                self._state.contests.repaired(cronjob, key, time.monotonic())
                self._instruments.drift_repaired()

        self._queue.add(_task_name("repair", cronjob), repair, delay=self._state.contests.delay(cronjob))

    def _on_started(self, job: WaitingJob) -> None:
        name = _task_name("started", (job.namespace, job.name))
        self._queue.add(name, partial(self._job_status.note_started, job))

    def _on_finished(self, finished: FinishedJob, looks: int = _LOOKS) -> None:
        """Record a result that no status has. At the start Jobs are listed before most of the UserSchedules."""
        schedule = (finished.namespace, finished.schedule)
        recorded = self._state.statuses.is_recorded(schedule, finished)
        if recorded is None and looks:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._on_finished, finished, looks - 1)
            return
        if recorded:
            return
        name = _task_name("record", (finished.namespace, finished.name))
        self._queue.add(name, partial(self._job_status.record, finished))


def _task_name(verb: str, key: Key) -> str:
    return f"{verb} {key[0]}/{key[1]}"
