"""The placements: what a kind of owner is turned into. The reconciliation is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from catchup_contract.kinds import Kind
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.names import SCHEDULE_POOL, USER_SCHEDULE, Owner
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.manifests.template_hash import pool_template_hash, template_hash
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.conflicts import name_of, user_of
from catchup_operator.state.pool_statuses import PoolStatuses
from catchup_operator.state.statuses import Statuses
from catchup_operator.status import patches, pool_status
from catchup_operator.status.conditions import Condition
from catchup_operator.status.job_section import active_since
from catchup_operator.status.results import Cause, JobResult
from catchup_operator.status.waiting import WaitingJob, not_started


@dataclass(frozen=True, slots=True)
class Desired:
    """What a resource is to become.

    Attributes:
        manifests: the CronJob of each kind.
        patch: returns the status patch after they were applied. It takes the fields of each CronJob, and by name
            `contested` and `terminating` as `patches.reconciled` does.
    """

    manifests: Mapping[Kind, Mapping[str, Any]]
    patch: Callable[..., dict[str, Any] | None]


class Placement(Protocol):
    """A kind of owner, and how it is turned into CronJobs.

    Attributes:
        owner: the kind.
        template_hash: of the job template, for the CronJobs of this kind.
    """

    owner: ClassVar[Owner]
    template_hash: str

    def subject_of(self, body: Mapping[str, Any]) -> str:
        """Return what only one resource may serve."""

    def statuses(self) -> Statuses:
        """Return what remembers the statuses, empty."""

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        """Return what a resource is to become; with an `older` one that serves instead, it is suspended.

        Raises:
            InvalidSpecError: the spec breaks a rule of the schema.
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
    """A UserSchedule has CronJobs of its own."""

    owner: ClassVar[Owner] = USER_SCHEDULE
    subject_of = staticmethod(user_of)

    def __init__(self, template: JobTemplate) -> None:
        self._template = template
        self.template_hash = template_hash(template)

    def statuses(self) -> Statuses:
        return Statuses()

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        schedule = self._read(body)
        schedule = schedule if older is None else replace(schedule, suspend=True)
        since = active_since(body, schedule, now=now)
        manifests = desired_cronjobs(schedule, self._template, since)
        patch = partial(
            patches.reconciled,
            body,
            schedule,
            template_hash=self.template_hash,
            active_since=since,
            now=now,
            older=older,
        )
        return Desired(manifests, patch)

    def recorded(self, body: Mapping[str, Any], result: JobResult, *, now: datetime) -> dict[str, Any] | None:
        return patches.recorded(body, self._valid(body), result, now=now)

    def refreshed(
        self, body: Mapping[str, Any], absent: Mapping[Kind, Condition], *, now: datetime
    ) -> dict[str, Any] | None:
        schedule = self._valid(body)
        return None if schedule is None else patches.refreshed(body, schedule, absent, now=now)

    def waiting(
        self, body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime
    ) -> dict[str, Any] | None:
        return patches.waiting(body, job, cause, now=now)

    def started(self, body: Mapping[str, Any], job: WaitingJob, *, now: datetime) -> dict[str, Any] | None:
        return patches.started(body, self._valid(body), job, now=now)

    def _read(self, body: Mapping[str, Any]) -> UserSchedule:
        return UserSchedule.from_body(body, digest_spread=self._template.digest_spread)

    def _valid(self, body: Mapping[str, Any]) -> UserSchedule | None:
        """Return the spec, or None where it is invalid."""
        try:
            return self._read(body)
        except InvalidSpecError:
            return None


class Pooled:
    """A SchedulePool has CronJobs that serve all of its members."""

    owner: ClassVar[Owner] = SCHEDULE_POOL
    subject_of = staticmethod(name_of)

    def __init__(self, template: JobTemplate) -> None:
        self._template = template
        self.template_hash = pool_template_hash(template)

    def statuses(self) -> Statuses:
        return PoolStatuses()

    def desired(self, body: Mapping[str, Any], *, older: object, now: datetime) -> Desired:
        pool = SchedulePool.from_body(body)
        pool = pool if older is None else replace(pool, suspend=True)
        patch = partial(pool_status.reconciled, body, pool, template_hash=self.template_hash, now=now, older=older)
        return Desired(pool_cronjobs(pool, self._template), patch)

    def recorded(self, body: Mapping[str, Any], result: JobResult, *, now: datetime) -> dict[str, Any] | None:
        return pool_status.recorded(body, self._valid(body), result, now=now)

    def refreshed(
        self, body: Mapping[str, Any], absent: Mapping[Kind, Condition], *, now: datetime
    ) -> dict[str, Any] | None:
        return pool_status.told(body, absent.values(), now=now)

    def waiting(
        self, body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime
    ) -> dict[str, Any] | None:
        return pool_status.told(body, [not_started(job, cause)], now=now)

    def started(self, body: Mapping[str, Any], job: WaitingJob, *, now: datetime) -> dict[str, Any] | None:  # noqa: ARG002
        return None  # the next tick that succeeds says so

    def _valid(self, body: Mapping[str, Any]) -> SchedulePool | None:
        try:
            return SchedulePool.from_body(body)
        except InvalidSpecError:
            return None


PLACEMENTS: Final[tuple[Callable[[JobTemplate], Placement], ...]] = (Dedicated, Pooled)
