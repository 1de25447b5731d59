"""Members of pools in whose run a process died."""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, and_, select

from catchup_contract.kinds import Kind
from catchup_jobs.adapters.database.schema import pool_slots, runs
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS


@cache
def has_died(kind: Kind) -> ColumnElement[bool]:
    """Return whether the process whose claim of a slot (of `pool_slots`) has ended was making the member's run then.

    Whoever was claimed and not begun, and whose run ended without a settlement, has harmed no process.
    """
    begun = (
        select(runs.c.run_key)
        .where(
            runs.c.kind == kind,
            runs.c.subject == pool_slots.c.user_id,
            runs.c.owner == pool_slots.c.owner,
            runs.c.state.in_(UNFINISHED_RUNS),
        )
        .correlate(pool_slots)
    )
    # Most members have no owner, and are not looked for among the runs.
    return and_(pool_slots.c.owner.is_not(None), begun.exists())
