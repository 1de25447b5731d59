"""The placements: what a kind of owner is turned into. The reconciliation is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from catchup_contract.kinds import Kind, user_kinds
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.by_hand import by_hand, by_hand_name
from catchup_operator.manifests.cronjob import limits_of
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.names import SCHEDULE_POOL, USER_SCHEDULE, Owner
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.manifests.template_hash import pool_template_hash, template_hash
from catchup_operator.reconcile.pool_waits import is_told, list_wait, member_wait, pools_wait
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule, pool_of
from catchup_operator.state.conflicts import name_of, user_of
from catchup_operator.state.known_statuses import KnownStatuses
from catchup_operator.state.pool_ticks import PoolTicks
from catchup_operator.state.pools import PoolFacts, Pools
from catchup_operator.status import member_status, patches, pool_status, ready
from catchup_operator.status.conditions import Condition
from catchup_operator.status.job_health import SwitchedOff
from catchup_operator.status.job_section import active_since, section_of, switched_off
from catchup_operator.status.requests import new_requests
from catchup_operator.status.results import Cause, JobResult
from catchup_operator.status.waiting import WaitingJob, not_started


@dataclass(frozen=True, slots=True)
class Desired:
    """What a resource is to become.

    Attributes:
        manifests: the CronJob of each kind. Others that the status names are deleted.
        off: what the spec switches off, of the kinds that have a CronJob.
        once: CronJobs of requests by hand, each made once.
        patch: returns the status patch after they were applied. It takes the fields of each CronJob, and by name
            `mutated`, `contested` and `terminating` as `patches.reconciled` does.
    """

    manifests: Mapping[Kind, Mapping[str, Any]]
    patch: Callable[..., dict[str, Any] | None]
    off: SwitchedOff = field(default_factory=dict)
    once: Sequence[Mapping[str, Any]] = ()


class Placement(Protocol):
    """A kind of owner, and how it is turned into CronJobs.

    Attributes:
        owner: the kind.
    """

    owner: ClassVar[Owner]

    def subject_of(self, body: Mapping[str, Any]) -> str:
        """Return what only one resource may serve."""

    def statuses(self) -> KnownStatuses:
        """Return what remembers the statuses, empty."""

    def template_hash(self, body: Mapping[str, Any]) -> str:
        """Return the hash of what a resource takes from the job template."""

    def is_current(self, body: Mapping[str, Any], applied_hash: str) -> bool:
        """Whether this generation was reconciled with what had this hash, so that there is nothing to write."""

    def must_act(self, body: Mapping[str, Any], now: datetime) -> bool:
        """Whether there is something to do at `now` (aware) that no edit of the spec tells of."""

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        """Return what a resource is to become; with an `older` one that serves instead, it is suspended.

        Raises:
            InvalidSpecError: the spec breaks a rule of the schema.
            RetryAfterError: it is not known yet, or must wait.
        """

    def recorded(self, body: Mapping[str, Any], result: JobResult, *, now: datetime) -> dict[str, Any] | None:
        """Return the status patch for a Job's result."""

    def refreshed(
        self, body: Mapping[str, Any], absent: Mapping[Kind, Condition], *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for kinds whose runs are `absent`."""

    def waiting(
        self, body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for a Job of which no pod starts."""

    def started(self, body: Mapping[str, Any], job: WaitingJob, *, now: datetime) -> dict[str, Any] | None:
        """Return the status patch for a Job whose wait `waiting` told, once a pod of it has started."""


class Dedicated:
    """A UserSchedule has CronJobs of its own, or names the pool whose CronJobs serve it."""

    owner: ClassVar[Owner] = USER_SCHEDULE
    subject_of = staticmethod(user_of)

    def __init__(self, template: JobTemplate, pools: Pools) -> None:
        self._template = template
        self._pools = pools
        self._hash = template_hash(template)

    def statuses(self) -> KnownStatuses:
        """Return what remembers the statuses, empty."""
        seconds = {kind: limits_of(kind, self._template)["activeDeadlineSeconds"] for kind in user_kinds()}
        return KnownStatuses({kind: timedelta(seconds=each) for kind, each in seconds.items()})

    def template_hash(self, body: Mapping[str, Any]) -> str:
        """Return the hash of what a resource takes from the job template: nothing, where it names a pool."""
        return member_status.POOLED_HASH if pool_of(body) else self._hash

    def is_current(self, body: Mapping[str, Any], applied_hash: str) -> bool:
        """Whether this generation was reconciled with a template, so that there is nothing to write."""
        pool = pool_of(body)
        facts = self._pools.facts((body["metadata"]["namespace"], pool)) if pool else None
        # While the pools are not known, the status is believed.
        is_as_the_pool = facts is None or (facts.admits and member_status.agrees_with_pool(body, facts.off))
        metadata = body["metadata"]
        is_known = not pool or not self._pools.lacks(metadata["namespace"], metadata["uid"], metadata["generation"])
        return patches.is_current(body, applied_hash) and is_as_the_pool and is_known

    def must_act(self, body: Mapping[str, Any], now: datetime) -> bool:
        """Whether a suspension has ended, or a run by hand is asked for."""
        return patches.must_resume(body, now) or bool(new_requests(body, now))

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        """Return what a resource is to become. Raises InvalidSpecError, RetryAfterError."""
        schedule = self._read(body).at(now)
        schedule = schedule if older is None else replace(schedule, suspend=True, suspension=None)
        since = active_since(body, schedule, now=now)
        off = {kind: switched_off(schedule, kind) for kind in schedule.sections}
        # What is switched off makes no runs by hand either.
        asked = {kind: at for kind, at in new_requests(body, now).items() if off[kind] is None}
        unready = None
        if schedule.pool:
            pool, has_cronjobs = self._pool(schedule, body)
            must_know = has_cronjobs or (older is None and self._must_know(schedule, body))
            if pool.admits and must_know and not self._is_listed(schedule):
                raise member_wait(body, self._pools, now, off)
            if pool.admits or not has_cronjobs or older is not None:
                patch = partial(
                    member_status.pooled,
                    is_found=pool.admits,
                    pool_off=pool.off,
                    requested={kind: at for kind, at in asked.items() if pool.admits and kind not in pool.off},
                    older=older,
                )
                return Desired({}, lambda _, **__: patch(body, schedule, active_since=since, now=now))
            # A pool that comes a moment after its members finds them served.
            unready = ready.pool_not_found(schedule.pool, has_cronjobs=True)
        manifests = desired_cronjobs(schedule, self._template, since)
        patch = partial(
            patches.reconciled,
            body,
            schedule,
            template_hash=self._hash,
            active_since=since,
            now=now,
            requested=asked,
            older=older,
            unready=unready,
        )
        once = [by_hand(manifests[kind], by_hand_name(body["metadata"], kind, at), now) for kind, at in asked.items()]
        return Desired(manifests, patch, off, once)

    def recorded(self, body: Mapping[str, Any], result: JobResult, *, now: datetime) -> dict[str, Any] | None:
        """Return the status patch for a Job's result."""
        return patches.recorded(body, self._valid(body, now), result, now=now)

    def refreshed(
        self, body: Mapping[str, Any], absent: Mapping[Kind, Condition], *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for kinds whose runs are absent."""
        return patches.refreshed(body, self._valid(body, now), absent, now=now)

    def waiting(
        self, body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for a Job of which no pod starts."""
        return patches.waiting(body, job, cause, now=now)

    def started(self, body: Mapping[str, Any], job: WaitingJob, *, now: datetime) -> dict[str, Any] | None:
        """Return the status patch for a Job of which a pod has started at last."""
        return patches.started(body, self._valid(body, now), job, now=now)

    def _pool(self, schedule: UserSchedule, body: Mapping[str, Any]) -> tuple[PoolFacts, bool]:
        """Return the pool, and whether CronJobs serve the user so far."""
        pool = self._pools.facts((schedule.namespace, schedule.pool))
        if pool is None:
            raise pools_wait()
        return pool, any("cronJobName" in section_of(body, kind) for kind in schedule.sections)

    def _is_listed(self, schedule: UserSchedule) -> bool:
        return self._pools.is_on_list(schedule.namespace, schedule.uid, schedule.generation)

    def _must_know(self, schedule: UserSchedule, body: Mapping[str, Any]) -> bool:
        """Whether the status must not say that a pool serves the user before its pods know: they cannot be told now."""
        pools, namespace = self._pools, schedule.namespace
        is_new = not body.get("status") and pools.refused(namespace) is not None
        return is_new or is_told(body) or pools.lacks(namespace, schedule.uid, schedule.generation)

    def _read(self, body: Mapping[str, Any]) -> UserSchedule:
        return UserSchedule.from_body(body, digest_spread=self._template.digest_spread)

    def _valid(self, body: Mapping[str, Any], now: datetime) -> UserSchedule | None:
        """Return the spec as it is in force at `now`, or None where it is invalid."""
        try:
            return self._read(body).at(now)
        except InvalidSpecError:
            return None


class Pooled:
    """A SchedulePool has CronJobs that serve all of its members."""

    owner: ClassVar[Owner] = SCHEDULE_POOL
    subject_of = staticmethod(name_of)

    def __init__(self, template: JobTemplate, pools: Pools) -> None:
        self._template = template
        self._pools = pools
        self._hash = pool_template_hash(template)

    def statuses(self) -> KnownStatuses:
        """Return what remembers the statuses, empty."""
        return PoolTicks(self._pools)

    def template_hash(self, body: Mapping[str, Any]) -> str:  # noqa: ARG002 - the same for all pools
        """Return the hash of the job template for pools."""
        return self._hash

    def is_current(self, body: Mapping[str, Any], applied_hash: str) -> bool:
        """Whether this generation was reconciled with a template, so that there is nothing to write."""
        return patches.is_current(body, applied_hash)

    def must_act(self, body: Mapping[str, Any], now: datetime) -> bool:
        """Whether a suspension has ended."""
        return patches.must_resume(body, now)

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        """Return what a resource is to become. Raises InvalidSpecError, RetryAfterError."""
        pool = SchedulePool.from_body(body).at(now)
        has_cronjobs = any("cronJobName" in section_of(body, kind) for kind in user_kinds())
        if not has_cronjobs and not self._pools.has_list((pool.namespace, pool.name)):
            # ConfigMaps of an earlier pool may say what was true then.
            raise list_wait(body, self._pools, "the list of UserSchedules is not written yet", now)
        pool = pool if older is None else replace(pool, suspend=True, suspension=None)
        since = pool_status.active_since(body, pool, now=now)
        patch = partial(
            pool_status.reconciled, body, pool, template_hash=self._hash, active_since=since, now=now, older=older
        )
        off = {kind: pool_status.switched_off(pool, kind) for kind in pool.sections}
        return Desired(pool_cronjobs(pool, self._template, since), patch, off)

    def recorded(self, body: Mapping[str, Any], result: JobResult, *, now: datetime) -> dict[str, Any] | None:
        """Return the status patch for a Job's result."""
        return pool_status.recorded(body, self._valid(body, now), result, now=now)

    def refreshed(
        self, body: Mapping[str, Any], absent: Mapping[Kind, Condition], *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for kinds whose runs are absent."""
        return pool_status.with_conditions(body, absent.values(), now=now)

    def waiting(
        self, body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime
    ) -> dict[str, Any] | None:
        """Return the status patch for a Job of which no pod starts."""
        return pool_status.with_conditions(body, [not_started(job, cause)], now=now)

    def started(self, body: Mapping[str, Any], job: WaitingJob, *, now: datetime) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the status patch for a Job of which a pod has started at last."""
        return None  # the next tick that succeeds says so

    def _valid(self, body: Mapping[str, Any], now: datetime) -> SchedulePool | None:
        try:
            return SchedulePool.from_body(body).at(now)
        except InvalidSpecError:
            return None


PLACEMENTS: Final[tuple[Callable[[JobTemplate, Pools], Placement], ...]] = (Dedicated, Pooled)
