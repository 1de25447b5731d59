"""Runs by hand of a pool's members, as their UserSchedules ask for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.pool_world import PoolWorld, apply, cadence_of, schedule
from integration.jobs.test_pool_pods import dies

from catchup_contract.kinds import DIGEST
from catchup_contract.timestamps import format_utc
from catchup_jobs.jobs.run.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from catchup_contract.schedule_list import ListedSchedule
    from catchup_jobs.jobs.run.context import Result, RunContext

SINCE = "2026-11-01T00:00:00Z"


def asked(user_id: str, at: datetime, **fields: str) -> ListedSchedule:
    return schedule(user_id, **{"digest_since": SINCE, "sync_requested_at": format_utc(at), **fields})


def made(pool: PoolWorld, *names: str) -> None:
    """Make members whose slots so far are served, a minute after a slot of each."""
    pool.enrol(*names, pool=None)
    apply(pool, *(schedule(name, digest_since=SINCE) for name in names))
    pool.tick()
    pool.served.clear()
    pool.now = next(cadence_of(names[0]).due_after(pool.now)) + timedelta(minutes=1)
    pool.tick()
    pool.served.clear()


def key_of(user_id: str, at: datetime) -> str:
    return f"sync:{user_id}:requested-{format_utc(at)}"


def test_a_member_is_served_at_the_next_tick_though_not_due_and_once(pool: PoolWorld) -> None:
    made(pool, "ada")
    due_at, at = pool.row("ada").due_at, pool.now

    assert apply(pool, asked("ada", at)) == ["ada"]
    pool.tick()
    assert pool.requested == [("ada", at)]
    assert (pool.states(), pool.served) == ({key_of("ada", at): "done"}, [])
    assert pool.row("ada").due_at == due_at

    # The list changes for others.
    pool.pass_time(minutes=1)
    assert apply(pool, asked("ada", at), schedule("bob")) == []
    pool.tick()
    # A time before is no newer request.
    assert apply(pool, asked("ada", at - timedelta(minutes=1))) == []
    pool.tick()
    assert pool.requested == [("ada", at)]

    assert apply(pool, asked("ada", pool.now)) == ["ada"]
    pool.tick()
    assert pool.requested == [("ada", at), ("ada", pool.now)]
    pool.now = due_at
    pool.tick()
    assert pool.served == [("ada", due_at)]


def test_a_slot_that_is_due_beside_a_request_is_served_after_it(pool: PoolWorld) -> None:
    made(pool, "ada")
    pool.now = due_at = pool.row("ada").due_at
    apply(pool, asked("ada", pool.now))

    pool.tick()

    assert (pool.requested, pool.served) == ([("ada", due_at)], [("ada", due_at)])
    assert pool.row("ada").due_at == due_at + timedelta(minutes=30)


def test_a_request_that_comes_while_the_member_is_served_waits_for_the_next_tick(pool: PoolWorld) -> None:
    made(pool, "ada")
    pool.now = due_at = pool.row("ada").due_at

    def ask() -> None:
        apply(pool, asked("ada", due_at))

    pool.tick(on_served=ask)
    assert (pool.requested, pool.served) == ([], [("ada", due_at)])
    pool.tick()

    assert (pool.requested, pool.served) == ([("ada", due_at)], [("ada", due_at)])


def test_a_request_that_fails_is_tried_again_under_its_key_and_the_schedule_stays(pool: PoolWorld) -> None:
    made(pool, "ada")
    due_at, at, failures = pool.row("ada").due_at, pool.now, iter([TemporaryError("down")] * 2)

    def failing(context: RunContext) -> Result:
        if failure := next(failures, None):
            raise failure
        return result(context)

    result, pool.body = pool.body, failing
    apply(pool, asked("ada", at))
    pool.tick()

    assert next(failures, None) is None
    assert pool.requested == [("ada", at)] * 3
    assert (pool.states(), pool.row("ada").due_at) == ({key_of("ada", at): "done"}, due_at)


def test_a_request_that_is_given_up_is_a_dead_letter_and_the_schedule_stays(pool: PoolWorld) -> None:
    made(pool, "ada")
    due_at, at = pool.row("ada").due_at, pool.now

    def refused(_: RunContext) -> Result:
        raise PermanentError("no")

    pool.body = refused
    apply(pool, asked("ada", at))
    pool.tick()

    assert list(pool.dead_letters()) == [key_of("ada", at)]
    assert pool.row("ada").due_at == due_at


def test_a_request_in_whose_run_pods_die_is_given_up(pool: PoolWorld) -> None:
    made(pool, "ada")
    at = pool.now
    apply(pool, asked("ada", at))
    pool.store().schedule(now=pool.now, limit=10)
    for _ in range(2):
        dies(pool, "ada")
        pool.pass_time(minutes=2)

    pool.tick()

    assert list(pool.dead_letters()) == [key_of("ada", at)]


def test_a_pod_that_is_stopped_leaves_the_request(pool: PoolWorld) -> None:
    made(pool, "ada", "bob")
    at = pool.now

    def stop() -> None:
        pool.stopping = True

    apply(pool, asked("ada", at), asked("bob", at))
    pool.tick(workers=1, on_served=stop)
    assert len(pool.requested) == 1
    pool.stopping = False
    pool.tick()

    assert {user for user, _ in pool.requested} == {"ada", "bob"}
    assert set(pool.states().values()) == {"done"}
    assert pool.served == []


@pytest.mark.parametrize("age", [timedelta(minutes=61), timedelta(minutes=-6)])
def test_a_request_that_is_too_old_or_of_a_wrong_clock_is_not_served(pool: PoolWorld, age: timedelta) -> None:
    made(pool, "ada")
    assert apply(pool, asked("ada", pool.now - age)) == []


def test_who_is_suspended_is_not_served_by_a_request_nor_an_hour_later(pool: PoolWorld) -> None:
    made(pool, "ada")
    until = pool.now + timedelta(hours=2)
    apply(pool, replace(asked("ada", pool.now, suspended_until=format_utc(until)), generation=2))
    while pool.now < until + timedelta(minutes=31):
        pool.tick()
        pool.pass_time(minutes=5)

    assert pool.requested == []
    assert len(pool.served) == 1


def test_a_digest_is_asked_for_by_itself(pool: PoolWorld) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 24, 11, tzinfo=UTC)
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    pool.tick()
    due_at = pool.row("ada").due_at
    apply(pool, schedule("ada", digest_requested_at=format_utc(pool.now)))

    pool.tick()

    # Without a slot: the digest's body takes it as one by hand, for which quiet hours hold.
    assert pool.states() == {f"digest:ada:requested-{format_utc(pool.now)}": "done"}
    assert pool.row("ada").due_at == due_at


def test_a_request_of_a_user_who_leaves_is_served_by_the_pool_that_was_asked(pool: PoolWorld) -> None:
    made(pool, "ada")
    at = pool.now
    apply(pool, asked("ada", at))
    apply(pool, asked("ada", at, pool=""))

    pool.tick()
    pool.tick()

    assert (pool.requested, pool.served) == ([("ada", at)], [])
    assert apply(pool, asked("ada", at, pool="")) == []
