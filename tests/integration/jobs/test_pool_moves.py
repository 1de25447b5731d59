"""Users move between CronJobs of their own and pools at any moment: no slot is lost, and none served twice."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final

import pytest
from integration.jobs.pool_world import POOL, PoolWorld, apply, apply_to_enrolled, dedicated, schedule
from samples import IN_FULL
from sqlalchemy import select

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Reason
from catchup_contract.schedule_list import ListedSchedule
from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import pool_members, pool_slots
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.domain.placement.job_slots import When, slots_of
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Closing, HeldBy, Process, Run
from catchup_operator.state.known_schedules import STAY_SECONDS

# A Sunday in Berlin; the digest of 23:40 has no follow-ups, so that nobody else mends what a move loses.
BEGIN: Final = datetime(2026, 11, 29, 22, 0, tzinfo=UTC)
DIGEST_TIME: Final = time(23, 40)
DUE: Final = datetime(2026, 11, 29, 22, 40, tzinfo=UTC)
PAST: Final = BEGIN - timedelta(hours=2)
NEVER: Final = datetime.max.replace(tzinfo=UTC)
STEP: Final = timedelta(seconds=10)
# How much later than at its minute a slot may be served: a tick, the age of a mounted list, a claim of a dead pod.
LATE: Final = timedelta(minutes=9)


@dataclass
class Mover:
    """A user who moves near a slot that is due, once or there and back.

    Attributes:
        moved_at: seconds from the slot to the first edit.
        back_after: seconds to the edit that takes it back, None for none.
        list_age: seconds until the pods read what the operator wrote.
        fault: what becomes of the slot's first run.
        pools: from when (UTC) the list says which pool, in order.
        cronjobs: from when to when (UTC) the user has CronJobs.
    """

    id: str
    is_pooled: bool
    moved_at: int
    back_after: int | None
    list_age: int
    fault: str
    kind: Kind
    due: datetime = field(init=False)
    pools: list[tuple[datetime, ListedSchedule]] = field(default_factory=list)
    cronjobs: list[list[datetime]] = field(default_factory=list)
    pooled_since: datetime = PAST
    fired: datetime | None = None
    retry: tuple[datetime, datetime] | None = None

    def __post_init__(self) -> None:
        when = When("Europe/Berlin", DigestDay.DAILY, DIGEST_TIME, BEGIN, "30m")
        self.slots = slots_of(self.kind, self.id, when)
        self.due = DUE if self.kind is DIGEST else self.slots.after(BEGIN + timedelta(minutes=15))
        self._place(PAST + timedelta(hours=1), generation=1)
        edited = self.due + timedelta(seconds=self.moved_at)
        self.is_pooled = not self.is_pooled
        self._place(edited, generation=2)
        if self.back_after is not None:
            self.is_pooled = not self.is_pooled
            self._place(edited + timedelta(seconds=self.back_after), generation=3)

    def _place(self, edited: datetime, *, generation: int) -> None:
        """The operator makes CronJobs before the list says that a pool has lost them, and deletes them after."""
        made, told = edited + timedelta(seconds=1), edited + timedelta(seconds=3)
        self._list(told, POOL, generation)
        if not self.is_pooled:
            self.cronjobs.append([made, NEVER])
            self._list(max(told, self.pooled_since + timedelta(seconds=STAY_SECONDS)), "", generation)
            return
        self.pooled_since = told + timedelta(seconds=1)
        if self.cronjobs:
            self.cronjobs[-1][1] = self.pooled_since

    def _list(self, told: datetime, pool: str, generation: int) -> None:
        listed = schedule(
            self.id,
            pool=pool,
            generation=generation,
            digest_day="Daily",
            digest_time=f"{DIGEST_TIME:%H:%M}",
            digest_since=format_utc(BEGIN),
        )
        self.pools.append((told + timedelta(seconds=self.list_age), listed))

    def listed(self, now: datetime) -> ListedSchedule:
        return [listed for known, listed in self.pools if known <= now][-1]

    def cronjob(self, now: datetime) -> datetime | None:
        """Return since when there is a CronJob now."""
        return next((made for made, deleted in self.cronjobs if made <= now < deleted), None)

    def expected(self, until: datetime) -> list[datetime]:
        slots, slot = [], self.slots.after(BEGIN)
        while slot <= until:
            slots.append(slot)
            slot = self.slots.after(slot)
        return slots


FAULTS: Final = ("none", "put back", "pod dies", "a pod of its own dies")


def movers(kind: Kind) -> list[Mover]:
    """Return some of each sort of case, in `make test` fewer."""
    offsets = range(-100, 141, 20) if IN_FULL else (-40, -10, 0, 10, 20, 50, 80)
    cases = itertools.product((True, False), offsets, (None, 40), (5, 70), FAULTS)
    step = 5 if IN_FULL else 11
    return [Mover(f"user-{number}", *case, kind=kind) for number, case in enumerate(cases) if number % step == 0]


@dataclass
class Fleet:
    """Movers, the ticks of the pool once a minute, and the Jobs of CronJobs of their own."""

    pool: PoolWorld
    movers: dict[str, Mover]
    ended: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    hit: Counter[str] = field(default_factory=Counter)

    def body(self, context: RunContext) -> Result:
        mover, slot = self.movers[context.subject], context.slot
        assert slot is not None
        if slot == mover.due and mover.fault == "put back":
            mover.fault = "none"
            self.hit["put back"] += 1
            raise TemporaryError("busy", wait_seconds=45)
        self.ended.append((mover.id, slot, self.pool.now))
        return Result()

    def play(self, until: datetime) -> None:
        applied: list[ListedSchedule] = []
        for number in itertools.count():
            now = BEGIN + number * STEP
            if now > until:
                return
            self.pool.now = max(self.pool.now, now)
            for mover in self.movers.values():
                self.fire(mover)
            if number % 6 == 0:
                listed = [mover.listed(self.pool.now) for mover in self.movers.values()]
                if listed != applied:
                    apply(self.pool, *listed)
                    applied = listed
                self.let_pods_die()
                self.pool.tick()

    def let_pods_die(self) -> None:
        """Let a pod claim who is due, and die."""
        store = self.pool.store()
        store.schedule(now=self.pool.now, limit=10_000)
        due = [self.movers[user_id] for user_id in store.due(now=self.pool.now, limit=10_000)]
        for mover in due:
            if mover.fault == "pod dies" and self.pool.now >= mover.due:
                until = self.pool.now + timedelta(minutes=6)
                (member,) = store.claim([mover.id], f"dead-{mover.id}", now=self.pool.now, until=until)
                mover.fault = "none"
                # One who came when the slot was served already is claimed for the next one.
                self.hit["pod dies"] += member.slot == mover.due

    def fire(self, mover: Mover) -> None:
        """Do what the CronJob controller and the Job controller do now."""
        now, made = self.pool.now, mover.cronjob(self.pool.now)
        if made is None:
            mover.retry = None
            return
        slot = mover.slots.latest(now)
        if slot is not None and slot > max(made, mover.fired or made):
            mover.fired, mover.retry = slot, (now, slot)
        if mover.retry is None or mover.retry[0] > now:
            return
        slot = mover.retry[1]
        if mover.fault == "a pod of its own dies" and slot == mover.due:
            mover.fault = "none"
            self.hit["a pod of its own dies"] += 1
            self.open(mover, slot)
            # The Job controller makes another pod, where the CronJob is not deleted meanwhile.
            mover.retry = (now + timedelta(seconds=20), slot)
            return
        report = run_job(
            self.body,
            Run(mover.kind, mover.id, slot, ""),
            store=DatabaseRunStore(self.pool.database),
            locks=FileLocks(self.pool.lock_directory),
            process=Process(lambda: self.pool.now, lambda _: None, lambda: 0.5, lambda: False, f"job-{mover.id}"),
            deadline_seconds=600,
            waits=False,
        )
        mover.retry = None if report.exit_code == 0 else (now + timedelta(seconds=10), slot)

    def open(self, mover: Mover, slot: datetime) -> None:
        store, run = DatabaseRunStore(self.pool.database), Run(mover.kind, mover.id, slot, "")
        store.open(run, now=self.pool.now, lease_until=self.pool.now + timedelta(seconds=660))
        store.take_over(run, f"job-{mover.id}")


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [SYNC, DIGEST], ids=str)
def test_a_move_around_a_due_minute_loses_no_slot_doubles_none_and_leaves_no_dead_letter(
    pool: PoolWorld, kind: Kind
) -> None:
    cast = {mover.id: mover for mover in movers(kind)}
    pool.kind = kind
    pool.now = BEGIN
    pool.enrol(*cast, pool=None)
    fleet = Fleet(pool, cast)
    pool.body = fleet.body
    until = BEGIN + (timedelta(minutes=85) if kind is SYNC else timedelta(minutes=55))

    fleet.play(until)

    assert set(fleet.hit) == set(FAULTS) - {"none"}, "each fault was to hit somebody"
    ended = Counter((user_id, slot) for user_id, slot, _ in fleet.ended)
    expected = [(mover.id, slot) for mover in cast.values() for slot in mover.expected(until - LATE)]
    lost = [cast[user_id] for user_id, slot in expected if not ended[user_id, slot]]
    assert not lost, (len(lost), lost[:3])
    doubled = [(cast[user_id], slot) for (user_id, slot), number in ended.items() if number > 1]
    assert not doubled, (len(doubled), doubled[:3])
    late = [(cast[user_id], slot, at) for user_id, slot, at in fleet.ended if at - slot > LATE and slot > BEGIN]
    assert not late, (len(late), late[:3])
    assert pool.dead_letters() == {}
    assert set(pool.states().values()) == {"done"}


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


@pytest.mark.parametrize("kind", [SYNC, DIGEST], ids=str)
def test_who_left_while_the_pool_did_not_tick_has_no_second_run_of_a_slot_that_cronjobs_served(
    pool: PoolWorld, kind: Kind
) -> None:
    pool.kind, pool.now = kind, datetime(2026, 11, 23, 7, 50, tzinfo=UTC)
    pool.enrol("ada", pool=None)
    since = pool.now - timedelta(days=1)
    apply(pool, schedule("ada", digest_day="Daily", digest_since=format_utc(since)))
    pool.tick()
    pool.begun.clear()
    # The user leaves at once, and the pool reads that two hours later.
    pool.pass_time(hours=2)
    assert pool.row("ada").due_at <= pool.now  # the fault fired
    when = When("Europe/Berlin", DigestDay.DAILY, time(9), since, "30m")
    latest = slots_of(kind, "ada", when).latest(pool.now)
    assert latest is not None
    serve_elsewhere(pool, "ada", latest)
    apply(pool, dedicated("ada"))

    pool.tick()

    assert (pool.served[-1], pool.begun) == (("ada", latest), []), "the CronJob's run is found done"
    with pool.database.read() as connection:
        assert connection.execute(select(pool_slots.c.due_at).where(pool_slots.c.kind == kind)).scalar_one() > pool.now
    pool.tick()
    with pool.database.read() as connection:
        of_kind = select(pool_slots.c.user_id).where(pool_slots.c.kind == kind)
        assert connection.execute(of_kind).all() == []


def test_a_member_who_leaves_while_being_served_does_not_come_back(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.make_due()

    def body(_: RunContext) -> Result:
        apply_to_enrolled(pool, dedicated("ada"))
        return Result()

    pool.body = body
    pool.tick()

    assert pool.users_served() == ["ada"]
    assert all(one.members == 0 for one in overviews(pool.database, now=pool.now))
    for pool.kind in (SYNC, DIGEST):
        pool.tick()
    with pool.database.read() as connection:
        assert connection.execute(select(pool_members)).all() == [], "nothing was due any more"


def test_a_run_that_nobody_tries_any_more_since_its_user_moved_makes_no_dead_letter_once_a_later_slot_is_served(
    pool: PoolWorld,
) -> None:
    pool.enrol("ada")
    store, earlier = DatabaseRunStore(pool.database), pool.now - timedelta(minutes=40)
    abandoned = Run(SYNC, "ada", earlier, "")
    store.open(abandoned, now=earlier, lease_until=pool.now + timedelta(minutes=1))
    store.take_over(abandoned, "own-pod")
    put_back = Closing(RunState.RETRY, Reason.TERMINATED, 0, {}, {})
    assert store.close(abandoned, "own-pod", put_back, now=earlier)

    pool.tick()
    pool.pass_time(minutes=31)
    pool.tick()

    assert set(pool.states().values()) == {"done"}
    assert pool.dead_letters() == {}


def test_who_is_locked_by_another_run_is_put_back_and_served_when_that_has_ended(pool: PoolWorld) -> None:
    """Such as by a late pod of the user's own CronJob, which serves an earlier slot."""
    pool.enrol("ada")
    lock = FileLocks(pool.lock_directory).acquire("sync:ada", "sync:ada:2026-11-23T10:00:00Z")
    assert not isinstance(lock, HeldBy)

    pool.tick()
    assert (pool.begun, pool.row("ada").unfinished) == ([], None)
    lock.release()
    pool.pass_time(seconds=31)
    pool.tick()

    assert pool.begun == ["ada"]
