"""Who of a pool's members is late: who is due and was not served in time (LATE of `kubectl get schedulepools`).

With a sync that is after an interval of the member's syncs, with a digest `LATE_AFTER` of
`catchup_contract.digest_rule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, and_, func, or_, select

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.digest_rule import LATE_AFTER
from catchup_contract.kinds import Kind, Rule
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.schema import pool_members, pool_slots
from catchup_jobs.adapters.database.sync_intervals import MEMBERS_INTERVAL, intervals_before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_LATE_AFTER_INTERVALS: Final = 1
"""A member of a pool is late with a sync that was due so many intervals ago; with a digest after `LATE_AFTER`."""
# The same after the shortest interval: nobody is late with a sync sooner.
_SOONEST: Final = _LATE_AFTER_INTERVALS * timedelta(minutes=min(SYNC_INTERVALS_MINUTES.values()))
# A claim and a run that is put back move `due_at` on, and the slot waits.
WAITING_SINCE: Final = func.coalesce(pool_slots.c.unfinished, pool_slots.c.due_at, type_=pool_slots.c.due_at.type)


@dataclass(frozen=True, slots=True)
class LateMember:
    """A member who is late.

    Attributes:
        uid: of the UserSchedule; None for an enrolled user.
        since: the slot that waits (UTC).
    """

    user_id: str
    uid: str | None
    since: datetime


def is_late(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return whether a member (of `pool_slots`, `pool_members`) was not served in time, at `now` (aware)."""
    if kind.rule is Rule.INTERVAL:
        return intervals_before(now, _LATE_AFTER_INTERVALS, MEMBERS_INTERVAL) > WAITING_SINCE
    return now - LATE_AFTER > WAITING_SINCE


def may_be_late(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return a condition that slots (of `pool_slots`) meet whose members are late, and few others, by indexes only."""
    before = now - (_SOONEST if kind.rule is Rule.INTERVAL else LATE_AFTER)
    return or_(pool_slots.c.due_at < before, pool_slots.c.unfinished < before)


def late_members(connection: Connection, pool: str, kind: Kind, *, now: datetime, limit: int) -> Iterator[LateMember]:
    """Yield the members of a pool who are late with a kind, the longest first."""
    statement = (
        select(pool_slots.c.user_id, pool_members.c.uid, WAITING_SINCE.label("since"))
        .select_from(pool_slots.join(pool_members))
        .where(and_(pool_slots.c.pool == pool, pool_slots.c.kind == kind), is_served(now), is_late(kind, now))
        .order_by(WAITING_SINCE, pool_slots.c.user_id)
        .limit(limit)
    )
    for row in connection.execute(statement):
        yield LateMember(row.user_id, row.uid, row.since)
