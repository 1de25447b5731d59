"""A pool serves whoever is due, each user for themselves, whatever happens to a pod."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.pool_world import NOW, POOL, PoolWorld
from sqlalchemy import select, update

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, ScheduleList, decode, encode
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.pools.schedule_list import apply_list
from catchup_jobs.adapters.database.pools.slots import PoolSlots
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import pool_members, users
from catchup_jobs.domain.people.users import Schedule
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.pool.abandonment import PROCESS_DIED
from catchup_jobs.jobs.pool.ports import Settlement
from catchup_jobs.jobs.pool.tick import GIVE_UP_AFTER, exit_of
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.run.ports import Closing, HeldBy, Lock, Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from catchup_jobs.adapters.database.engine import Database


@pytest.fixture
def pool(database: Database, tmp_path: Path) -> PoolWorld:
    """An empty pool, on each database in turn."""
    return PoolWorld(database, tmp_path / "locks")


def cadence_of(user_id: str) -> Cadence:
    return Cadence.of_user("sync", 30, user_id)


# Who is due, and for which slot --------------------------------------------------------------------------------


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
    names = [f"user-{number}" for number in range(40)]
    pool.enrol(*names)
    pool.make_due()

    pool.tick(store=pool.store(shard=0, shards=2))
    for shard in range(5):
        pool.tick(store=pool.store(shard=shard, shards=5))

    assert Counter(pool.users_served()) == Counter(names)


# Nobody shares a fate ------------------------------------------------------------------------------------------


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
    assert [round(seconds) for seconds in pool.slept] == [2, 4]
    assert (result.served, result.deferred, result.failed) == (4, 2, 0)
    assert set(pool.states().values()) == {"done"}


def test_a_spent_budget_is_the_users_dead_letter_and_is_not_tried_each_minute(pool: PoolWorld) -> None:
    slot = next(cadence_of("ada").due_after(NOW))
    pool.now = slot + timedelta(seconds=5)
    pool.enrol("ada", "bob")
    pool.make_due()

    def body(context: RunContext) -> Result:
        if context.subject == "ada":
            raise TemporaryError("x")
        return Result()

    pool.body = body
    result = pool.tick()
    for _ in range(3):
        pool.pass_time(minutes=1)
        pool.tick()

    key = f"sync:ada:{slot:%Y-%m-%dT%H:%M:%SZ}"
    assert pool.dead_letters() == {key: "TemporaryError"}
    assert Counter(pool.users_served())["ada"] == 4
    assert exit_of(result) == (Outcome.DONE, ExitCode.DONE, None)
    assert pool.row("ada").due_at == slot + timedelta(minutes=30)


def test_a_slot_that_is_tried_again_is_ended_before_the_next_one_is_served(pool: PoolWorld) -> None:
    pool.enrol("ada")
    slot = next(cadence_of("ada").due_after(NOW))
    pool.tick()
    pool.now = slot + timedelta(minutes=29, seconds=50)
    failures = iter([TemporaryError("quota", wait_seconds=60)])

    def body(_: RunContext) -> Result:
        if failure := next(failures, None):
            raise failure
        return Result()

    pool.body = body
    pool.tick()
    pool.pass_time(seconds=70)
    pool.tick()

    assert pool.served[1:] == [("ada", slot), ("ada", slot), ("ada", slot + timedelta(minutes=30))]
    assert pool.dead_letters() == {}


def test_a_poisonous_user_costs_nobody_else_anything(pool: PoolWorld) -> None:
    names = [f"user-{number}" for number in range(60)]
    pool.enrol("poison", *names)
    pool.make_due()

    def body(context: RunContext) -> Result:
        if context.subject == "poison":
            raise ZeroDivisionError
        return Result()

    pool.body = body
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


def test_an_edit_shortly_before_the_new_time_is_in_time(pool: PoolWorld) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 7, 50, tzinfo=UTC)
    pool.enrol("ada", digest_time=time(18))
    pool.tick()
    pool.enrol("ada", digest_time=time(9))  # 08:00 UTC

    pool.now = datetime(2026, 11, 29, 8, 0, 3, tzinfo=UTC)
    pool.tick()

    assert pool.served == [("ada", datetime(2026, 11, 29, 8, tzinfo=UTC))]


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

    def body(context: RunContext) -> Result:
        if context.subject == "ada":
            raise PermanentError("bad")
        return Result()

    pool.body = body
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


# Pods that end -------------------------------------------------------------------------------------------------


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


def dies(pool: PoolWorld, *user_ids: str) -> None:
    """Let a pod die that has claimed these users."""
    claimed = pool.store().claim(user_ids, "dead-pod", now=pool.now, until=pool.now + timedelta(seconds=1))
    assert [member.user_id for member in claimed] == list(user_ids)
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


# Users whom UserSchedules name ---------------------------------------------------------------------------------


def schedule(user_id: str, **fields: Any) -> ListedSchedule:
    """Return a UserSchedule that names the pool, every 30 minutes and Sundays at 09:00 in Berlin."""
    return replace(
        ListedSchedule(user_id, f"uid-{user_id}", 1, POOL, "Europe/Berlin", "30m", "Sunday", "09:00"), **fields
    )


def dedicated(user_id: str) -> ListedSchedule:
    return schedule(user_id, pool="")


def apply(
    pool: PoolWorld,
    *schedules: ListedSchedule,
    name: str = POOL,
    where: Members = Members.USER_SCHEDULES,
    order: int = 0,
) -> list[str]:
    return apply_list(pool.database, name, decode(encode(schedules, order=order)), where=where, now=pool.now)


def apply_to_enrolled(pool: PoolWorld, *schedules: ListedSchedule) -> None:
    apply(pool, *schedules, where=Members.DATABASE)


def apply_part(pool: PoolWorld, *schedules: ListedSchedule) -> None:
    whole = decode(encode(schedules))
    part = ScheduleList(whole.schedules, is_complete=False, digest=whole.digest)
    apply_list(pool.database, POOL, part, where=Members.USER_SCHEDULES, now=pool.now)


def held(pool: PoolWorld) -> int:
    return max((overview.held for overview in overviews(pool.database, now=pool.now)), default=0)


@pytest.mark.parametrize(
    "names_ada",
    [
        dedicated("ada"),
        schedule("ada", pool="others"),
        schedule("ada", is_served=False),
        schedule("ada", pool="", is_served=False),
    ],
    ids=["CronJobs of its own", "another pool", "suspended", "in conflict"],
)
def test_whom_a_user_schedule_names_is_not_served_by_enrolment_until_it_is_gone(
    pool: PoolWorld, names_ada: ListedSchedule
) -> None:
    pool.enrol("ada", "bob")
    pool.make_due()

    apply_to_enrolled(pool, names_ada, dedicated("stranger"))
    pool.tick()
    assert (pool.users_served(), held(pool)) == (["bob"], 1)
    apply_to_enrolled(pool, dedicated("stranger"))
    pool.tick()
    assert held(pool) == 0
    pool.now = pool.row("ada").due_at
    pool.tick()
    assert "ada" in pool.users_served()


def test_an_import_of_a_user_whom_a_user_schedule_names_makes_no_member(pool: PoolWorld) -> None:
    apply_to_enrolled(pool, dedicated("ada"))

    pool.enrol("ada")
    apply_to_enrolled(pool, dedicated("ada"))
    pool.tick()

    assert held(pool) == 0  # the pool has no member, and so no line
    assert list(overviews(pool.database, now=pool.now)) == []


def test_a_pool_of_user_schedules_serves_nobody_by_enrolment_and_the_other_way_round(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.enrol("bob", pool=None)

    def members() -> list[tuple[int, int]]:
        return [(shown.members, shown.by_schedules) for shown in overviews(pool.database, now=pool.now)][:1]

    apply_to_enrolled(pool, schedule("bob"))
    assert members() == [(1, 0)]
    apply(pool, schedule("bob"))
    assert members() == [(1, 1)]
    apply_to_enrolled(pool, schedule("bob"))
    assert members() == [(1, 0)]


def test_a_list_that_is_not_complete_ends_no_membership(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"))

    apply_part(pool, schedule("bob"))

    assert {overview.by_schedules for overview in overviews(pool.database, now=pool.now)} == {2}
    apply(pool, schedule("bob"))
    assert {overview.by_schedules for overview in overviews(pool.database, now=pool.now)} == {1}


def test_before_a_complete_list_was_read_nobody_is_served(pool: PoolWorld) -> None:
    with pytest.raises(TemporaryError, match="not complete yet"):
        apply_part(pool, schedule("ada"))


def test_a_user_schedule_that_names_the_pool_says_when(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None, digest_time=time(6))
    apply(pool, schedule("ada", time_zone="Asia/Kathmandu", digest_day="Daily", digest_time="07:15"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)


def test_the_sync_of_a_user_schedule_has_its_own_interval(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", sync_every="6h"))

    pool.tick()

    assert pool.served == [("ada", Cadence.of_user("sync", 360, "ada").latest(NOW))]
    assert pool.row("ada").due_at == next(Cadence.of_user("sync", 360, "ada").due_after(NOW))


@pytest.mark.parametrize(("field", "kind"), [("sync_every", SYNC), ("digest_day", DIGEST)])
def test_a_kind_that_a_user_schedule_disables_is_not_served(pool: PoolWorld, field: str, kind: Kind) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", generation=2, **{field: ""}))

    shown = [overview.kind for overview in overviews(pool.database, now=pool.now)]

    assert shown == [other for other in (DIGEST, SYNC) if other is not kind]


def test_an_older_generation_never_overwrites_a_newer_one(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", generation=3, digest_time="18:00"))
    apply(pool, schedule("ada", generation=2, digest_time="07:00"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 17, tzinfo=UTC)


def test_a_pod_with_an_old_list_takes_no_user_from_the_pool_that_serves_them_now(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", generation=2, pool="others"), name="others")

    apply(pool, schedule("ada"), dedicated("bob"))
    apply(pool, schedule("ada", generation=2, pool="others"))

    assert {overview.pool for overview in overviews(pool.database, now=pool.now)} == {"others"}


def listed_members(pool: PoolWorld) -> set[str]:
    with pool.database.read() as connection:
        return set(connection.execute(select(pool_members.c.user_id).where(pool_members.c.uid.is_not(None))).scalars())


def test_an_older_list_never_undoes_a_newer_one_whatever_happens_between(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), order=7)
    apply(pool, schedule("bob"), order=8)

    assert apply(pool, schedule("ada"), order=7) == []
    assert listed_members(pool) == {"bob"}
    pool.enrol("cy", pool=None)  # has the list read again
    assert apply(pool, schedule("ada"), schedule("cy"), order=7) == []
    assert listed_members(pool) == {"bob"}
    assert apply(pool, schedule("ada"), schedule("cy"), order=9) == ["ada", "cy"]
    assert listed_members(pool) == {"ada", "cy"}


def test_a_list_of_an_operator_that_says_no_order_is_applied_as_before(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), order=7)

    old = replace(decode(encode([schedule("bob")])), order=None)
    apply_list(pool.database, POOL, old, where=Members.USER_SCHEDULES, now=pool.now)
    assert listed_members(pool) == {"bob"}
    apply(pool, schedule("ada"), order=8)
    assert listed_members(pool) == {"ada"}


def test_a_part_that_is_older_than_what_is_known_ends_no_membership(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", generation=2))

    apply_part(pool, schedule("ada", generation=1, pool="others"))

    assert listed_members(pool) == {"ada"}


def test_a_user_who_is_imported_after_the_user_schedule_becomes_a_member(pool: PoolWorld) -> None:
    assert apply(pool, schedule("ada")) == []

    pool.enrol("ada", pool=None)

    assert apply(pool, schedule("ada")) == ["ada"]


def test_what_was_due_at_the_moment_of_a_move_is_served_once(pool: PoolWorld) -> None:
    """The CronJob of the user's own may have been deleted before it fired."""
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 8, 0, 30, tzinfo=UTC)  # Sunday 09:00:30 in Berlin
    pool.enrol("ada", "bob", pool=None)
    serve_elsewhere(pool, "bob", datetime(2026, 11, 29, 8, tzinfo=UTC))
    since = "2026-11-01T00:00:00Z"
    apply(pool, schedule("ada", digest_since=since), schedule("bob", digest_since=since))

    pool.tick()

    assert pool.states() == {f"digest:{name}:2026-11-29T08:00:00Z": "done" for name in ("ada", "bob")}
    assert pool.begun == ["ada"]


def serve_elsewhere(pool: PoolWorld, user_id: str, slot: datetime) -> None:
    """Let a pod of the user's own end the run of a slot."""
    store, run = DatabaseRunStore(pool.database), Run(pool.kind, user_id, slot, "")
    store.open(run, now=pool.now, lease_until=pool.now + timedelta(hours=1))
    store.take_over(run, "own-pod")
    assert store.close(run, "own-pod", Closing(RunState.DONE, None, 0, {}, {}), now=pool.now)


def test_users_of_high_priority_are_served_first_until_others_have_waited_for_half_an_hour(pool: PoolWorld) -> None:
    names = ["high", "normal", "low", "low-for-long"]
    pool.enrol(*names, pool=None)
    apply(pool, *(schedule(name, priority=name.partition("-")[0]) for name in names))
    pool.make_due()
    pool.make_due(["low-for-long"], at=NOW - timedelta(minutes=31))
    pool.make_due(["high"], at=NOW)

    pool.tick(workers=1)

    assert pool.users_served() == ["low-for-long", "high", "normal", "low"]


def test_a_member_who_leaves_while_being_served_does_not_come_back(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.make_due()

    def body(_: RunContext) -> Result:
        apply_to_enrolled(pool, dedicated("ada"))
        return Result()

    pool.body = body
    pool.tick()

    assert pool.users_served() == ["ada"]
    assert list(overviews(pool.database, now=pool.now)) == []


def test_what_was_due_before_a_user_schedule_was_resumed_is_not_sent_while_nobody_knows_since_when(
    pool: PoolWorld,
) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 8, 0, 30, tzinfo=UTC)
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))

    pool.tick()

    assert pool.served == []


def test_a_changed_spread_of_digests_is_followed_and_the_users_row_keeps_the_chosen_time(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", digest_time="09:40", digest_chosen="09:00"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 8, 40, tzinfo=UTC)
    with pool.database.read() as connection:
        assert connection.execute(select(users.c.digest_time)).scalar() == time(9)


def test_a_user_whose_user_schedule_is_gone_may_be_given_another_time_by_import(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada")
    apply(pool, schedule("ada", digest_time="10:00"))
    apply_to_enrolled(pool)

    pool.enrol("ada", digest_time=time(18, 30))
    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize("fields", [{"time_zone": "Moon/Base"}, {"digest_day": "Someday"}, {"sync_every": "7m"}])
def test_a_user_schedule_that_this_version_cannot_read_stops_nobody_else(
    pool: PoolWorld, fields: dict[str, str]
) -> None:
    pool.enrol("ada", "bob", pool=None)

    assert apply(pool, schedule("ada", **fields), schedule("bob")) == ["bob"]


# What it says --------------------------------------------------------------------------------------------------


def test_the_counts_say_who_is_synced_late_and_failing(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", "cy")
    pool.make_due()

    def body(context: RunContext) -> Result:
        if context.subject == "bob":
            raise PermanentError("bad")
        return Result()

    pool.body = body
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


def test_a_failure_after_a_fresh_success_makes_a_member_failing_and_not_synced_until_a_run_succeeds(
    pool: PoolWorld,
) -> None:
    def state() -> tuple[int, int, list[tuple[str | None, Reason]]]:
        counts = pool.store().counts(now=pool.now)
        return counts[Count.MEMBERS_SYNCED], counts[Count.MEMBERS_FAILING], pool.store().troubles()

    pool.enrol("ada")
    pool.make_due()
    pool.tick()
    assert state() == (1, 0, [])

    pool.pass_time(minutes=30)
    store, run = DatabaseRunStore(pool.database), Run(SYNC, "ada", cadence_of("ada").latest(pool.now), "")
    store.open(run, now=pool.now, lease_until=pool.now + timedelta(seconds=1))
    pool.pass_time(minutes=1)
    DatabaseRunStore(pool.database).open(
        Run(SYNC, "sweeper", None, "x"), now=pool.now, lease_until=pool.now + timedelta(hours=1)
    )
    assert sorted(pool.states().values()) == ["done", "failed", "open"]  # the success is still there
    assert state() == (0, 1, [(None, Reason.CRASHED)])

    pool.pass_time(minutes=30)
    pool.make_due()
    pool.tick()
    assert state() == (1, 0, [])


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

    assert pool.store().troubles() == [(None, Reason.BAD_DATA)]


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
