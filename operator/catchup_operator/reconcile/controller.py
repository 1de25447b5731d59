"""The controller: watches SchedulePools, CronJobs and Jobs, and feeds the work queue with what follows from them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from typing import Final

from catchup_operator.instruments import Instruments
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CRONJOBS, JOBS, POOLS
from catchup_operator.kube.watch import Watch
from catchup_operator.manifests.names import SCHEDULE_POOL, SELECTOR, USER_SCHEDULE, Key, Owner
from catchup_operator.reconcile.abandoned import AbandonedCronJobs
from catchup_operator.reconcile.list_writer import ListWriter
from catchup_operator.reconcile.member_statuses import MemberStatuses
from catchup_operator.reconcile.observers import CronJobObserver, JobObserver, OwnerObserver
from catchup_operator.reconcile.placement_parts import OwnerRollout, PlacementParts
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.work_queue import RETRY_FIRST_SECONDS, QueueState, RetryAfterError, WorkQueue
from catchup_operator.state.drift import DriftDetector, ExpectedCronJob
from catchup_operator.state.pools import Pools, PoolSubscriber
from catchup_operator.state.waiting_jobs import WaitingJobs
from catchup_operator.status.results import FinishedJob
from catchup_operator.status.waiting import WaitingJob

_WORKERS: Final = 4
"""Reconciliations at the same time."""
_RESYNC_SECONDS: Final = 30.0
"""The time between two resyncs: next runs that have passed, what is over, Jobs without a pod."""
_LOOK_SECONDS: Final = 1.0
_LOOKS: Final = 30
"""How often (once a second) a Job's result waits for its owner to be listed, before that is read."""
# Every so many resyncs, that is every ten minutes: each resource in conflict costs a read or two.
_FULL_RESYNC_ROUNDS: Final = 20
"""After so many resyncs the resources in conflict are reconciled, too."""

logger = logging.getLogger(__name__)


class Controller:
    """Starts and stops the loops and reports whether they work."""

    def __init__(
        self,
        client: KubeClient,
        namespaces: Sequence[str],
        *,
        placements: Mapping[Owner, PlacementParts],
        drift: DriftDetector,
        pools: Pools,
        rollout: OwnerRollout,
        served: ServedNamespaces,
        digest_spread: int,
        member_writes_per_second: float,
        instruments: Instruments,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._namespaces: list[str | None] = [*namespaces] or [None]
        self._instruments = instruments
        self._queue = WorkQueue(instruments)
        self._placements = placements
        self._drift = drift
        self._rollout = rollout
        self._served = served
        self._now = now
        self._abandoned = AbandonedCronJobs(client, served, now)
        self._lists = ListWriter(
            client,
            self._namespaces,
            digest_spread=digest_spread,
            served=served,
            queue=self._queue,
            pools=pools,
            now=now,
        )
        self._watches: list[Watch] = []
        self._waiting: list[WaitingJobs] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._pools = pools
        self._member_statuses = MemberStatuses(
            client,
            placements[USER_SCHEDULE],
            queue=self._queue,
            per_second=member_writes_per_second,
            now=now,
        )
        drift.subscribe(self._on_drift)
        served.subscribe(self._on_gone)
        pools.subscribe(
            PoolSubscriber(self._on_pool, self._on_pool_switched, self._member_statuses.take_page, self._on_list)
        )
        for owner, parts in placements.items():
            parts.state.conflicts.subscribe(partial(self.enqueue, owner))

    @property
    def silent_seconds(self) -> float:
        """The longest time for which one of the watches has received nothing, in seconds."""
        return max((watch.silent_seconds for watch in self._all_watches()), default=0.0)

    def silent_by_resource(self) -> dict[str, float]:
        """Return by resource the longest time for which a watch of it has received nothing, in seconds."""
        silent: dict[str, float] = {}
        for watch in self._all_watches():
            silent[watch.resource] = max(silent.get(watch.resource, 0.0), watch.silent_seconds)
        return silent

    def queue_state(self) -> QueueState:
        """Return how much waits in the work queue."""
        return self._queue.state()

    def problems(self) -> list[str]:
        """Return why watches do not work at present; empty if all work."""
        watches = [watch for watch in self._all_watches() if not self._served.is_gone(watch.namespace)]
        return [watch.problem for watch in watches if watch.problem]

    def _all_watches(self) -> list[Watch]:
        return [*self._watches, *self._lists.watches]

    def failure(self) -> BaseException | None:
        """Return the exception that ended a loop, or None; no loop ends but for a bug."""
        return next((task.exception() for task in self._tasks if task.done() and not task.cancelled()), None)

    def start(self) -> None:
        """Start the watches, the workers and the periodic loops."""
        pools = self._placements[SCHEDULE_POOL]
        for namespace in self._namespaces:
            is_gone = partial(self._served.is_gone, namespace)
            cronjobs = CronJobObserver(self._drift, namespace, self._on_spent, self._on_abandoned, self._now)
            waiting = WaitingJobs()
            self._waiting.append(waiting)
            jobs = JobObserver(self._on_finished, waiting, self._on_started)
            observed = OwnerObserver(
                pools.reconciler, partial(self.enqueue, SCHEDULE_POOL), partial(self._pools.note_listed, namespace)
            )
            self._watches += [
                Watch(self._client, CRONJOBS, namespace, cronjobs, selector=SELECTOR, is_gone=is_gone),
                Watch(self._client, JOBS, namespace, jobs, selector=SELECTOR, is_gone=is_gone),
                Watch(self._client, POOLS, namespace, observed, is_gone=is_gone),
            ]
        loops = [watch.run() for watch in self._watches] + [self._queue.work() for _ in range(_WORKERS)]
        loops += [
            self._lists.run(),
            self._served.run(),
            self._member_statuses.run(),
            self._resync(),
            self._rollout.run(lambda item: self.enqueue(*item)),
        ]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Cancel the loops and wait for them. Raises the exception that ended a loop before, if any."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def retry(self, owner: Owner, key: Key, error: Exception) -> None:
        """Reconcile a resource again after a failed reconciliation."""
        delay, level = RETRY_FIRST_SECONDS, logging.WARNING
        if isinstance(error, RetryAfterError):
            delay, level = error.seconds, error.log_level
        elif isinstance(error, ApiError):
            delay = max(delay, error.retry_after)
            level = logging.DEBUG if error.namespace_ends else logging.INFO if error.is_outrun else level
        logger.log(level, "%s/%s: %s; retrying in %.0f s", *key, error, delay)
        self.enqueue(owner, key, delay=delay)

    def enqueue(self, owner: Owner, key: Key, *, delay: float = 0.0) -> None:
        """Read and reconcile a resource after a delay in seconds."""
        reconciler = self._placements[owner].reconciler
        self._queue.add(_task_name("reconcile", key, owner), partial(reconciler.reconcile_key, key), delay=delay)

    async def _resync(self) -> None:
        """Periodically enqueue what becomes outdated without an event.

        Every round: resources of which runs must have ended, those whose contests or suspensions are over, those of
        which the server keeps a CronJob otherwise than it was applied, and Jobs of which no pod starts. Every ten
        minutes: resources in conflict, since the deletion of the older one may have been missed.
        """
        for round_number in count(1):
            await asyncio.sleep(_RESYNC_SECONDS)
            for owner, parts in self._placements.items():
                if round_number % _FULL_RESYNC_ROUNDS == 0:
                    for key in self._there(parts.state.conflicts.not_served()):
                        self.enqueue(owner, key)
                for key in self._there(parts.state.contests.end_quiet(time.monotonic())):
                    self.enqueue(owner, key)
                for key in self._there(parts.reconciler.to_try_again(time.monotonic())):
                    self.enqueue(owner, key)
                for key in self._there(parts.state.statuses.resumable(self._now())):
                    self.enqueue(owner, key)
                for key in self._there(parts.job_status.overdue()):
                    self._queue.add(_task_name("refresh", key, owner), partial(parts.job_status.refresh, key))
            for waiting in self._waiting:
                for job in waiting.due(self._now()):
                    if not self._served.is_gone(job.namespace):
                        self._queue.add(
                            _task_name("explain", (job.namespace, job.name)), partial(self._explain, waiting, job)
                        )

    def _there(self, keys: Iterable[Key]) -> list[Key]:
        """Return the keys in namespaces that are there: elsewhere nothing can be written."""
        return [key for key in keys if not self._served.is_gone(key[0])]

    async def _explain(self, waiting: WaitingJobs, job: WaitingJob) -> None:
        job_status = self._placements[job.owner].job_status
        if waiting.is_waiting(job) and await job_status.explain(job):
            if waiting.is_waiting(job):
                waiting.note_explained(job)
            elif not waiting.is_ending(job):  # it started meanwhile
                await job_status.note_started(job)

    def _on_gone(self, namespace: str) -> None:
        for parts in self._placements.values():
            parts.reconciler.forget_namespace(namespace)

    def _on_drift(self, cronjob: Key, expected: ExpectedCronJob) -> None:
        parts = self._placements[expected.owner]

        async def repair() -> None:
            if self._drift.has_drifted(cronjob):
                key = (cronjob[0], expected.owner_name)
                if await parts.reconciler.repair(key, cronjob):
                    parts.state.contests.repaired(cronjob, key, time.monotonic())
                    self._instruments.drift_repaired()

        self._queue.add(_task_name("repair", cronjob), repair, delay=parts.state.contests.delay(cronjob))

    def _on_spent(self, cronjob: Key, uid: str) -> None:
        """Delete a CronJob that has made its one Job."""

        async def delete() -> None:
            await self._served.require(cronjob[0])
            await self._client.delete(CRONJOBS, *cronjob, uid=uid)

        self._queue.add(_task_name("delete", cronjob), delete)

    def _on_abandoned(self, cronjob: Key) -> None:
        self._queue.add(_task_name("abandon", cronjob), partial(self._abandoned.delete, cronjob))

    def _on_pool(self, pool: Key) -> None:
        """Reconcile the UserSchedules that name a pool which appeared, went or admits other members."""
        self._lists.changed()
        for key in self._placements[USER_SCHEDULE].state.statuses.members_of(pool):
            self.enqueue(USER_SCHEDULE, key)

    def _on_pool_switched(self, pool: Key) -> None:
        """Have the members of a pool that was suspended or resumed say so, at the bounded rate."""
        for key in self._placements[USER_SCHEDULE].state.statuses.members_of(pool):
            self._rollout.add((USER_SCHEDULE, key))

    def _on_list(self, namespace: str, uids: Collection[str]) -> None:
        """Have UserSchedules say that their pool's pods cannot be told of them, or are by now, at the bounded rate."""
        for key, uid in self._placements[USER_SCHEDULE].state.statuses.members_in(namespace).items():
            if uid in uids:
                self._rollout.add((USER_SCHEDULE, key))

    def _on_started(self, job: WaitingJob) -> None:
        name = _task_name("started", (job.namespace, job.name))
        self._queue.add(name, partial(self._placements[job.owner].job_status.note_started, job))

    def _on_finished(self, finished: FinishedJob, looks: int = _LOOKS) -> None:
        """Record a result that no status has. At the start Jobs are listed before most of their owners."""
        parts = self._placements[finished.owner]
        statuses, key = parts.state.statuses, (finished.namespace, finished.owner_name)
        statuses.note_finished(key, finished)
        recorded = statuses.is_recorded(key, finished)
        if recorded is None and looks:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._on_finished, finished, looks - 1)
            return
        if recorded:
            return
        name = _task_name("record", (finished.namespace, finished.name))
        self._queue.add(name, partial(parts.job_status.record, finished))


def _task_name(verb: str, key: Key, owner: Owner = USER_SCHEDULE) -> str:
    """Return the name of a task; it says the kind of owner where that is no UserSchedule."""
    kind = "" if owner is USER_SCHEDULE else f"{owner.kind} "
    return f"{verb} {kind}{key[0]}/{key[1]}"
