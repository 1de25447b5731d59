"""Members who are due later than their schedule can say: by a node whose clock was hours ahead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, case, func, literal, null, select, update

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import Kind, Rule
from catchup_contract.pools import TICK_DEADLINE_SECONDS
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, users
from catchup_jobs.adapters.database.sync_intervals import MEMBERS_INTERVAL, intervals_before
from catchup_jobs.adapters.database.types import UtcDateTime
from catchup_jobs.jobs.pool.tick import CLAIM_MARGIN

_SYNC_MARGIN: Final = timedelta(minutes=10)
"""A sync of a pool's member that is due later than its interval and this time is computed anew."""
# A date may be missing in a zone, and a clock is set back.
_DAILY_MAX: Final = timedelta(days=2)
"""A daily digest of a pool's member that is due later than this is computed anew."""
_WEEKLY_MAX: Final = timedelta(days=9)
"""A weekly digest of a pool's member that is due later than this is computed anew."""


def compute_far_anew(
    database: Database, kind: Kind, mine: Sequence[ColumnElement[bool]], *, version: str, now: datetime
) -> int:
    """Have members computed anew who are due later than their schedule can say; return how many.

    What was missed meanwhile is served as for a new member. A claim ends when one that is made now would end, so that
    who made it may still settle it. Raises JobError.

    Args:
        mine: the conditions for the slots of the pool, the kind and the shard.
        version: that of slots whose due time was computed by the present rules.
        now: the time, aware.
    """
    far = (
        select(pool_slots.c.user_id)
        .join_from(pool_slots, pool_members)
        .join(users)
        .where(*mine, pool_slots.c.version == version, is_served(now), pool_slots.c.due_at > _latest(kind, now))
    )
    with database.read() as connection:
        if connection.execute(far.limit(1)).first() is None:
            return 0
    claim_end = now + timedelta(seconds=TICK_DEADLINE_SECONDS) + CLAIM_MARGIN
    is_claimed, is_begun = pool_slots.c.owner.is_not(None), pool_slots.c.unfinished <= now
    with database.write() as connection:
        # In one order everywhere, or two transactions could wait for each other.
        locked = far.order_by(pool_slots.c.user_id).with_for_update(of=pool_slots, skip_locked=True)
        user_ids = list(connection.execute(locked).scalars())
        for page in chunks(user_ids):
            connection.execute(
                update(pool_slots)
                .where(pool_slots.c.kind == kind, pool_slots.c.user_id.in_(page))
                .values(
                    due_at=case((is_claimed, _at(claim_end)), (is_begun, _at(now)), else_=null()),
                    # A slot that has not come yet is not served early.
                    unfinished=case((is_begun, pool_slots.c.unfinished), else_=null()),
                    version="",
                )
            )
    return len(user_ids)


def _latest(kind: Kind, now: datetime) -> ColumnElement[datetime]:
    if kind.rule is Rule.INTERVAL:
        return intervals_before(now + _SYNC_MARGIN, -1, MEMBERS_INTERVAL)
    day = func.coalesce(pool_members.c.digest_day, users.c.digest_day)
    return case((day == DigestDay.DAILY, _at(now + _DAILY_MAX)), else_=_at(now + _WEEKLY_MAX))


def _at(instant: datetime) -> ColumnElement[datetime]:
    return literal(instant, UtcDateTime())
