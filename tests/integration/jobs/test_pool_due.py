"""A pool serves whoever is due, at the slots of a CronJob of their own."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.pool_world import NOW, PoolWorld, apply, cadence_of, schedule

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.pools.due import DueRules
from catchup_jobs.adapters.database.schema import pool_members
from catchup_jobs.cli.jobs.pool import version_of
from catchup_jobs.domain.people.users import Schedule
from catchup_jobs.jobs.pool import tick
from catchup_jobs.jobs.pool.tick import TickResult
from catchup_jobs.jobs.run.context import Result, RunContext


def test_a_member_is_served_at_the_slots_of_a_cronjob_of_their_own(pool: PoolWorld) -> None:
    pool.enrol("ada")
    first = cadence_of("ada").latest(NOW)
    due = first + timedelta(minutes=30)

    pool.tick()
    assert pool.served == [("ada", first)]
    pool.tick()
    assert len(pool.served) == 1
    pool.now = due + timedelta(seconds=20)
    pool.tick()

    assert pool.served == [("ada", first), ("ada", due)]
    assert pool.states() == {f"sync:ada:{due:%Y-%m-%dT%H:%M:%SZ}": "done"}
    assert pool.row("ada").due_at == due + timedelta(minutes=30)


def test_of_missed_slots_the_newest_alone_is_served(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.tick()
    pool.pass_time(hours=7)

    pool.tick()
    pool.tick()

    assert pool.served[1:] == [("ada", cadence_of("ada").latest(pool.now))]


def test_whoever_is_due_longest_is_served_first(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(12)]
    pool.enrol(*names)
    for number, name in enumerate(names):
        pool.make_due([name], at=NOW - timedelta(minutes=number + 1))

    pool.tick(workers=1)

    assert pool.users_served() == names[::-1]


@pytest.mark.parametrize(
    ("zone", "clock", "now"),
    [
        ("Europe/Berlin", time(9), datetime(2026, 11, 28, tzinfo=UTC)),
        ("Asia/Beirut", time(9), datetime(2026, 3, 28, tzinfo=UTC)),  # the gap at midnight of 29 March
        ("Australia/Lord_Howe", time(23, 45), datetime(2026, 10, 3, tzinfo=UTC)),  # half an hour
        ("America/New_York", time(1, 30), datetime(2026, 10, 31, tzinfo=UTC)),  # a time that is shown twice
    ],
)
def test_a_digest_is_tried_at_its_due_time_and_its_follow_ups(
    pool: PoolWorld, zone: str, clock: time, now: datetime
) -> None:
    pool.kind, pool.now = DIGEST, now
    pool.enrol("ada", time_zone=zone, digest_time=clock)
    pool.tick()
    for _ in range(3):
        pool.now = pool.row("ada").due_at + timedelta(seconds=10)
        pool.tick()

    due = pool.served[0][1]
    local = due.astimezone(ZoneInfo(zone))
    assert (local.weekday(), local.time()) == (6, clock)
    later = [due + timedelta(hours=hours) for hours in (1, 3)]
    tried = [slot for _, slot in pool.served]
    same_day = [at for at in later if at.astimezone(ZoneInfo(zone)).date() == local.date()]
    assert tried[: 1 + len(same_day)] == [due, *same_day]


def test_a_digest_that_was_due_before_the_user_joined_is_not_sent(pool: PoolWorld) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 8, 30, tzinfo=UTC)  # half an hour after Sunday's due time
    pool.enrol("ada")

    for _ in range(6):
        pool.tick()
        pool.pass_time(hours=1)

    assert pool.served == []
    assert pool.row("ada").due_at == datetime(2026, 12, 6, 8, tzinfo=UTC)


def test_an_edited_schedule_counts_from_the_next_tick_on(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada")
    pool.tick()

    pool.enrol("ada", digest_time=time(18, 30))
    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 17, 30, tzinfo=UTC)


def test_a_schedule_that_a_user_schedules_pod_copied_counts_from_the_next_tick_on(
    pool: PoolWorld, database: Database
) -> None:
    pool.kind = DIGEST
    pool.enrol("ada")
    pool.tick()

    copied = Schedule("Etc/UTC", DigestDay.DAILY, time(7), "30m")
    DatabaseUsers(database).record_schedule("ada", copied, now=pool.now)
    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 24, 7, tzinfo=UTC)


@pytest.mark.parametrize("every", sorted(SYNC_INTERVALS_MINUTES))
def test_another_interval_of_the_pool_moves_all_members(pool: PoolWorld, every: str) -> None:
    pool.enrol("ada", "bob")
    pool.tick()

    pool.every, pool.version = every, f"2026z {every}"
    pool.tick()

    minutes = SYNC_INTERVALS_MINUTES[every]
    assert {name: pool.row(name).due_at for name in ("ada", "bob")} == {
        name: next(Cadence.of_user("sync", minutes, name).due_after(NOW)) for name in ("ada", "bob")
    }


def test_other_zone_data_move_nobody_who_is_due(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob")
    pool.make_due(["bob"])
    pool.tick()
    pool.served.clear()
    pool.make_due(["ada"])

    pool.version = "2027a 30m"
    pool.tick()

    assert pool.users_served() == ["ada"]


def moved_back(monkeypatch: pytest.MonkeyPatch, when: timedelta, since: datetime) -> None:
    """Let the zone data say from now on that local times from `since` (UTC) on come earlier by `when`."""
    due_on = DigestTime.due_on

    def earlier(digest: DigestTime, day: date) -> datetime | None:
        due = due_on(digest, day)
        return due if due is None or due < since else due - when

    monkeypatch.setattr(DigestTime, "due_on", earlier)


@pytest.mark.parametrize(
    ("back", "served"),
    [
        (timedelta(minutes=20), timedelta(minutes=20)),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=3, minutes=30), timedelta(minutes=30)),  # the last follow-up
    ],
    ids=str,
)
def test_a_digest_that_new_zone_data_put_back_before_now_is_served(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch, back: timedelta, served: timedelta
) -> None:
    due = datetime(2026, 11, 23, 22, 15, tzinfo=UTC)  # 23:15 in Berlin
    pool.kind, pool.now = DIGEST, due - timedelta(days=2)
    pool.enrol("ada", digest_day=DigestDay.DAILY, digest_time=time(23, 15))
    for now in (pool.now, due - timedelta(days=1), due - timedelta(minutes=8)):
        pool.now = now
        pool.tick()
    assert pool.row("ada").due_at == due
    pool.served.clear()

    moved_back(monkeypatch, back, due - timedelta(hours=12))
    pool.version = "2027a"
    pool.tick()

    assert pool.served == [("ada", due - served)]
    assert pool.row("ada").due_at > pool.now


def test_a_digest_that_was_served_is_not_due_again_by_new_zone_data_nor_by_an_edit_to_an_earlier_time(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime(2026, 11, 23, 22, 15, tzinfo=UTC)
    pool.kind, pool.now = DIGEST, due - timedelta(days=2)
    pool.enrol("ada", "bob", digest_day=DigestDay.DAILY, digest_time=time(23, 15))
    pool.tick()
    pool.now = due
    pool.tick()
    pool.served.clear()

    pool.enrol("bob", digest_day=DigestDay.DAILY, digest_time=time(23, 1))
    moved_back(monkeypatch, timedelta(hours=1), due - timedelta(hours=12))
    pool.version = "2027a"
    pool.pass_time(minutes=15)
    pool.tick()

    assert pool.served == []


def test_a_user_who_left_is_served_no_more_and_one_who_moved_by_the_other_pool(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", "cy")
    pool.enrol("bob", pool=None)
    pool.enrol("cy", pool="others")
    pool.make_due()

    pool.tick()
    assert pool.users_served() == ["ada"]
    pool.tick(store=pool.store(pool="others"))
    assert pool.users_served() == ["ada", "cy"]


def test_shards_share_the_members(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(40)]
    pool.enrol(*names)
    pool.make_due()

    shares = []
    for shard in range(3):
        pool.served.clear()
        pool.tick(store=pool.store(shard=shard, shards=3))
        shares.append(set(pool.users_served()))

    assert sum(map(len, shares)) == len(names)
    assert set().union(*shares) == set(names)
    assert min(map(len, shares)) > len(names) / 6


def test_nobody_is_lost_or_served_twice_when_the_number_of_shards_changes_in_the_middle(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(90)]
    pool.enrol(*names)
    pool.make_due()

    after: list[TickResult] = []

    def body(_: RunContext) -> Result:
        if len(pool.begun) == 1:
            after.extend(pool.tick(store=pool.store(shard=shard, shards=5)) for shard in range(5))
        return Result()

    pool.body = body
    before = pool.tick(store=pool.store(shard=0, shards=2), workers=1)

    assert before.served > 1
    assert min(result.served for result in after) > 0
    assert Counter(pool.users_served()) == Counter(names)
    assert set(pool.states().values()) == {"done"}


def test_a_schedule_that_cannot_be_computed_harms_no_other_member(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), schedule("bob"))
    with pool.database.write() as connection:
        # As a newer version may have stored it.
        connection.execute(pool_members.update().where(pool_members.c.user_id == "ada").values(sync_every="7m"))

    pool.tick()
    assert pool.users_served() == ["bob"]
    pool.make_due()
    pool.tick()

    assert pool.users_served() == ["bob", "bob"]


def test_an_edit_while_it_is_computed_when_a_member_is_due_is_not_lost(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", digest_day=DigestDay.DAILY, digest_time=time(20))
    due_at = DueRules.due_at
    edits: list[threading.Thread] = []

    def edited_meanwhile(rules: DueRules, row: Any, now: datetime) -> datetime | None:
        if not edits:
            edit = partial(pool.enrol, "ada", digest_day=DigestDay.DAILY, digest_time=time(18))
            edits.append(threading.Thread(target=edit))
            edits[0].start()
            edits[0].join(timeout=0.5)  # it waits for this transaction
        return due_at(rules, row, now)

    monkeypatch.setattr(DueRules, "due_at", edited_meanwhile)
    assert pool.store().schedule(now=pool.now, limit=100) == 1
    edits[0].join()
    pool.store().schedule(now=pool.now, limit=100)

    assert pool.row("ada").due_at == datetime(2026, 11, 23, 17, tzinfo=UTC)


def test_who_is_due_is_served_before_all_members_are_computed_anew(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "_SCHEDULED_AT_ONCE", 5)
    monkeypatch.setattr(tick, "_CLAIMED_AT_ONCE", 1)
    names = [f"user-{number}" for number in range(40)]
    pool.enrol(*names)
    pool.make_due()
    pool.make_due(names[:20], at=NOW + timedelta(minutes=20))
    pool.version = "2027a 30m"
    events: list[str] = []
    schedule_page = PoolSlots.schedule

    def noted(store: PoolSlots, *, now: datetime, limit: int) -> int:
        number = schedule_page(store, now=now, limit=limit)
        events.append("page" if number else "end")
        return number

    def body(_: RunContext) -> Result:
        pool.pass_time(seconds=1)
        return Result()

    monkeypatch.setattr(PoolSlots, "schedule", noted)
    pool.body = body
    pool.tick(workers=1, on_served=lambda: events.append("served"))

    assert events.count("page") >= 5
    assert events.index("served") < 2
    last = len(events) - events[::-1].index("page") - 1
    assert events[:last].count("served") >= 5
    assert events[-1] != "page"
    assert set(pool.users_served()) >= set(names[20:])
    assert {pool.row(name).version for name in names[:20]} == {"2027a 30m"}


def test_ticks_at_once_compute_different_members_anew(pool: PoolWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    if pool.database.backend == "sqlite":
        pytest.skip("SQLite has one writer")
    names = [f"user-{number}" for number in range(12)]
    pool.enrol(*names)
    pool.tick()
    pool.version = "2027a 30m"
    due_at, computed, numbers = DueRules.due_at, [], []

    def another(rules: DueRules, row: Any, now: datetime) -> datetime | None:
        computed.append(row.user_id)
        if len(computed) == 1:
            other = threading.Thread(target=lambda: numbers.append(pool.store().schedule(now=now, limit=6)))
            other.start()
            other.join(timeout=60)
        return due_at(rules, row, now)

    monkeypatch.setattr(DueRules, "due_at", another)
    numbers.append(pool.store().schedule(now=pool.now, limit=6))

    assert numbers == [6, 6]
    assert sorted(computed) == sorted(names)


def test_digests_do_not_depend_on_the_interval_of_syncs() -> None:
    """Ticks of the digest may know another interval for a while, and would have all members computed to and fro."""
    assert version_of(DIGEST, "30m") == version_of(DIGEST, "1h")
    assert version_of(SYNC, "30m") != version_of(SYNC, "1h")


def test_a_sync_of_a_clock_that_was_ahead_does_not_count(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.pass_time(days=1)
    pool.tick()
    assert pool.store().counts(now=pool.now)[Count.MEMBERS_SYNCED] == 1

    pool.pass_time(days=-1)

    assert pool.store().counts(now=pool.now)[Count.MEMBERS_SYNCED] == 0
