"""Merge patches (RFC 7396) of a UserSchedule's status; None where the status says the same already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.schedule.suspension import Suspension
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status import ready
from catchup_operator.status.absence import ABSENT
from catchup_operator.status.conditions import READY, Condition, find_condition, merge_conditions
from catchup_operator.status.job_health import UNKNOWN, SwitchedOff, job_health, switching
from catchup_operator.status.job_section import (
    SUSPENDED_UNTIL,
    next_runs,
    section_of,
    switched_off,
    timetable_fields,
    without_next_runs,
)
from catchup_operator.status.last_run import is_recorded, is_repetition, last_run_fields
from catchup_operator.status.results import Cause, JobResult
from catchup_operator.status.waiting import WaitingJob, is_not_started, known_cause, not_started


def is_current(body: Mapping[str, Any], template_hash: str) -> bool:
    """Whether this generation was reconciled with this template, so that there is nothing to write."""
    return is_observed(body, template_hash) and find_condition(body["status"], READY).get("status") == "True"


def must_resume(body: Mapping[str, Any], now: datetime) -> bool:
    """Whether the status says that the jobs are suspended until a time that has passed, at `now` (aware)."""
    until = (body.get("status") or {}).get(SUSPENDED_UNTIL)
    return until is not None and parse_utc(until) <= now


def is_known_conflict(body: Mapping[str, Any], template_hash: str, older: object) -> bool:
    """Whether the status of this generation and template names this `older` UserSchedule as the one that is served."""
    return (
        is_observed(body, template_hash)
        and find_condition(body["status"], READY).get("reason") == ready.CONFLICT
        and body["status"].get("conflictsWith") == str(older)
    )


def is_observed(body: Mapping[str, Any], template_hash: str) -> bool:
    """Whether the status speaks of this generation and this template."""
    status = body.get("status") or {}
    return (
        status.get("observedGeneration") == body["metadata"]["generation"]
        and status.get("templateHash") == template_hash
    )


def reconciled(
    body: Mapping[str, Any],
    schedule: UserSchedule,
    cronjobs: Mapping[Kind, Mapping[str, Any]],
    *,
    template_hash: str,
    active_since: Mapping[Kind, str | None],
    now: datetime,
    requested: Mapping[Kind, datetime] | None = None,
    older: object = None,
    mutated: tuple[str, str] | None = None,
    contested: tuple[str, str] | None = None,
    terminating: tuple[str, tuple[str, ...]] | None = None,
    unready: Condition | None = None,
) -> dict[str, Any] | None:
    """Return the patch after the CronJobs were applied.

    Args:
        body: the UserSchedule before.
        schedule: its spec; suspended where there is an `older` UserSchedule of the same user.
        cronjobs: for each kind the fields that describe its CronJob (`cronjob_fields`).
        template_hash: the hash of the job template.
        active_since: since when each kind with due dates has run (`job_section.active_since`).
        now: the time, aware.
        requested: the requests by hand (UTC) that were taken.
        older: the UserSchedule that serves the user instead (`namespace/name`).
        mutated: a CronJob that the server has not kept as it was applied, and what is other.
        contested: a CronJob that another writer changes back each time, and how.
        terminating: a CronJob that is being deleted, and the finalizers that hold it.
        unready: why the resource is not Ready with these CronJobs, where nothing else is the matter.
    """
    conflict = unready if older is None else ready.conflict(older)
    readiness = ready.outcome(
        conflict,
        mutation=mutated,
        contest=contested,
        held=terminating,
        suspend=schedule.suspend,
        suspension=schedule.suspension,
    )
    health = [_health(body, kind, switched_off(schedule, kind)) for kind in cronjobs]
    sections = {
        kind: {**fields, **timetable_fields(schedule, kind, now, before=section_of(body, kind))}
        for kind, fields in cronjobs.items()
    }
    for kind, since in active_since.items():
        sections.setdefault(kind, {})["activeSince"] = since
    for kind, at in (requested or {}).items():
        sections[kind]["requestedAt"] = format_utc(at)
    return applied(
        body,
        [readiness, *health],
        sections,
        template_hash=template_hash,
        older=older,
        suspension=schedule.suspension,
        now=now,
    )


def applied(
    body: Mapping[str, Any],
    conditions: Sequence[Condition],
    sections: Mapping[Kind, Mapping[str, Any]],
    *,
    template_hash: str,
    older: object,
    suspension: Suspension | None,
    now: datetime,
    pool: str | None = None,
) -> dict[str, Any] | None:
    """Return the patch after the CronJobs of any resource were applied.

    Args:
        body: the resource before.
        conditions: `Ready`, and that of each kind of job.
        sections: what the section of each kind says of its CronJob and its timetable.
        template_hash: the hash of the job template.
        older: the resource that serves instead (`namespace/name`), or None.
        suspension: what suspends it, where that has an end.
        now: the time, aware.
        pool: the SchedulePool that has the place of CronJobs, or None.
    """
    readiness, *health = conditions
    work = user_kinds()
    patch: dict[str, Any] = {
        "observedGeneration": body["metadata"]["generation"],
        "templateHash": template_hash,
        "pool": pool,
        "conflictsWith": None if older is None else str(older),
        SUSPENDED_UNTIL: None if suspension is None else format_utc(suspension.until),
        "conditions": merge_conditions(body, [readiness, *ready.progress(readiness), *health], now),
        **{work[kind].status_section: dict(fields) for kind, fields in sections.items()},
    }
    return if_changed(body, patch)


def refreshed(
    body: Mapping[str, Any], schedule: UserSchedule | None, absent: Mapping[Kind, Condition], *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for kinds whose runs are `absent`: their conditions, and their next runs from now on.

    `schedule` is None where the spec is invalid; then the next runs stay as they are.
    """
    work = user_kinds()
    if schedule is not None and schedule.pool and not absent:
        # An operator of before announced them for a pool's member, or somebody wrote them.
        return if_changed(body, without_next_runs(body))
    if not absent:
        return None
    sections: dict[str, Any] = {}
    if schedule is not None:
        sections = {work[kind].status_section: next_runs(schedule, kind, now) for kind in absent}
    return if_changed(body, {**sections, "conditions": merge_conditions(body, [*absent.values()], now)})


def not_ready(
    body: Mapping[str, Any],
    condition: Condition,
    *,
    now: datetime,
    off: SwitchedOff = UNKNOWN,
) -> dict[str, Any] | None:
    """Return the patch for a condition of `status.ready` that says why the CronJobs are not as the spec wants them.

    Where the spec could be read, `off` says what it switches off.
    """
    changed = [condition, *ready.progress(condition), *switching(body, off)]
    patch = {
        "observedGeneration": body["metadata"]["generation"],
        "conditions": merge_conditions(body, changed, now),
    }
    return if_changed(body, patch)


def unserved(body: Mapping[str, Any], *, now: datetime) -> dict[str, Any] | None:
    """Return the patch for a resource whose CronJobs are deleted, and that no operator serves any more."""
    conditions = merge_conditions(body, [ready.uninstalled()], now)
    return if_changed(body, {**without_next_runs(body), "conditions": conditions})


def recorded(
    body: Mapping[str, Any], schedule: UserSchedule | None, result: JobResult, *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for a Job's result; None also where it, or a later one, is recorded.

    `schedule` is None where the spec is invalid; then the next runs stay as they are.
    """
    section = section_of(body, result.kind)
    if is_recorded(section, result.finished_at, result.job_name):
        return None
    fields: dict[str, Any] = {} if schedule is None else {**next_runs(schedule, result.kind, now)}
    name = user_kinds()[result.kind].status_section
    if is_repetition(section, result):
        return if_changed(body, {name: fields})
    fields |= last_run_fields(section, result)
    off = None if schedule is None else switched_off(schedule, result.kind)
    condition = job_health(result.kind, {**section, **fields}, switched_off=off)
    return if_changed(body, {name: fields, "conditions": merge_conditions(body, [condition], now)})


def with_idle(
    body: Mapping[str, Any], patch: Mapping[str, Any] | None, idle: Mapping[Kind, str]
) -> Mapping[str, Any] | None:
    """Return a patch that also names the Jobs that had nothing to add; they are worth no write of their own."""
    if not patch:
        return patch
    named = {
        user_kinds()[kind].status_section: {"lastIdleJobName": job}
        for kind, job in idle.items()
        if "cronJobName" in section_of(body, kind)  # no pool serves it meanwhile
    }
    return {**patch, **{name: {**patch.get(name, {}), **fields} for name, fields in named.items()}}


def waiting(body: Mapping[str, Any], job: WaitingJob, cause: Cause, *, now: datetime) -> dict[str, Any] | None:
    """Return the patch for a Job of which no pod starts.

    None also where the status gives this reason already, or says that runs are overdue.
    """
    known = known_cause(body, job.kind, job.name)
    before = find_condition(body.get("status") or {}, user_kinds()[job.kind].condition)
    if before.get("reason") in ABSENT or (known is not None and known.reason == cause.reason):
        return None
    return {"conditions": merge_conditions(body, [not_started(job, cause)], now)}


def started(
    body: Mapping[str, Any], schedule: UserSchedule | None, job: WaitingJob, *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for a Job whose wait `waiting` told: the condition is that of the last run again."""
    if known_cause(body, job.kind, job.name) is None:
        return None
    off = None if schedule is None else switched_off(schedule, job.kind)
    condition = job_health(job.kind, section_of(body, job.kind), switched_off=off)
    return {"conditions": merge_conditions(body, [condition], now)}


def _health(body: Mapping[str, Any], kind: Kind, off: str | None) -> Condition:
    """Return the condition of a kind between its runs. What is said of runs that do not come or start stays."""
    before = find_condition(body.get("status") or {}, user_kinds()[kind].condition)
    if off is None and (before.get("reason") in ABSENT or is_not_started(before)):
        return Condition(before["type"], before["status"], before["reason"], before["message"])
    return job_health(kind, section_of(body, kind), switched_off=off)


def merged(current: Mapping[str, Any], patch: Mapping[str, Any], *, keep_nulls: bool = False) -> dict[str, Any]:
    """Return what a merge patch (RFC 7396) makes of an object, or with `keep_nulls` of another patch."""
    result = dict(current)
    for name, value in patch.items():
        if isinstance(value, Mapping):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, Mapping) else {}, value, keep_nulls=keep_nulls)
        elif value is None and not keep_nulls:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def if_changed(body: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any] | None:
    """Return the patch if merging it would change the status."""
    return patch if _changes(body.get("status") or {}, patch) else None


def _changes(current: Any, patch: Any) -> bool:
    if not isinstance(patch, Mapping):
        return bool(current != patch)
    if not isinstance(current, Mapping):
        return True  # merging turns it into an object, even if an empty one
    return any(
        (name in current) if value is None else _changes(current.get(name), value) for name, value in patch.items()
    )
