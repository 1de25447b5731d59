"""Members whose rows somebody else holds, as an import does: a tick waits for nobody and spins nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.database_faults import statements
from integration.jobs.pool_world import NOW, PoolWorld
from sqlalchemy import create_engine, select

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_slots

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def served(postgresql_url: str, tmp_path: Path) -> Iterator[PoolWorld]:
    """An empty pool on PostgreSQL, of which other connections can hold rows."""
    database = Database.open(postgresql_url)
    yield PoolWorld(database, tmp_path / "locks")
    database.close()


@contextmanager
def held_rows(pool: PoolWorld) -> Iterator[list[str]]:
    """Hold the rows of all members of the kind, as a transaction does that changes them; give their users."""
    other = create_engine(pool.database.engine.url)
    with other.connect() as connection:
        rows = select(pool_slots.c.user_id).where(pool_slots.c.kind == pool.kind).with_for_update()
        yield list(connection.execute(rows).scalars())
        connection.rollback()
    other.dispose()


def test_a_tick_does_not_spin_where_others_hold_the_members_who_are_due(served: PoolWorld) -> None:
    served.enrol(*(f"u{number:03}" for number in range(250)))
    served.make_due()
    with held_rows(served) as users, statements(served.database) as seen:
        assert len(users) == 250
        served.tick(seconds=120)

    assert served.users_served() == []
    assert served.now >= NOW + timedelta(seconds=60), "until its deadline is near it looks again"
    assert len(seen) < 20 * 60, len(seen)
    served.now = NOW
    served.tick()
    assert len(served.users_served()) == 250
