"""Suspensions that end by themselves, as the pods of a pool see them: by the list of UserSchedules and the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.pool_world import NOW, PoolWorld, apply, cadence_of, schedule

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.pools import Members
from catchup_contract.summary import Count
from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.schema import pool_slots
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind
    from catchup_contract.schedule_list import ListedSchedule

UNTIL = NOW + timedelta(hours=6)


def suspended(user_id: str, until: datetime = UNTIL) -> ListedSchedule:
    return schedule(user_id, suspended_until=format_utc(until))


def play(pool: PoolWorld, until: datetime, minutes: int = 5) -> None:
    """Make ticks until a time."""
    while pool.now < until:
        pool.tick()
        pool.pass_time(minutes=minutes)


def test_who_is_suspended_is_not_served_and_is_again_from_the_first_slot_after_the_end_on(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), schedule("bob"))
    pool.tick()
    assert sorted(pool.users_served()) == ["ada", "bob"]
    pool.served.clear()
    apply(pool, replace(suspended("ada"), generation=2), schedule("bob"))

    play(pool, UNTIL)
    assert set(pool.users_served()) == {"bob"}
    play(pool, UNTIL + timedelta(minutes=31))

    # The list stayed as it was.
    first = next(cadence_of("ada").due_after(UNTIL - timedelta(seconds=1)))
    assert next(slot for user, slot in pool.served if user == "ada") == first


def test_who_was_due_when_the_suspension_came_is_not_served_in_it(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    pool.make_due()
    apply(pool, replace(suspended("ada"), generation=2))
    # A tick that runs already has computed when members are due.
    pool.version = pool.row("ada").version

    pool.tick()

    assert pool.served == []
    assert pool.row("ada").due_at == next(cadence_of("ada").due_after(UNTIL - timedelta(seconds=1)))


@pytest.mark.parametrize("is_told", [False, True])
def test_a_digest_that_was_due_in_a_suspension_is_not_sent_and_the_next_one_is(pool: PoolWorld, is_told: bool) -> None:
    due = datetime(2026, 11, 29, 8, tzinfo=UTC)  # Sunday, 09:00 in Berlin
    until = due + timedelta(minutes=30)
    pool.kind, pool.now = DIGEST, due - timedelta(hours=1)
    pool.enrol("ada", pool=None)
    apply(pool, suspended("ada", until))

    play(pool, until + timedelta(minutes=5))
    if is_told:
        # What the operator lists once it has written the status.
        apply(pool, replace(suspended("ada", until), digest_since=format_utc(until)))
    play(pool, due + timedelta(hours=5), minutes=30)
    assert pool.served == []
    pool.now = due + timedelta(days=7)
    pool.tick()

    assert [slot for _, slot in pool.served] == [due + timedelta(days=7)]


def test_a_digest_that_is_due_at_the_end_of_a_suspension_is_sent(pool: PoolWorld) -> None:
    due = datetime(2026, 11, 29, 8, tzinfo=UTC)
    pool.kind, pool.now = DIGEST, due - timedelta(hours=1)
    pool.enrol("ada", pool=None)
    apply(pool, suspended("ada", due))

    play(pool, due + timedelta(minutes=6))

    assert pool.served == [("ada", due)]


def test_a_pool_that_was_resumed_sends_no_digest_that_fell_due_before(pool: PoolWorld) -> None:
    due = datetime(2026, 11, 29, 8, tzinfo=UTC)
    resumed = due + timedelta(minutes=30)
    pool.kind, pool.now = DIGEST, due - timedelta(days=1)
    pool.enrol("ada")
    pool.tick()
    # No tick comes while the pool is suspended.
    pool.now = resumed
    store = replace(pool.store(), since=resumed)

    for _ in range(6):
        pool.tick(store=store)
        pool.pass_time(hours=1)

    assert pool.served == []
    assert pool.row("ada").due_at == due + timedelta(days=7)


def test_whoever_is_suspended_does_not_count_as_a_member_who_waits(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), schedule("bob"))
    pool.tick()
    apply(pool, replace(suspended("ada"), generation=2), schedule("bob"))
    play(pool, UNTIL, minutes=30)

    counts = pool.store().counts(now=pool.now - timedelta(minutes=30))

    assert {count: counts[count] for count in (Count.MEMBERS, Count.MEMBERS_SYNCED, Count.MEMBERS_LATE)} == {
        Count.MEMBERS: 1,
        Count.MEMBERS_SYNCED: 1,
        Count.MEMBERS_LATE: 0,
    }
    assert counts[Count.OLDEST_SYNC_SECONDS] < 3600
    assert pool.store().counts(now=pool.now)[Count.MEMBERS] == 2


def test_a_list_that_changes_for_others_writes_nothing_for_who_is_suspended(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    assert apply(pool, suspended("ada")) == ["ada"]
    pool.pass_time(hours=1)

    assert apply(pool, suspended("ada"), schedule("bob")) == ["bob"]


def test_whoever_is_enrolled_while_leaving_is_not_suspended_by_what_the_user_schedule_said(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, suspended("ada", pool.now + timedelta(days=9)))
    # A slot that was begun keeps the user in the pool.
    with pool.database.write() as connection:
        connection.execute(pool_slots.update().values(owner="pod", due_at=pool.now + timedelta(minutes=5)))
    apply(pool, replace(suspended("ada"), generation=2, pool=""))
    pool.enrol("ada")
    apply(pool, where=Members.DATABASE)
    with pool.database.write() as connection:
        connection.execute(pool_slots.update().values(owner=None))

    play(pool, pool.now + timedelta(minutes=31))

    assert "ada" in pool.users_served()
    assert pool.store().counts(now=pool.now)[Count.MEMBERS] == 1


@pytest.mark.parametrize("kind", [SYNC, DIGEST])
@pytest.mark.parametrize("until", ["9999-12-31T23:59:59Z", "2099-01-01T00:00:00Z"])
def test_a_suspension_that_never_ends_harms_no_other_member(pool: PoolWorld, kind: Kind, until: str) -> None:
    pool.kind = kind
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada", suspended_until=until), schedule("bob"))

    pool.tick()
    assert pool.row("ada").due_at.year in {2098, 2099, 9999}
    pool.now = pool.row("bob").due_at
    pool.served.clear()
    pool.tick()

    assert pool.users_served() == ["bob"]


def test_a_suspension_that_ended_in_the_first_year_suspends_nobody(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", suspended_until=format_utc(datetime(1, 1, 1, tzinfo=UTC))))

    pool.tick()

    assert pool.users_served() == ["ada"]


@pytest.mark.parametrize("fields", [{"suspended_until": format_utc(UNTIL)}, {"is_served": False}], ids=str)
def test_a_run_that_was_put_back_is_not_tried_in_a_suspension(pool: PoolWorld, fields: dict[str, Any]) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))

    def fail(_: RunContext) -> Result:
        raise TemporaryError("the server is away")

    pool.body = fail
    pool.tick(seconds=62)
    assert list(pool.states().values()) == ["retry"]
    pool.served.clear()
    apply(pool, schedule("ada", generation=2, **fields))

    play(pool, UNTIL, minutes=30)

    assert pool.served == []
    assert (pool.states(), pool.dead_letters()) == ({}, {})
