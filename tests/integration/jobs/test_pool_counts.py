"""What a pool says of its members."""

from __future__ import annotations

from datetime import timedelta

from integration.jobs.pool_world import NOW, PoolWorld

from catchup_contract.summary import Count
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import PermanentError, TemporaryError


def test_the_counts_say_who_is_synced_late_and_failing(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", "cy")
    pool.make_due()
    pool.fail("bob", PermanentError("bad"))
    pool.tick()
    pool.enrol("dee")
    pool.make_due(["dee"], at=pool.now - timedelta(hours=2))
    pool.pass_time(minutes=10)

    assert pool.store().counts(now=pool.now) == {
        Count.MEMBERS: 4,
        Count.MEMBERS_LATE: 1,
        Count.MEMBERS_FAILING: 1,
        Count.MEMBERS_SYNCED: 2,
        Count.OLDEST_SYNC_SECONDS: 600,
    }


def test_a_member_who_is_put_back_again_and_again_is_late(pool: PoolWorld) -> None:
    pool.enrol("ada")

    def body(_: RunContext) -> Result:
        raise TemporaryError("429", wait_seconds=20 * 60)

    pool.body = body
    for _ in range(5):
        pool.tick()
        pool.pass_time(minutes=21)

    assert pool.row("ada").due_at > NOW
    assert pool.store().counts(now=pool.now)[Count.MEMBERS_LATE] == 1


def test_an_empty_pool_has_counts_of_zero(pool: PoolWorld) -> None:
    counts = pool.store().counts(now=pool.now)

    assert counts == dict.fromkeys((Count.MEMBERS, Count.MEMBERS_LATE, Count.MEMBERS_FAILING, Count.MEMBERS_SYNCED), 0)
