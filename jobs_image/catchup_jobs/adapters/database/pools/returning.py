"""Enrolled users who are served by their enrolment again, since no UserSchedule names them any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, or_, select, tuple_, update

from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.pools.leaving import forget_put_back
from catchup_jobs.adapters.database.pools.members import HEAD_ALONE, join_enrolled, reschedule
from catchup_jobs.adapters.database.pools.ticks import is_silent, last_ticks
from catchup_jobs.adapters.database.schedule_columns import give_back_own
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members, pool_slots, users

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.pools.applied import Turns


def return_enrolled(turns: Turns, named: Collection[str], *, now: datetime) -> bool:
    """Make enrolled users members of their pool again whom a complete list does not name.

    A member by a UserSchedule that is gone is dropped by the pods of the member's pool. Of a pool that is gone, too, no
    pod does that; it is done here, once that pool has not ticked for long. It may be alive with a newer list, or with
    that of another cluster.

    Args:
        turns: of the pool in which they are enrolled.
        named: the users whom the list names.

    Returns:
        Whether nobody waits for another pool to drop them.

    Raises:
        OvertakenError: another pod has applied the same list meanwhile, or a newer one.
        JobError: the database cannot be used.
    """
    held = (
        select(pool_enrolments.c.user_id, pool_members.c.pool, pool_members.c.uid, pool_members.c.leaving)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.pool == turns.pool)
        .where(or_(pool_members.c.user_id.is_(None), pool_members.c.uid.is_not(None), pool_members.c.leaving))
    )
    # Of members by enrolment: their UserSchedules had CronJobs, and were deleted before the users were enrolled.
    copied = (
        select(users.c.id)
        .join(pool_members, pool_members.c.user_id == users.c.id)
        .where(pool_members.c.pool == turns.pool, pool_members.c.uid.is_(None), users.c.schedule_seen_at.is_not(None))
    )
    with turns.database.read() as connection:
        rows = [row for row in connection.execute(held) if row.user_id not in named]
        ticks = last_ticks(connection)
        stale = list(connection.execute(copied).scalars())
    kept = {row.user_id: row for row in rows if row.pool is not None and not row.leaving}
    gone = {user_id: row.uid for user_id, row in kept.items() if is_silent(ticks.get(row.pool), now)}
    back = [row.user_id for row in rows if row.user_id not in kept or row.user_id in gone]
    for page in chunks(sorted(back)):
        turns.take(partial(_return, turns, page, {user: gone[user] for user in page if user in gone}, now))
    for page in chunks(sorted(user_id for user_id in stale if user_id not in named)):
        turns.take(partial(_give_back, page, now))
    return kept.keys() == gone.keys()


def _return(
    turns: Turns, user_ids: Sequence[str], gone: Mapping[str, str], now: datetime, connection: Connection
) -> list[str]:
    # No UserSchedule owns their schedule any more.
    give_back_own(connection, user_ids, now=now)
    if gone:
        _drop(connection, gone)
    join_enrolled(turns.database, connection, user_ids)
    return list(user_ids)


def _give_back(user_ids: Sequence[str], now: datetime, connection: Connection) -> list[str]:
    give_back_own(connection, user_ids, now=now)
    reschedule(connection, user_ids)
    return list(user_ids)


def _drop(connection: Connection, gone: Mapping[str, str]) -> None:
    """End the membership of users by UserSchedules that are gone, given by user, in pools that are gone, too."""
    are_they = tuple_(pool_members.c.user_id, pool_members.c.uid).in_(sorted(gone.items()))
    pools = set(connection.execute(select(pool_members.c.pool).where(are_they).distinct()).scalars())
    forget_put_back(connection, pool_slots.c.user_id.in_(sorted(gone)))
    connection.execute(delete(pool_members).where(are_they))
    # Should such a pool be back, and the UserSchedule be there after all, it takes its members back.
    connection.execute(update(pool_lists).where(pool_lists.c.pool.in_(sorted(pools))).values(digest=HEAD_ALONE))
