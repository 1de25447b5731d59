"""Nobody is lost or served twice, whatever happens to a pod of a pool."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.database_faults import outage
from integration.jobs.pool_world import NOW, PoolWorld, cadence_of

from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.jobs.pool.ports import Settlement
from catchup_jobs.jobs.pool.process_deaths import PROCESS_DIED
from catchup_jobs.jobs.pool.tick import TickResult
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import JobError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def test_on_sigterm_what_was_begun_is_put_back_and_the_rest_stays_due(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(10)]
    pool.enrol(*names)
    pool.make_due()

    def body(context: RunContext) -> Result:
        pool.stopping = True
        context.check_stop()
        return Result()

    pool.body = body
    pool.tick(workers=1)
    assert len(pool.served) == 1
    pool.stopping = False
    pool.body = lambda _: Result()
    pool.tick()

    assert Counter(pool.users_served()) == Counter([*names, pool.served[0][0]])
    assert pool.dead_letters() == {}
    assert set(pool.states().values()) == {"done"}


def test_two_ticks_at_once_serve_each_user_once(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(60)]
    pool.enrol(*names)
    pool.make_due()
    gate = threading.Barrier(2, timeout=60)
    errors: list[BaseException] = []

    def one() -> None:
        try:
            gate.wait()
            pool.tick()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert Counter(pool.users_served()) == Counter(names)


@pytest.mark.parametrize("version", ["2026z 30m", "2027a 30m"], ids=["same zone data", "zone data renewed meanwhile"])
def test_a_tick_that_is_longer_than_its_interval_and_the_next_one_serve_each_user_once(
    pool: PoolWorld, version: str
) -> None:
    names = [f"user-{number}" for number in range(50)]
    pool.enrol(*names)
    pool.make_due()
    next_tick: list[TickResult] = []

    def body(_: RunContext) -> Result:
        if len(pool.begun) == 1:
            pool.pass_time(minutes=1)
            pool.version = version
            next_tick.append(pool.tick())
        return Result()

    pool.body = body
    first = pool.tick(workers=1)

    assert next_tick[0].served > 0
    assert first.served > 1
    assert Counter(pool.users_served()) == Counter(names)
    assert set(pool.states().values()) == {"done"}


def test_a_failover_of_the_database_within_a_batch_loses_nobody(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(20)]
    pool.enrol(*names)
    pool.make_due()

    with outage(pool.database) as go_away, suppress(JobError):

        def body(_: RunContext) -> Result:
            if len(pool.begun) == 7:
                go_away()
            return Result()

        pool.body = body
        pool.tick()
    for _ in range(3):
        pool.pass_time(minutes=7)  # the claims of what could not be settled are over
        pool.tick()

    assert {key.split(":")[1] for key, state in pool.states().items() if state == "done"} == set(names)
    assert pool.dead_letters() == {}


def dies(pool: PoolWorld, *user_ids: str, begun: bool = True) -> None:
    """Let a pod die that has claimed these users, and has begun their runs."""
    claimed = pool.store().claim(user_ids, "dead-pod", now=pool.now, until=pool.now + timedelta(seconds=1))
    assert [member.user_id for member in claimed] == list(user_ids)
    for member in claimed if begun else []:
        DatabaseRunStore(pool.database).open(
            member.run(pool.kind), now=pool.now, lease_until=pool.now + timedelta(minutes=20), owner="dead-pod"
        )
    pool.pass_time(seconds=2)


def test_who_was_in_flight_when_a_pod_died_is_served_first_and_alone(pool: PoolWorld) -> None:
    others = [f"user-{number}" for number in range(8)]
    pool.enrol("ada", "bob", *others)
    pool.make_due()
    dies(pool, "ada", "bob")
    in_flight: list[int] = []

    def body(_: RunContext) -> Result:
        in_flight.append(sum(overview.in_flight for overview in overviews(pool.database, now=pool.now)))
        return Result()

    pool.body = body
    pool.tick()

    assert set(pool.users_served()[:2]) == {"ada", "bob"}
    assert in_flight[:2] == [1, 1]
    assert Counter(pool.users_served()) == Counter(["ada", "bob", *others])
    assert pool.dead_letters() == {}
    assert pool.row("ada").deaths == 0


def test_who_was_claimed_and_not_begun_when_a_pod_died_is_served_with_the_others(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(12)]
    pool.enrol(*names)
    pool.make_due()
    for _ in range(3):
        dies(pool, *names, begun=False)
    in_flight: list[int] = []

    def body(_: RunContext) -> Result:
        in_flight.append(sum(overview.in_flight for overview in overviews(pool.database, now=pool.now)))
        return Result()

    pool.body = body
    pool.tick()

    assert Counter(pool.users_served()) == Counter(names)
    assert pool.dead_letters() == {}
    assert in_flight[0] == len(names), "all are claimed at once"


def test_those_who_are_served_alone_leave_time_for_the_others(pool: PoolWorld) -> None:
    suspects, others = [f"suspect-{number}" for number in range(12)], [f"user-{number}" for number in range(4)]
    pool.enrol(*suspects, *others)
    pool.make_due()
    dies(pool, *suspects)

    def body(context: RunContext) -> Result:
        if context.subject in suspects:
            pool.pass_time(seconds=15)
        return Result()

    pool.body = body
    pool.tick(workers=1)

    assert set(pool.users_served()[:4]) <= set(suspects)
    assert set(pool.users_served()[4:8]) == set(others)
    assert set(pool.users_served()[8:]) >= set(suspects) - set(pool.users_served()[:4])


def test_a_second_death_is_the_users_dead_letter(pool: PoolWorld) -> None:
    pool.enrol("poison", "ada")
    pool.make_due()
    for _ in range(2):
        dies(pool, "poison")

    pool.tick()

    slot = cadence_of("poison").latest(pool.now)
    assert pool.users_served() == ["ada"]
    assert pool.dead_letters() == {f"sync:poison:{slot:%Y-%m-%dT%H:%M:%SZ}": PROCESS_DIED}
    assert pool.row("poison").due_at == slot + timedelta(minutes=30)


def test_a_claim_that_ended_and_was_taken_over_is_not_settled_by_its_first_owner(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.make_due()
    store = pool.store()
    dies(pool, "ada")
    until = pool.now + timedelta(minutes=5)
    assert store.claim(["ada"], "second", now=pool.now, until=until)

    store.settle("dead-pod", [Settlement("ada", NOW)])

    assert (pool.row("ada").owner, pool.row("ada").due_at) == ("second", until)


def test_a_claimed_user_cannot_be_claimed_again(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.make_due()
    until = pool.now + timedelta(minutes=5)

    assert pool.store().claim(["ada"], "first", now=pool.now, until=until)
    assert pool.store().claim(["ada"], "second", now=pool.now, until=until) == []
    assert pool.store().due(now=pool.now, limit=10) == []


def test_near_its_deadline_a_pod_begins_no_run(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(10)]
    pool.enrol(*names)
    pool.make_due()

    def body(_: RunContext) -> Result:
        pool.pass_time(seconds=100)
        return Result()

    pool.body = body
    pool.tick(workers=1, seconds=300)

    assert len(pool.served) == 3


def test_a_settlement_that_could_not_be_written_is_written_later_and_counts_as_no_death(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"user-{number}" for number in range(6)]
    pool.enrol(*names)
    pool.make_due()
    settle, failures = PoolSlots.settle, iter([TemporaryError("a failover")])

    def failing(store: PoolSlots, owner: str, settlements: Sequence[Settlement]) -> None:
        if failure := next(failures, None):
            raise failure
        settle(store, owner, settlements)

    monkeypatch.setattr(PoolSlots, "settle", failing)

    with pytest.raises(TemporaryError):
        pool.tick()

    assert next(failures, None) is None
    assert all(pool.row(name).owner is None and pool.row(name).deaths == 0 for name in names)


def fails(monkeypatch: pytest.MonkeyPatch, pool: PoolWorld, until: datetime) -> list[datetime]:
    """Let no settlement be written until then; return when one was tried."""
    settle, tried = PoolSlots.settle, []

    def failing(store: PoolSlots, owner: str, settlements: Sequence[Settlement]) -> None:
        if pool.now < until:
            tried.append(pool.now)
            raise TemporaryError("a failover")
        settle(store, owner, settlements)

    monkeypatch.setattr(PoolSlots, "settle", failing)
    return tried


def test_claims_are_settled_once_the_database_is_back_however_long_that_takes_within_the_deadline(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.enrol("ada")
    pool.make_due()
    tried = fails(monkeypatch, pool, pool.now + timedelta(minutes=4))

    with pytest.raises(TemporaryError):
        pool.tick(seconds=300)

    assert len(tried) > 10
    assert (pool.row("ada").owner, pool.row("ada").deaths) == (None, 0)


def test_two_outages_in_a_row_in_which_no_settlement_is_written_give_nobody_up(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.enrol("ada")
    pool.make_due()

    def busy(_: RunContext) -> Result:
        raise TemporaryError("busy", wait_seconds=1)

    pool.body = busy
    for _ in range(3):
        with monkeypatch.context() as patched:
            fails(patched, pool, pool.now + timedelta(hours=1))
            with pytest.raises(TemporaryError):
                pool.tick()
        assert pool.row("ada").owner is not None  # the fault fired
        pool.pass_time(minutes=2)
    pool.body = lambda _: Result()
    pool.tick()

    assert pool.dead_letters() == {}
    assert set(pool.states().values()) == {"done"}


class Farewells:
    """A Redis that does not forget."""

    def __init__(self) -> None:
        self.of: set[str] = set()

    def say(self, process_id: str) -> None:
        self.of.add(process_id)

    def said(self, process_ids: Collection[str]) -> set[str]:
        return self.of & {*process_ids}


def outlasts(pool: PoolWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tick serve `ada` while the database goes away until after its deadline: no end of anything is written."""

    def gone(*_: Any, **__: Any) -> None:
        raise TemporaryError("no database")

    with monkeypatch.context() as patched:
        patched.setattr(DatabaseRunStore, "close", gone)
        tried = fails(patched, pool, pool.now + timedelta(hours=1))
        with pytest.raises(TemporaryError):
            pool.tick()
    assert len(tried) > 10
    assert list(pool.states().values()) == ["open"]
    pool.pass_time(minutes=2)


@pytest.mark.parametrize(
    ("farewells", "letters"),
    [(Farewells(), []), (None, [PROCESS_DIED])],
    ids=["told in Redis", "told nowhere, as where Redis is gone, too"],
)
def test_outages_that_outlast_a_pods_deadline_twice_are_no_deaths_of_a_member_where_the_pod_could_say_so(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch, farewells: Farewells | None, letters: list[str]
) -> None:
    pool.farewells = farewells
    pool.enrol("ada")
    pool.make_due()
    for _ in range(2):
        outlasts(pool, monkeypatch)
    pool.tick()

    assert list(pool.dead_letters().values()) == letters
    assert (pool.row("ada").owner, pool.row("ada").deaths) == (None, 0)
    assert next(iter(pool.states().values())) == ("failed" if letters else "done")


def test_a_second_death_after_an_outage_and_a_death_is_the_users_dead_letter(
    pool: PoolWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.farewells = Farewells()
    pool.enrol("ada")
    pool.make_due()
    dies(pool, "ada")
    outlasts(pool, monkeypatch)
    assert pool.dead_letters() == {}
    dies(pool, "ada")
    pool.tick()

    assert list(pool.dead_letters().values()) == [PROCESS_DIED]


def test_the_dead_letter_is_of_the_slot_in_which_processes_died(pool: PoolWorld) -> None:
    pool.enrol("poison")
    slot = next(cadence_of("poison").due_after(NOW))
    pool.tick()
    pool.now = slot + timedelta(minutes=29)
    for _ in range(2):
        dies(pool, "poison")
        pool.pass_time(minutes=2)

    pool.tick()

    assert list(pool.dead_letters()) == [f"sync:poison:{slot:%Y-%m-%dT%H:%M:%SZ}"]
