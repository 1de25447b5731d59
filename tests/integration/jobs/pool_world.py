"""A pool with members in a database, a clock of its own, and bodies of runs that a test scripts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import SYNC, Kind
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, decode, encode
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.pools.apply_list import apply_list
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import dead_letters, pool_members, pool_slots, runs
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.domain.calendar.availability import AvailabilityParameters
from catchup_jobs.domain.people.users import Schedule, User
from catchup_jobs.jobs.pool.process_deaths import abandon
from catchup_jobs.jobs.pool.tick import Tick, TickResult, Work
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.pool.ports import Farewells, Member
    from catchup_jobs.jobs.run.endings import Report
    from catchup_jobs.jobs.run.ports import RunLocks

POOL = "people"
# A Monday noon in Berlin.
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)


@dataclass
class PoolWorld:
    """The pool `people`, whose members sync every 30 minutes.

    Attributes:
        body: what each run does; a test replaces it.
        served: the users and slots that ticks served, in order.
        requested: the users and requests by hand that ticks served, in order.
        begun: the users whose body was called, in order.
    """

    database: Database
    lock_directory: Path
    now: datetime = NOW
    every: str = "30m"
    version: str = "2026z 30m"
    kind: Kind = SYNC
    stopping: bool = False
    locks: RunLocks | None = None
    farewells: Farewells | None = None
    body: Callable[[RunContext], Result] = lambda _: Result()
    served: list[tuple[str, datetime]] = field(default_factory=list)
    requested: list[tuple[str, datetime]] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    _pods: Any = field(default_factory=lambda: itertools.count(1))
    _lock: Any = field(default_factory=threading.Lock)

    def enrol(self, *user_ids: str, pool: str | None = POOL, **schedule: Any) -> None:
        """Import users as members."""
        when = Schedule(
            **{
                "time_zone": "Europe/Berlin",
                "digest_day": DigestDay.SUNDAY,
                "digest_time": time(9),
                "sync_every": "6h",  # the pool's own interval holds
                **schedule,
            }
        )
        people = [
            User(id=user_id, name="Canary", schedule=when, paused=False, availability=AvailabilityParameters())
            for user_id in user_ids
        ]
        DatabaseUsers(self.database).import_all(people, now=self.now, pools=dict.fromkeys(user_ids, pool))

    def store(self, *, pool: str = POOL, shard: int = 0, shards: int = 1) -> PoolSlots:
        return PoolSlots(self.database, pool, self.kind, self.every, self.version, shard, shards)

    def make_due(self, user_ids: Iterable[str] | None = None, *, at: datetime | None = None) -> None:
        """Compute when members are due, and put that into the past."""
        self.store().schedule(now=self.now, limit=10_000)
        wanted = {} if user_ids is None else set(user_ids)
        with self.database.write() as connection:
            statement = pool_slots.update().where(pool_slots.c.kind == self.kind)
            if user_ids is not None:
                statement = statement.where(pool_slots.c.user_id.in_(wanted))
            connection.execute(statement.values(due_at=at or self.now - timedelta(minutes=1)))

    def tick(
        self,
        *,
        store: PoolSlots | None = None,
        pod: str | None = None,
        seconds: float = 300,
        workers: int = 4,
        on_served: Callable[[], None] = lambda: None,
    ) -> TickResult:
        """Make one tick, as a pod does; waits only turn the clock."""
        process = Process(
            now=lambda: self.now,
            sleep=self._sleep,
            random=lambda: 0.5,
            stopping=lambda: self.stopping,
            process_id=pod or f"pod-{next(self._pods)}",
        )
        deadline = self.now + timedelta(seconds=seconds)
        locks = self.locks or FileLocks(self.lock_directory)
        runs_of = DatabaseRunStore(self.database)

        def serve(member: Member) -> Report:
            with self._lock:
                if member.requested_at is None:
                    assert member.slot is not None
                    self.served.append((member.user_id, member.slot))
                else:
                    self.requested.append((member.user_id, member.requested_at))
                on_served()
            return run_job(
                self._begin,
                member.run(self.kind),
                store=runs_of,
                locks=locks,
                process=process,
                deadline_seconds=(deadline - self.now).total_seconds(),
                waits=False,
                lease_margin=timedelta(minutes=15),
            )

        def give_up(member: Member) -> Report:
            return abandon(member.run(self.kind), store=runs_of, process=process, lease=timedelta(minutes=15))

        work = Work(serve, give_up)
        return Tick(self.kind, store or self.store(), work, process, deadline, workers, self.farewells)()

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def row(self, user_id: str) -> Any:
        """Return a member's row for the kind."""
        with self.database.read() as connection:
            return connection.execute(
                select(pool_slots).where(pool_slots.c.user_id == user_id, pool_slots.c.kind == self.kind)
            ).one()

    def users_served(self) -> list[str]:
        return [user_id for user_id, _ in self.served]

    def states(self) -> dict[str, str]:
        """Return the state of each run by its key."""
        with self.database.read() as connection:
            return {row.run_key: row.state.value for row in connection.execute(select(runs.c.run_key, runs.c.state))}

    def dead_letters(self) -> dict[str, str]:
        """Return the error's class of each dead letter by its key."""
        with self.database.read() as connection:
            rows = connection.execute(select(dead_letters.c.run_key, dead_letters.c.error_class))
            return {row.run_key: row.error_class for row in rows}

    def fail(self, user: str, error: Exception) -> None:
        """Have each run of a user fail, and all others end well."""

        def body(context: RunContext) -> Result:
            if context.subject == user:
                raise error
            return Result()

        self.body = body

    def _begin(self, context: RunContext) -> Result:
        self.begun.append(context.subject)
        return self.body(context)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


def cadence_of(user_id: str) -> Cadence:
    """Return the cadence of a member's syncs."""
    return Cadence.of_user("sync", 30, user_id)


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


def apply_part(
    pool: PoolWorld, *schedules: ListedSchedule, where: Members = Members.USER_SCHEDULES, order: int = 0
) -> list[str]:
    """Apply a list of which some parts are missing, or older than its index."""
    whole = decode(encode(schedules, order=order))
    return apply_list(pool.database, POOL, replace(whole, is_complete=False), where=where, now=pool.now)


def held(pool: PoolWorld) -> int:
    return max((overview.held for overview in overviews(pool.database, now=pool.now)), default=0)


def listed_members(pool: PoolWorld) -> set[str]:
    """Return the members by UserSchedules, with those who leave."""
    with pool.database.read() as connection:
        return set(connection.execute(select(pool_members.c.user_id).where(pool_members.c.uid.is_not(None))).scalars())


def member(pool: PoolWorld, user_id: str) -> Any:
    """Return a member's row."""
    with pool.database.read() as connection:
        return connection.execute(select(pool_members).where(pool_members.c.user_id == user_id)).one()
