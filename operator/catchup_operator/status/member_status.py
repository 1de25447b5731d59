"""Merge patches (RFC 7396) of the status of a UserSchedule in a pool; None where the status says the same already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import Reason
from catchup_contract.timestamps import format_utc
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status import ready
from catchup_operator.status.conditions import READY, find_condition, merge_conditions
from catchup_operator.status.job_section import DISABLED, section_of, timetable_fields
from catchup_operator.status.member_health import member_health
from catchup_operator.status.patches import applied, if_changed

# The status of a UserSchedule in a pool does not depend on the job template.
POOLED_HASH: Final = "pooled"


def agrees_with_pool(body: Mapping[str, Any], pool_off: Mapping[Kind, str]) -> bool:
    """Whether the status of a pool's member says which kinds the pool has switched off."""
    status, of_pool = body.get("status") or {}, {ready.POOL_SUSPENDED, ready.POOL_DISABLED}
    for kind, work in user_kinds().items():
        reason = find_condition(status, work.condition).get("reason")
        # What the spec itself switches off comes first.
        if reason not in {ready.SUSPENDED, DISABLED} and pool_off.get(kind) != (reason if reason in of_pool else None):
            return False
    return True


def pooled(
    body: Mapping[str, Any],
    schedule: UserSchedule,
    *,
    active_since: Mapping[Kind, str | None],
    now: datetime,
    is_found: bool,
    requested: Mapping[Kind, datetime] | None = None,
    pool_off: Mapping[Kind, str],
    older: object = None,
) -> dict[str, Any] | None:
    """Return the patch for a UserSchedule that names a pool: what its CronJobs and their runs left goes.

    The arguments are as those of `patches.reconciled`; `is_found` says whether there is such a pool, and `pool_off`
    which kinds it has switched off (`PoolSuspended`, `PoolDisabled`).
    """
    readiness = ready.pooled(schedule.pool)
    if older is not None:
        readiness = ready.conflict(older)
    elif not is_found:
        readiness = ready.pool_not_found(schedule.pool, has_cronjobs=False)
    elif schedule.suspend:
        readiness = ready.suspended(schedule.suspension)
    elif ready.POOL_SUSPENDED in pool_off.values():
        readiness = ready.pool_suspended(schedule.pool)
    is_served = is_found and older is None
    taken = {kind: format_utc(at) for kind, at in (requested or {}).items()}
    health, sections = [], {}
    for kind in schedule.sections:
        off = pool_off.get(kind) if is_served else None
        # What ticks said goes: the next one says it again if it holds.
        health.append(member_health(schedule, kind, pool_off=off, trouble=None))
        sections[kind] = {
            **dict.fromkeys(section_of(body, kind)),
            **_request(section_of(body, kind), taken.get(kind)),
            "display": timetable_fields(schedule, kind, now)["display"] if off is None else off.removeprefix("Pool"),
            **({"activeSince": active_since[kind]} if kind in active_since else {}),
        }
    return applied(
        body,
        [readiness, *health],
        sections,
        template_hash=POOLED_HASH,
        older=older,
        suspension=schedule.suspension,
        pool=schedule.pool,
        now=now,
    )


def _request(section: Mapping[str, Any], taken: str | None) -> dict[str, str]:
    """Return the field for the last request by hand that was taken; it stays where there is no newer one."""
    at = taken or section.get("requestedAt")
    return {} if at is None else {"requestedAt": at}


def troubled(
    body: Mapping[str, Any], schedule: UserSchedule, troubles: Mapping[Kind, Reason | None], *, now: datetime
) -> dict[str, Any] | None:
    """Return the patch for what a tick says of a member: of each kind why it is in trouble, None where it is not."""
    if find_condition(body.get("status") or {}, READY).get("reason") != ready.POOLED:
        return None
    conditions = [
        member_health(schedule, kind, pool_off=None, trouble=trouble)
        for kind, trouble in troubles.items()
        if find_condition(body["status"], user_kinds()[kind].condition).get("reason") != ready.POOL_DISABLED
    ]
    return if_changed(body, {"conditions": merge_conditions(body, conditions, now)})
