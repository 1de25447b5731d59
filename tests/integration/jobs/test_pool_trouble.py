"""Which members of a pool are in trouble."""

from __future__ import annotations

from datetime import timedelta

import pytest
from integration.jobs.pool_world import PoolWorld, apply, cadence_of, schedule

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.pools import Members
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.run.ports import Run


def test_a_failure_after_a_fresh_success_makes_a_member_failing_and_not_synced_until_a_run_succeeds(
    pool: PoolWorld,
) -> None:
    def state() -> tuple[int, int, dict[Reason, int]]:
        counts = pool.store().counts(now=pool.now)
        return counts[Count.MEMBERS_SYNCED], counts[Count.MEMBERS_FAILING], pool.store().causes()

    pool.enrol("ada")
    pool.make_due()
    pool.tick()
    assert state() == (1, 0, {})

    pool.pass_time(minutes=30)
    store, run = DatabaseRunStore(pool.database), Run(SYNC, "ada", cadence_of("ada").latest(pool.now), "")
    store.open(run, now=pool.now, lease_until=pool.now + timedelta(seconds=1))
    pool.pass_time(minutes=1)
    DatabaseRunStore(pool.database).open(
        Run(SYNC, "sweeper", None, "x"), now=pool.now, lease_until=pool.now + timedelta(hours=1)
    )
    assert sorted(pool.states().values()) == ["done", "failed", "open"]  # the success is still there
    assert state() == (0, 1, {Reason.CRASHED: 1})

    pool.pass_time(minutes=30)
    pool.make_due()
    pool.tick()
    assert state() == (1, 0, {})


@pytest.mark.parametrize(
    ("reason", "is_trouble"),
    [(Reason.RECONNECT, True), (Reason.NO_CHANNEL, True), (Reason.EMPTY, False), (Reason.LOCKED, False)],
)
def test_a_member_who_must_act_is_in_trouble_and_one_who_was_skipped_for_good_is_not(
    pool: PoolWorld, reason: Reason, is_trouble: bool
) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    pool.body = lambda _: Result(Outcome.SKIPPED, reason)
    pool.make_due()
    pool.tick()

    assert pool.store().troubles() == ([("uid-ada", reason)] if is_trouble else [])


@pytest.mark.parametrize("reason", [Reason.NOT_DUE, Reason.ALREADY_DONE])
def test_a_run_that_did_nothing_takes_no_trouble_back(pool: PoolWorld, reason: Reason) -> None:
    pool.enrol("ada")

    def fail(_: RunContext) -> Result:
        raise PermanentError("bad")

    pool.body = fail
    pool.make_due()
    pool.tick()
    pool.body = lambda _: Result(Outcome.SKIPPED, reason)
    pool.pass_time(minutes=31)
    pool.make_due()
    pool.tick()

    assert pool.store().causes() == {Reason.BAD_DATA: 1}


def test_users_of_the_database_are_counted_by_their_cause_however_many_they_are(pool: PoolWorld) -> None:
    """In an outage all 100,000 are in trouble, and no page names one of them."""
    pool.enrol(*(f"user-{number}" for number in range(9)))
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"), where=Members.DATABASE)
    pool.make_due()

    def fail(context: RunContext) -> Result:
        if context.subject == "user-0":
            return Result(Outcome.SKIPPED, Reason.RECONNECT)
        raise PermanentError("bad")

    pool.body = fail
    pool.tick()

    assert pool.store().causes() == {Reason.BAD_DATA: 8, Reason.RECONNECT: 1}
    assert pool.store().troubles() == []
