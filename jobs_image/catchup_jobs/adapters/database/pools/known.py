"""Which pools, and which users of UserSchedules, the database knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select

from catchup_contract.kinds import Kind
from catchup_contract.timestamps import parse_utc
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.pools.members import is_suspended
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members, users

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_contract.schedule_list import ListedSchedule, ScheduleList
    from catchup_jobs.adapters.database.engine import Database


def is_known_pool(database: Database, pool: str) -> bool:
    """Return whether a pool has members or enrolments, or one of its pods has run. Raises JobError."""
    tables = (pool_members, pool_enrolments, pool_lists)
    with database.read() as connection:
        known = connection.execute(select(or_(*(exists().where(table.c.pool == pool) for table in tables)))).scalar()
    return bool(known)


def without_user(
    database: Database, pool: str, kind: Kind, listed: ScheduleList, *, now: datetime
) -> list[ListedSchedule]:
    """Return the UserSchedules that a pool would serve with a kind at `now` (aware), if the database knew their users.

    Raises JobError.
    """
    wanted = {
        one.user_id: one
        for one in listed.schedules
        if one.is_served and one.pool == pool and one.has(kind)
        if not is_suspended(parse_utc(one.suspended_until) if one.suspended_until else None, now)
    }
    with database.read() as connection:
        for page in chunks(sorted(wanted)):
            for user_id in connection.execute(select(users.c.id).where(users.c.id.in_(page))).scalars():
                del wanted[user_id]
    return list(wanted.values())
