"""Which pools the database knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select

from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database


def is_known_pool(database: Database, pool: str) -> bool:
    """Return whether a pool has members or enrolments, or one of its pods has run. Raises JobError."""
    tables = (pool_members, pool_enrolments, pool_lists)
    with database.read() as connection:
        known = connection.execute(select(or_(*(exists().where(table.c.pool == pool) for table in tables)))).scalar()
    return bool(known)
