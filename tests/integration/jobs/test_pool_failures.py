"""What goes wrong with one user of a pool costs no other user anything."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.pool_world import NOW, PoolWorld, cadence_of
from samples import IN_FULL
from sqlalchemy import update

from catchup_contract.cadence import Cadence
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import users
from catchup_jobs.jobs.pool.process_deaths import PROCESS_DIED
from catchup_jobs.jobs.pool.tick import GIVE_UP_AFTER, exit_of
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.run.ports import HeldBy, Lock, Run
from catchup_jobs.jobs.run.retries import retry_delays

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_temporary_failure_is_put_back_for_its_delay_while_others_go_on(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob")
    pool.make_due(["ada"], at=NOW - timedelta(minutes=2))
    pool.make_due(["bob"])
    failures = iter([TemporaryError("x"), TemporaryError("x")])

    def body(context: RunContext) -> Result:
        if context.subject == "ada" and (failure := next(failures, None)):
            raise failure
        return Result()

    pool.body = body
    result = pool.tick(workers=1)

    slot = cadence_of("ada").latest(NOW)
    assert pool.users_served() == ["ada", "bob", "ada", "ada"]
    assert {begun for user, begun in pool.served if user == "ada"} == {slot}
    assert [round(seconds) for seconds in pool.slept] == retry_delays(SYNC)[:2]
    assert (result.served, result.deferred, result.failed) == (4, 2, 0)
    assert set(pool.states().values()) == {"done"}


def test_a_spent_budget_is_the_users_dead_letter_and_is_not_tried_each_minute(pool: PoolWorld) -> None:
    slot = next(cadence_of("ada").due_after(NOW))
    pool.now = slot + timedelta(seconds=5)
    pool.enrol("ada", "bob")
    pool.make_due()
    pool.fail("ada", TemporaryError("x"))
    result = pool.tick()
    for _ in range(3):
        pool.pass_time(minutes=1)
        pool.tick()

    key = f"sync:ada:{slot:%Y-%m-%dT%H:%M:%SZ}"
    assert pool.dead_letters() == {key: "TemporaryError"}
    assert Counter(pool.users_served())["ada"] == 4
    assert exit_of(result) == (Outcome.DONE, ExitCode.DONE, None)
    assert pool.row("ada").due_at == slot + timedelta(minutes=30)


def put_back_past_the_next_slot(pool: PoolWorld, end: Exception | None) -> datetime:
    """Serve a slot of `ada` that waits for a quota until the next one has passed, and then ends; return the slot."""
    pool.enrol("ada")
    slot = next(cadence_of("ada").due_after(NOW))
    pool.tick()
    pool.served.clear()
    pool.now = slot + timedelta(minutes=29, seconds=50)
    failures = iter([TemporaryError("quota", wait_seconds=60), *([end] if end else [])])

    def body(_: RunContext) -> Result:
        if failure := next(failures, None):
            raise failure
        return Result()

    pool.body = body
    for _ in range(2):  # the first one waits for the end of a short delay
        pool.tick()
        pool.pass_time(seconds=70)
    assert next(failures, None) is None  # the faults fired
    return slot


def test_a_sync_that_waited_past_the_next_slot_is_made_once(pool: PoolWorld) -> None:
    slot = put_back_past_the_next_slot(pool, None)

    assert pool.served == [("ada", slot), ("ada", slot)]
    assert pool.row("ada").due_at == slot + timedelta(minutes=60)
    assert pool.dead_letters() == {}


def test_a_sync_that_waited_past_the_next_slot_and_failed_is_followed_by_the_newest(pool: PoolWorld) -> None:
    slot = put_back_past_the_next_slot(pool, PermanentError("bad"))

    assert pool.served == [("ada", slot), ("ada", slot), ("ada", slot + timedelta(minutes=30))]
    assert len(pool.dead_letters()) == 1


def test_a_slot_that_passes_while_a_sync_runs_is_served(pool: PoolWorld) -> None:
    """What changed after the run had read the calendar must not wait for a whole interval more."""
    pool.enrol("ada")
    slot = next(cadence_of("ada").due_after(NOW))
    pool.tick()
    pool.served.clear()
    pool.now = slot + timedelta(minutes=29)
    durations = iter([120])

    def body(_: RunContext) -> Result:
        pool.pass_time(seconds=next(durations, 0))
        return Result()

    pool.body = body
    pool.tick()

    assert pool.served == [("ada", slot), ("ada", slot + timedelta(minutes=30))]


def changed_interval(pool: PoolWorld) -> None:
    pool.every, pool.version = "15m", "2026z 15m"


def renewed_zone_data(pool: PoolWorld) -> None:
    pool.version = "2027a 30m"


def imported_again(pool: PoolWorld) -> None:
    pool.enrol("ada", time_zone="Europe/Paris")


def enrolled_anew(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    pool.enrol("ada")


@pytest.mark.parametrize("change", [renewed_zone_data, imported_again, enrolled_anew, changed_interval])
@pytest.mark.parametrize("kind", [SYNC, DIGEST], ids=str)
def test_a_dead_letter_stays_whatever_has_its_member_computed_anew(
    pool: PoolWorld, kind: Kind, change: Callable[[PoolWorld], None]
) -> None:
    pool.kind, pool.now = kind, datetime(2026, 11, 28, 8, tzinfo=UTC)
    pool.enrol("ada", time_zone="Europe/Paris")
    pool.tick()
    pool.now = slot = pool.row("ada").due_at
    # Both intervals have this slot.
    assert kind is DIGEST or slot == Cadence.of_user("sync", 15, "ada").latest(slot)

    def body(_: RunContext) -> Result:
        raise PermanentError("bad")

    pool.body = body
    pool.tick()
    letters = pool.dead_letters()
    assert len(letters) == 1
    pool.body, served = lambda _: Result(), len(pool.served)

    pool.pass_time(minutes=2)
    change(pool)
    pool.tick()
    if (version := pool.row("ada").version) != pool.version:
        raise AssertionError(f"not computed anew: {version}")

    assert pool.served[served:] == []
    assert pool.dead_letters() == letters
    assert pool.row("ada").due_at > pool.now


def test_a_dead_letter_stays_where_its_pod_died_before_it_settled_the_claim(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.enrol("ada")
    pool.tick()
    pool.now = slot = pool.row("ada").due_at

    def body(_: RunContext) -> Result:
        raise PermanentError("bad")

    with monkeypatch.context() as patched:
        patched.setattr(PoolSlots, "settle", lambda *_: None)
        pool.body = body
        pool.tick()
    assert pool.row("ada").owner is not None  # the fault fired
    letters = pool.dead_letters()
    assert len(letters) == 1
    pool.body = lambda _: Result()

    pool.pass_time(minutes=7)
    pool.tick()

    assert pool.dead_letters() == letters
    row = pool.row("ada")
    assert (row.due_at, row.owner, row.deaths, row.unfinished) == (slot + timedelta(minutes=30), None, 0, None)


@pytest.mark.sampled
def test_a_poisonous_user_costs_nobody_else_anything(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(1000 if IN_FULL else 60)]
    pool.enrol("poison", *names)
    pool.make_due()
    pool.fail("poison", ZeroDivisionError())
    result = pool.tick()

    served = Counter(pool.users_served())
    assert served.pop("poison") == 2
    assert served == Counter(names)
    assert list(pool.dead_letters().values()) == [PROCESS_DIED]
    assert exit_of(result)[1] is ExitCode.DONE


@pytest.mark.parametrize("kind", [SYNC, DIGEST], ids=str)
def test_a_user_whose_zone_is_not_known_stops_nobody_else(pool: PoolWorld, kind: Kind) -> None:
    """A row of a newer version, or of an image with other zone data."""
    pool.kind = kind
    pool.enrol("ada", "bob")
    pool.make_due()
    with pool.database.write() as connection:
        connection.execute(update(users).where(users.c.id == "ada").values(time_zone="Moon/Base"))
    pool.tick()
    pool.version = "2027a 30m"
    pool.tick()

    assert "ada" not in pool.users_served()
    assert pool.row("ada").due_at is None
    assert pool.row("bob").due_at > pool.now


def test_a_long_wait_that_a_server_names_ends_at_the_next_slot_and_makes_no_dead_letter(pool: PoolWorld) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 7, 59, tzinfo=UTC)
    pool.enrol("ada")
    pool.tick()
    pool.now = datetime(2026, 11, 29, 8, 0, 10, tzinfo=UTC)

    def body(context: RunContext) -> Result:
        if context.now().hour < 11:
            raise TemporaryError("429", wait_seconds=4 * 3600)
        return Result()

    pool.body = body
    pool.tick()
    assert pool.row("ada").due_at == datetime(2026, 11, 29, 9, tzinfo=UTC)
    for hour in (9, 11):
        pool.now = datetime(2026, 11, 29, hour, 0, 10, tzinfo=UTC)
        DatabaseRunStore(pool.database).open(
            Run(DIGEST, "bob", pool.now, ""), now=pool.now, lease_until=pool.now + timedelta(hours=9)
        )
        pool.tick()

    assert pool.dead_letters() == {}
    assert [slot.hour for _, slot in pool.served] == [8, 8, 8, 11]


def test_an_error_of_ours_in_every_run_ends_the_tick_as_temporary(pool: PoolWorld) -> None:
    names = [f"user-{number:02}" for number in range(GIVE_UP_AFTER * 2)]
    pool.enrol(*names)
    pool.make_due()

    def body(_: RunContext) -> Result:
        raise ZeroDivisionError

    pool.body = body
    result = pool.tick(workers=1)

    assert exit_of(result) == (Outcome.RETRY, ExitCode.TEMPORARY, Reason.CRASHED)
    assert len(pool.served) == GIVE_UP_AFTER


def test_bad_data_of_one_user_end_that_users_slot_alone(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob")
    pool.make_due()
    pool.fail("ada", PermanentError("bad"))
    result = pool.tick()

    assert (result.served, result.failed) == (2, 1)
    assert exit_of(result)[1] is ExitCode.DONE
    assert len(pool.dead_letters()) == 1


def test_a_wrong_setting_ends_the_tick_as_misconfigured_and_leaves_the_rest_due(pool: PoolWorld) -> None:
    names = [f"user-{number:02}" for number in range(GIVE_UP_AFTER * 2)]
    pool.enrol(*names)
    pool.make_due()

    def body(_: RunContext) -> Result:
        raise MisconfiguredError("no key")

    pool.body = body
    result = pool.tick(workers=1)

    assert exit_of(result) == (Outcome.FAILED, ExitCode.MISCONFIGURED, Reason.MISCONFIGURED)
    assert len(pool.served) == GIVE_UP_AFTER
    left = set(names) - set(pool.users_served())
    assert all(pool.row(name).due_at <= pool.now and pool.row(name).owner is None for name in left)


class NoLocks:
    """A Redis that is gone."""

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        raise TemporaryError("no answer from Redis")

    def attempts(self, run_key: str) -> int:
        raise TemporaryError("no answer from Redis")

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        raise TemporaryError("no answer from Redis")


def test_locks_that_cannot_be_taken_end_the_tick_as_temporary_and_records_no_attempt(pool: PoolWorld) -> None:
    names = [f"user-{number:02}" for number in range(GIVE_UP_AFTER * 2)]
    pool.enrol(*names)
    pool.make_due()
    pool.locks = NoLocks()

    result = pool.tick(workers=2)

    assert exit_of(result) == (Outcome.RETRY, ExitCode.TEMPORARY, Reason.UNAVAILABLE)
    assert result.served < len(names)
    assert pool.states() == {}  # no run was begun, of which the end would be missed
    assert pool.dead_letters() == {}
