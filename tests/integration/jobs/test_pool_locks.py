"""Members whose rows somebody else holds, as an import does: a tick waits for nobody and spins nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.database_faults import after, statements
from integration.jobs.pool_world import NOW, PoolWorld
from sqlalchemy import ColumnElement, create_engine, select

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
def held_rows(pool: PoolWorld, *which: ColumnElement[bool]) -> Iterator[list[str]]:
    """Hold rows of members of the kind, as a transaction does that changes them; give their users."""
    other = create_engine(pool.database.engine.url)
    with other.connect() as connection:
        rows = select(pool_slots.c.user_id).where(pool_slots.c.kind == pool.kind, *which).order_by(pool_slots.c.user_id)
        yield list(connection.execute(rows.with_for_update()).scalars())
        connection.rollback()
    other.dispose()


def test_a_tick_looks_once_a_second_for_due_members_whom_others_hold(served: PoolWorld) -> None:
    served.enrol(*(f"u{number:03}" for number in range(250)))
    served.make_due()
    with held_rows(served) as users, statements(served.database) as seen:
        assert len(users) == 250
        served.tick(seconds=120)

    assert served.users_served() == []
    assert served.now >= NOW + timedelta(seconds=60), "until its deadline is near"
    # Each second three reads, and seven claims of those whom one of them found.
    assert len(seen) < 15 * 60, len(seen)
    served.now = NOW
    served.tick()
    assert len(served.users_served()) == 250, "nobody was lost"


def test_a_tick_that_others_keep_from_its_members_ends_by_a_signal(served: PoolWorld) -> None:
    served.enrol(*(f"u{number:03}" for number in range(250)))
    served.make_due()

    def stop() -> None:
        served.stopping = True

    with held_rows(served), statements(served.database) as seen, after("FOR UPDATE", served.database, stop, nth=3):
        served.tick()

    assert seen[-1].count("FOR UPDATE") == 1, "it was stopped between two claims, and asked nothing more"


def test_a_tick_serves_whom_it_may_while_others_hold_the_rest(served: PoolWorld) -> None:
    served.enrol("ada", "bob")
    served.make_due(["ada"], at=NOW - timedelta(hours=1))
    served.make_due(["bob"])
    with held_rows(served, pool_slots.c.user_id == "ada") as users:
        assert users == ["ada"]
        served.tick(seconds=90)

    assert served.users_served() == ["bob"]


def test_members_whose_rows_others_hold_are_computed_by_a_later_tick(served: PoolWorld) -> None:
    served.enrol(*(f"u{number:03}" for number in range(600)))
    with held_rows(served) as users, statements(served.database) as seen:
        assert len(users) == 600
        served.tick()
    assert len(seen) < 30, len(seen)
    assert served.row("u000").due_at is None

    served.tick()

    assert len(served.users_served()) == 600


def test_who_is_computed_while_others_hold_some_is_all_the_rest(served: PoolWorld) -> None:
    served.enrol(*(f"u{number:04}" for number in range(1100)))
    with held_rows(served, pool_slots.c.user_id < "u0300") as users:
        assert len(users) == 300
        assert served.store().schedule(now=served.now, limit=500) >= 200, "a chunk has some who are free"
        served.tick()
        with served.database.read() as connection:
            later = select(pool_slots.c.user_id).where(pool_slots.c.due_at.is_(None), pool_slots.c.kind == served.kind)
            assert set(connection.execute(later).scalars()) == set(users)
