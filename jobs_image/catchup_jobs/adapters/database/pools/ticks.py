"""When a pod of each pool has run last: where none has for long, nobody serves the members."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_ticks

NOTED_EVERY: Final = timedelta(minutes=5)
"""How often it is stored that a pod of a pool has run."""
SILENT_AFTER: Final = timedelta(hours=1)
"""A pool of which no pod has run for so long serves nobody."""


def note_tick(database: Database, pool: str, *, now: datetime) -> None:
    """Store that a pod of a pool runs at `now` (aware), unless that was stored a moment ago. Raises JobError."""
    with database.read() as connection:
        noted = last_tick(connection, pool)
    # A clock that was ahead may have stored it.
    if noted is not None and abs(now - noted) < NOTED_EVERY:
        return
    with database.write() as connection:
        stored = database.insert(pool_ticks).values(pool=pool, at=now)
        connection.execute(stored.on_conflict_do_update(index_elements=["pool"], set_={"at": stored.excluded.at}))


def last_tick(connection: Connection, pool: str) -> datetime | None:
    """Return when a pod of a pool has run last (UTC), None where none ever has."""
    at: datetime | None = connection.execute(select(pool_ticks.c.at).where(pool_ticks.c.pool == pool)).scalar()
    return at


def last_ticks(connection: Connection) -> dict[str, datetime]:
    """Return for each pool when a pod of it has run last (UTC)."""
    return {row.pool: row.at for row in connection.execute(select(pool_ticks.c.pool, pool_ticks.c.at))}


def is_silent(tick: datetime | None, now: datetime) -> bool:
    """Return whether no pod of a pool whose last one ran at `tick` serves it at `now` (aware)."""
    return tick is None or now - tick > SILENT_AFTER
