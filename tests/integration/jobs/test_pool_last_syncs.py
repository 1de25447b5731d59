"""OLDEST-SYNC of a pool: the member who waits longest, whatever became of later runs, and SYNCED beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from integration.jobs.pool_world import NOW, PoolWorld, apply, cadence_of, schedule
from sqlalchemy import update

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.pools import Members
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.metrics.snapshot import take
from catchup_jobs.adapters.database.pools.last_syncs import oldest_syncs
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import pool_slots
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.run.ports import Closing, Run


def oldest(pool: PoolWorld) -> int | None:
    """Return OLDEST-SYNC in minutes, which the metric agrees with."""
    seconds = pool.store().counts(now=pool.now).get(Count.OLDEST_SYNC_SECONDS)
    told = take(pool.database, pool.now, shards=1).oldest_syncs
    assert told == ({} if seconds is None else {"people": pool.now - timedelta(seconds=seconds)})
    return None if seconds is None else seconds // 60


def sync_by_hand(pool: PoolWorld, user_id: str, *, replays: Run | None = None) -> None:
    by_hand = Run(SYNC, user_id, None, "by-hand") if replays is None else replace(replays, replays=replays.key)
    store, run = DatabaseRunStore(pool.database), by_hand
    store.open(run, now=pool.now, lease_until=pool.now + timedelta(hours=1), owner="toolbox")
    assert store.close(run, "toolbox", Closing(RunState.DONE, None, 0, {}, {}), now=pool.now)


@pytest.mark.parametrize("ends", [RunState.FAILED, RunState.SKIPPED])
def test_a_member_whose_later_syncs_did_not_succeed_waits_since_the_last_that_did(
    pool: PoolWorld, ends: RunState
) -> None:
    pool.enrol("ada", "bob")
    pool.make_due()
    pool.tick()

    def body(context: RunContext) -> Result:
        if context.subject == "bob" and ends is RunState.FAILED:
            raise PermanentError("bad")
        if context.subject == "bob":
            return Result(Outcome.SKIPPED, Reason.DAILY_LIMIT)
        return Result()

    pool.body = body
    for _ in range(3):
        pool.pass_time(minutes=40)
        pool.make_due()
        pool.tick()

    assert ends.value in pool.states().values(), "the fault fired"
    assert oldest(pool) == 120


def test_a_member_who_was_never_synced_waits_since_enrolment(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.pass_time(hours=1)
    pool.enrol("bob")
    pool.make_due()
    pool.fail("ada", PermanentError("bad"))
    pool.tick()
    pool.pass_time(minutes=10)

    assert oldest(pool) == 70
    assert pool.store().counts(now=pool.now)[Count.MEMBERS_SYNCED] == 1


@pytest.mark.parametrize("is_replay", [False, True], ids=["sync", "failures retry"])
def test_a_sync_by_hand_counts(pool: PoolWorld, *, is_replay: bool) -> None:
    pool.enrol("ada")
    pool.pass_time(hours=5)
    failed = Run(SYNC, "ada", cadence_of("ada").latest(pool.now), "")
    sync_by_hand(pool, "ada", replays=failed if is_replay else None)
    pool.pass_time(minutes=3)

    assert oldest(pool) == 3


def test_a_digest_is_no_sync(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.pass_time(days=7)
    pool.kind = DIGEST
    pool.make_due()
    pool.tick()
    assert pool.users_served() == ["ada"]

    pool.kind = SYNC
    assert oldest(pool) == 7 * 24 * 60


def test_who_comes_from_cronjobs_was_synced_by_those(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    store, run = DatabaseRunStore(pool.database), Run(SYNC, "ada", cadence_of("ada").latest(NOW), "")
    store.open(run, now=pool.now, lease_until=pool.now + timedelta(hours=1), owner="own-pod")
    assert store.close(run, "own-pod", Closing(RunState.DONE, None, 0, {}, {}), now=pool.now)
    pool.pass_time(minutes=25)

    apply(pool, schedule("ada"))

    assert oldest(pool) == 25


def test_a_sync_by_a_clock_that_was_ahead_does_not_count(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob")
    pool.make_due()
    pool.tick()
    with pool.database.write() as connection:
        ahead = update(pool_slots).where(pool_slots.c.user_id == "ada", pool_slots.c.kind == SYNC)
        connection.execute(ahead.values(synced_at=pool.now + timedelta(hours=3)))
    pool.pass_time(minutes=20)

    assert oldest(pool) == 20
    assert pool.store().counts(now=pool.now)[Count.MEMBERS_SYNCED] == 1


def test_each_pool_has_a_time_of_its_own_and_one_without_members_none(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.enrol("bob", pool="staff")
    pool.pass_time(minutes=5)
    sync_by_hand(pool, "bob")
    pool.pass_time(minutes=5)

    with pool.database.read() as connection:
        found = oldest_syncs(connection, ["people", "staff", "nobody"], pool.now)

    assert found == {"people": NOW, "staff": NOW + timedelta(minutes=5)}
    assert oldest_syncs_of_empty(pool) == {}


def oldest_syncs_of_empty(pool: PoolWorld) -> dict[str, object]:
    with pool.database.read() as connection:
        return dict(oldest_syncs(connection, [], pool.now))


def test_whose_enrolment_ended_does_not_wait(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.make_due()
    pool.enrol("ada", pool=None)
    apply(pool, where=Members.DATABASE)

    assert oldest(pool) is None
