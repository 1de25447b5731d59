"""Enrolled users who are served by their enrolment again, since no UserSchedule names them any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, or_, select, update

from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.members import join_enrolled
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_members, users

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.pools.applied import Turns


def return_enrolled(turns: Turns, named: Collection[str]) -> None:
    """Make enrolled users members of their pool again whom a complete list does not name.

    Args:
        turns: of the pool in which they are enrolled.
        named: the users whom the list names.

    Raises:
        OvertakenError: another pod has applied the same list meanwhile, or a newer one.
        JobError: the database cannot be used.
    """
    without = (
        select(pool_enrolments.c.user_id)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.pool == turns.pool, or_(pool_members.c.user_id.is_(None), pool_members.c.leaving))
    )
    with turns.database.read() as connection:
        back = sorted(set(connection.execute(without).scalars()) - set(named))
    for page in chunks(back):
        turns.take(partial(_return, turns.database, page))


def _return(database: Database, user_ids: Sequence[str], connection: Connection) -> list[str]:
    # No UserSchedule owns their schedule any more.
    connection.execute(update(users).where(users.c.id.in_(user_ids)).values(schedule_seen_at=None))
    join_enrolled(database, connection, user_ids)
    return list(user_ids)
