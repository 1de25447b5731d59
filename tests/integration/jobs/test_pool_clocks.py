"""Slots that a node whose clock was ahead has put too late are computed anew."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from integration.jobs.pool_world import NOW, PoolWorld, apply, cadence_of, schedule

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST
from catchup_contract.pools import TICK_DEADLINE_SECONDS
from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.schema import pool_slots
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import TemporaryError


def put_ahead(pool: PoolWorld, **duration: float) -> datetime:
    """Make a tick on a node whose clock is ahead; return when `ada` is due by it."""
    pool.pass_time(**duration)
    pool.tick()
    pool.now = NOW
    due_at = pool.row("ada").due_at
    assert due_at > NOW + timedelta(hours=1)  # the fault fired
    assert isinstance(due_at, datetime)
    pool.served.clear()
    return due_at


def test_a_sync_that_a_clock_ahead_put_hours_away_is_served_by_the_next_tick_that_counts(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob")
    put_ahead(pool, hours=5)

    assert pool.store().compute_far_anew(now=pool.now) == 2
    pool.tick()

    first = {name: cadence_of(name).latest(NOW) for name in ("ada", "bob")}
    assert dict(pool.served) == first
    assert pool.row("ada").due_at == first["ada"] + timedelta(minutes=30)


@pytest.mark.parametrize(("day", "days"), [(DigestDay.DAILY, 3), (DigestDay.SUNDAY, 10)])
def test_a_digest_that_a_clock_ahead_put_days_away_is_due_at_its_time(
    pool: PoolWorld, day: DigestDay, days: int
) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", digest_day=day, digest_time=time(14))  # an hour from now, on a Monday
    pool.store().schedule(now=pool.now, limit=100)
    right = pool.row("ada").due_at
    wrong = put_ahead(pool, days=days)
    assert wrong > right

    assert pool.store().compute_far_anew(now=pool.now) == 1
    pool.tick()

    assert pool.row("ada").due_at == right
    assert pool.served == []


def test_a_run_that_a_clock_ahead_put_back_is_tried_at_the_slot_that_is_due_now(pool: PoolWorld) -> None:
    def unavailable(_: RunContext) -> Result:
        raise TemporaryError("later", wait_seconds=3600)

    pool.enrol("ada")
    pool.body = unavailable
    put_ahead(pool, hours=5)
    assert pool.row("ada").unfinished > NOW

    pool.store().compute_far_anew(now=pool.now)
    pool.body = lambda _: Result()
    pool.tick()

    assert pool.served == [("ada", cadence_of("ada").latest(NOW))]


def test_a_claim_of_a_clock_ahead_ends_when_one_of_now_would_and_its_slot_is_not_served_early(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.store().schedule(now=NOW, limit=100)
    ahead = NOW + timedelta(hours=5)
    (claimed,) = pool.store().claim(["ada"], "pod-ahead", now=ahead, until=ahead + timedelta(minutes=6))
    assert claimed.slot is not None
    assert claimed.slot > NOW

    assert pool.store().compute_far_anew(now=NOW) == 1

    assert pool.row("ada").due_at == NOW + timedelta(seconds=TICK_DEADLINE_SECONDS + 60)
    pool.now = pool.row("ada").due_at
    pool.tick()
    assert pool.served == [("ada", cadence_of("ada").latest(pool.now))]


@pytest.mark.parametrize("every", sorted(SYNC_INTERVALS_MINUTES))
def test_what_is_due_by_its_schedule_stays_as_it_is(pool: PoolWorld, every: str) -> None:
    pool.every, pool.version = every, f"2026z {every}"
    names = [f"user-{number}" for number in range(12)]
    pool.enrol(*names, digest_time=time(8))  # a Sunday's, seven days from its last follow-up
    pool.tick()
    pool.kind = DIGEST
    pool.tick()

    assert pool.store().compute_far_anew(now=pool.now) == 0


def test_a_suspension_is_no_clock_that_was_ahead(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", suspended_until=format_utc(NOW + timedelta(days=90))))
    pool.tick()
    assert pool.row("ada").due_at > NOW + timedelta(days=89)

    assert pool.store().compute_far_anew(now=pool.now) == 0
    with pool.database.write() as connection:
        connection.execute(pool_slots.update().values(version=""))
    assert pool.store().compute_far_anew(now=NOW + timedelta(days=90)) == 0
