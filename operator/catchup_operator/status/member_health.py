"""The condition of each kind of job of a UserSchedule in a pool: what the pool's ticks say of its user."""

from __future__ import annotations

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import ADVICE, Reason
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status import ready
from catchup_operator.status.conditions import Condition
from catchup_operator.status.job_section import switched_off


def member_health(schedule: UserSchedule, kind: Kind, *, pool_off: str | None, trouble: Reason | None) -> Condition:
    """Return the condition of a kind.

    Args:
        pool_off: `PoolSuspended` or `PoolDisabled` where the pool's spec switches the kind off.
        trouble: why the user is in trouble; None where no tick has said so; no tick names who
            is well.
    """
    condition, off = user_kinds()[kind].condition, switched_off(schedule, kind)
    if off:
        return Condition(condition, "Unknown", off, f"the {kind} is switched off by the spec")
    if pool_off:
        text = f"the {kind} is switched off by the SchedulePool {schedule.pool}"
        return Condition(condition, "Unknown", pool_off, text)
    if trouble is not None:
        message = f"{ADVICE[trouble].text}; see `catchup-jobs user show {schedule.user_id}`"
        return Condition(condition, "False", trouble.camel_case, message)
    text = f"told where it is in trouble; `catchup-jobs user show {schedule.user_id}` has its runs"
    return Condition(condition, "Unknown", ready.POOLED, text)
