"""Lists that are applied at one time, by pods of one pool or of several, while others import users."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from integration.jobs.database_faults import after
from integration.jobs.pool_world import PoolWorld, apply, listed_members, schedule
from sqlalchemy import select, text

from catchup_jobs.adapters.database import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_members

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def on_postgresql(postgresql_url: str, tmp_path: Path) -> Iterator[PoolWorld]:
    """An empty pool on PostgreSQL, where transactions of several connections go on at one time."""
    database = Database.open(postgresql_url)
    yield PoolWorld(database, tmp_path / "locks")
    database.close()


def pools(pool: PoolWorld) -> dict[str, str]:
    """Return the pool of each member."""
    with pool.database.read() as connection:
        return {row.user_id: row.pool for row in connection.execute(select(pool_members))}


def deadlocks(database: Database) -> int:
    with database.read() as connection:
        told = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(told).scalar_one())


def at_once(*works: Callable[[], object]) -> None:
    """Do several things in threads; an error of one fails the test."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def meeting(world: PoolWorld, words: str, barrier: threading.Barrier, work: Callable[[PoolWorld], object]) -> None:
    """Do something by connections of its own, and wait for another at the first statement that holds these words."""
    database = Database.open(world.database.engine.url.render_as_string(hide_password=False))
    own = replace(world, database=database)
    with after(words, database, lambda: barrier.wait(30)):
        work(own)
    database.close()


def test_two_pools_that_take_users_from_each_other_do_not_end_each_other(on_postgresql: PoolWorld) -> None:
    world, barrier = on_postgresql, threading.Barrier(2)
    world.enrol("ada", "bob", pool=None)
    apply(world, schedule("ada", pool="east"), name="east", order=1)
    apply(world, schedule("bob", pool="west"), name="west", order=1)
    swapped = (schedule("ada", generation=2, pool="west"), schedule("bob", generation=2, pool="east"))

    # Each holds its own row of `pool_lists`, and wants the other's next.
    at_once(
        *(
            lambda name=name: meeting(
                world, "FROM users", barrier, lambda own: apply(own, *swapped, name=name, order=2)
            )
            for name in ("east", "west")
        )
    )

    assert deadlocks(world.database) > 0, "they were to meet"
    assert pools(world) == {"ada": "west", "bob": "east"}


def test_an_import_and_a_list_of_its_users_do_not_end_each_other(on_postgresql: PoolWorld) -> None:
    world, barrier = on_postgresql, threading.Barrier(2)
    world.enrol("ada", pool=None)
    apply(world, order=1)

    at_once(
        # One holds the user and wants the rows of `pool_lists`, the other the other way round.
        lambda: meeting(world, "UPDATE users", barrier, lambda own: own.enrol("ada", pool=None)),
        lambda: meeting(world, "FROM users", barrier, lambda own: apply(own, schedule("ada"), order=2)),
    )

    assert deadlocks(world.database) > 0, "they were to meet"
    assert listed_members(world) == {"ada"}


def test_who_is_imported_while_a_list_is_applied_is_a_member_by_it_the_next_time(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, order=1)
    listed = (schedule("ada"), schedule("bob"))

    # After the page of new members.
    with after("SELECT pool_members.user_id, pool_members.uid,", pool.database, lambda: pool.enrol("bob", pool=None)):
        assert apply(pool, *listed, order=2) == ["ada"]

    assert apply(pool, *listed, order=2) == ["bob"]


def test_a_pod_that_dies_while_it_applies_a_list_leaves_it_to_the_next(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 2)
    users = [f"u{number}" for number in range(5)]
    pool.enrol(*users, pool=None)
    apply(pool, order=1)
    listed = [schedule(user_id) for user_id in users]
    died = RuntimeError("killed")

    def die() -> None:
        raise died

    with pytest.raises(RuntimeError), after("INSERT INTO pool_members", pool.database, die, nth=2):
        apply(pool, *listed, order=2)
    assert listed_members(pool) == {"u0", "u1"}, "a page is a transaction"
    assert apply(pool, order=1) == [], "an older list undoes nothing of it"
    assert listed_members(pool) == {"u0", "u1"}

    assert apply(pool, *listed, order=2) == ["u2", "u3", "u4"]
    assert apply(pool, *listed, order=2) == []
