"""Merge patches (RFC 7396) of a SchedulePool's status; None where the status says the same already.

A tick comes every minute, and must not cost a write each: the status gets the numbers of a tick that counted the whole
pool, and otherwise only what changes a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import ADVICE, Reason
from catchup_contract.summary import Count
from catchup_contract.timestamps import format_utc
from catchup_operator.manifests.names import SCHEDULE_POOL
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.timetable import TIMETABLES
from catchup_operator.status import patches, ready
from catchup_operator.status.absence import ABSENT
from catchup_operator.status.conditions import Condition, find_condition, merge_conditions
from catchup_operator.status.job_section import DISABLED, resumed_at, section_of
from catchup_operator.status.last_run import last_run_fields
from catchup_operator.status.results import JobResult
from catchup_operator.status.waiting import is_not_started

MEMBERS_LATE: Final = "MembersLate"
MEMBERS_FAILING: Final = "MembersFailing"
# A pool whose ticks come, and whose members are in trouble: alerts of their own are for them.
OF_MEMBERS: Final = frozenset({MEMBERS_LATE, MEMBERS_FAILING})
TICKS_SUCCEED: Final = "TicksSucceed"
# Fields of the status for which the larger number of both kinds of job counts.
_WORST: Final = {"failing": Count.MEMBERS_FAILING, "late": Count.MEMBERS_LATE}


def reconciled(
    body: Mapping[str, Any],
    pool: SchedulePool,
    cronjobs: Mapping[Kind, Mapping[str, Any]],
    *,
    template_hash: str,
    active_since: Mapping[Kind, str | None],
    now: datetime,
    older: object = None,
    mutated: tuple[str, str] | None = None,
    contested: tuple[str, str] | None = None,
    terminating: tuple[str, tuple[str, ...]] | None = None,
) -> dict[str, Any] | None:
    """Return the patch after the CronJobs were applied; the arguments are as those of `patches.reconciled`."""
    conflict = None if older is None else ready.conflict(older, SCHEDULE_POOL)
    readiness = ready.outcome(
        conflict,
        mutation=mutated,
        contest=contested,
        held=terminating,
        suspend=pool.suspend,
        suspension=pool.suspension,
    )
    health = [_between_ticks(body, pool, kind) for kind in cronjobs]
    sections = {
        kind: {**fields, "display": switched_off(pool, kind) or f"looks every {pool.sections[kind].tick}"}
        for kind, fields in cronjobs.items()
    }
    for kind, since in active_since.items():
        sections[kind]["activeSince"] = since
    return patches.applied(
        body,
        [readiness, *health],
        sections,
        template_hash=template_hash,
        older=older,
        suspension=pool.suspension,
        now=now,
    )


def active_since(body: Mapping[str, Any], pool: SchedulePool, *, now: datetime) -> dict[Kind, str | None]:
    """Return when the pool was resumed last (RFC 3339, UTC), for each kind with due dates; None where it never was.

    Not when it was made: a member who comes from another placement may bring a digest that was due before.
    """
    # Not by `Ready`, which says why a resume is refused. Whom another pool served has no pause behind it.
    was_suspended = any(section_of(body, kind).get("display") == ready.SUSPENDED for kind in user_kinds())
    is_resumed = was_suspended and not pool.suspend and not (body.get("status") or {}).get("conflictsWith")
    resumed = resumed_at(body, now) if is_resumed else None
    return {
        kind: resumed or section_of(body, kind).get("activeSince")
        for kind, work in user_kinds().items()
        if TIMETABLES[work.rule].has_due_dates
    }


def recorded(
    body: Mapping[str, Any], pool: SchedulePool | None, result: JobResult, *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for a tick's result; None where it did not count the pool and changes no condition.

    `pool` is None where the spec is invalid.
    """
    if result.reason == Reason.SWITCHED_OFF.camel_case:
        return None  # a tick by hand that did nothing says nothing of the pool
    section = section_of(body, result.kind)
    fields = last_run_fields(section, result)
    del fields["consecutiveFailures"]  # most ticks are not recorded
    has_counted = Count.MEMBERS in result.counts
    if not has_counted:
        del fields["counts"]
    off = None if pool is None else switched_off(pool, result.kind)
    shared = {} if result.trouble is None else result.trouble.shared
    condition = health(result.kind, {**section, **fields}, switched_off=off, shared=shared)
    if not (has_counted or _is_news(body, condition)):
        return None
    numbers = _numbers(body, pool, result) if has_counted else {}
    conditions = merge_conditions(body, [condition], now)
    return {user_kinds()[result.kind].status_section: fields, "conditions": conditions, **numbers}


def with_conditions(
    body: Mapping[str, Any], conditions: Iterable[Condition], *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for conditions of kinds; one that is False for the same reason already is no news."""
    news = [condition for condition in conditions if _is_news(body, condition)]
    return {"conditions": merge_conditions(body, news, now)} if news else None


def health(
    kind: Kind,
    section: Mapping[str, Any],
    *,
    switched_off: str | None = None,
    shared: Mapping[Reason, int] = MappingProxyType({}),
) -> Condition:
    """Return the condition of a kind by the last tick in its section of the new status.

    Args:
        shared: causes that so many members share that they are told here alone, with their numbers.
    """
    condition = user_kinds()[kind].condition
    if switched_off:
        return Condition(condition, "Unknown", switched_off, f"the {kind} is switched off by the spec")
    result, counts = section.get("lastResult"), section.get("counts") or {}
    if result is None:
        return Condition(condition, "Unknown", "NoRunYet", f"no tick of the {kind} has ended yet")
    if result == "Failed":
        message = (section.get("lastError") or {}).get("message") or "see the log of the Job's pod"
        return Condition(condition, "False", section.get("lastReason") or "Failed", message)
    members, late, failing = (
        counts.get(count, 0) for count in (Count.MEMBERS, Count.MEMBERS_LATE, Count.MEMBERS_FAILING)
    )
    if late:
        text = (
            f"{late} of {members} members are late; give the {kind} more shards, and see with `catchup-jobs runs list` "
            "whether runs wait for a quota; `catchup-jobs pool members` lists them"
        )
        return Condition(condition, "False", MEMBERS_LATE, text)
    if shared:
        causes = "; ".join(
            f"{number} with {cause.camel_case}: {ADVICE[cause].text}" for cause, number in shared.items()
        )
        return Condition(condition, "False", MEMBERS_FAILING, f"{failing} of {members} members fail, {causes}")
    text = f"{failing} of {members} members fail; see `catchup-jobs pool members`" if failing else "ticks end well"
    return Condition(condition, "True", TICKS_SUCCEED, text)


def switched_off(pool: SchedulePool, kind: Kind) -> str | None:
    """Return `Suspended` or `Disabled` where the spec switches a kind off, else None."""
    if pool.suspend:
        return ready.SUSPENDED
    return None if pool.sections[kind].enabled else DISABLED


def _between_ticks(body: Mapping[str, Any], pool: SchedulePool, kind: Kind) -> Condition:
    before, off = find_condition(body.get("status") or {}, user_kinds()[kind].condition), switched_off(pool, kind)
    if off is None and (before.get("reason") in {*ABSENT, MEMBERS_FAILING} or is_not_started(before)):
        return Condition(before["type"], before["status"], before["reason"], before["message"])
    return health(kind, section_of(body, kind), switched_off=off)


def _is_news(body: Mapping[str, Any], condition: Condition) -> bool:
    before = find_condition(body.get("status") or {}, condition.type)
    return (before.get("status"), before.get("reason")) != (condition.status, condition.reason)


def _numbers(body: Mapping[str, Any], pool: SchedulePool | None, result: JobResult) -> dict[str, Any]:
    """Return the pool's numbers by a tick that counted it, and by the last one of each other kind that is on."""
    counts = result.counts
    numbers: dict[str, Any] = {"members": counts[Count.MEMBERS]}
    if Count.MEMBERS_SYNCED in counts:
        numbers["synced"] = counts[Count.MEMBERS_SYNCED]
    if Count.OLDEST_SYNC_SECONDS in counts:
        age = timedelta(seconds=counts[Count.OLDEST_SYNC_SECONDS])
        numbers["oldestSync"] = format_utc(result.finished_at - age)
    others = [
        section_of(body, kind).get("counts") or {}
        for kind in user_kinds()
        if kind is not result.kind and (pool is None or switched_off(pool, kind) is None)
    ]
    for field, count in _WORST.items():
        numbers[field] = max(each.get(count, 0) for each in (counts, *others))
    return numbers
