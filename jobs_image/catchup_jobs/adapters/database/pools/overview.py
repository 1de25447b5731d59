"""How a pool does: the counts of its status and of `catchup-jobs pool show`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, func, select

from catchup_contract.cadence import MISSED_SYNCS
from catchup_contract.kinds import SYNC, Kind, user_kinds
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.pools.last_syncs import oldest_syncs
from catchup_jobs.adapters.database.pools.lateness import is_late
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.pools.ticks import last_ticks
from catchup_jobs.adapters.database.pools.trouble import failing
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_members, pool_slots
from catchup_jobs.adapters.database.sync_intervals import MEMBERS_INTERVAL, intervals_before

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database


def pool_counts(connection: Connection, pool: str, kind: Kind, *, now: datetime) -> dict[Count, int]:
    """Return the counts of a pool for a kind; those of syncs for the sync only."""
    mine = and_(pool_slots.c.pool == pool, pool_slots.c.kind == kind)
    members = select(func.count()).select_from(pool_slots.join(pool_members)).where(mine, is_served(now))
    failed = failing(kind, now, func.count()).where(pool_slots.c.pool == pool)
    counts = {
        Count.MEMBERS: _number(connection, members),
        Count.MEMBERS_LATE: _number(connection, members.where(is_late(kind, now))),
        Count.MEMBERS_FAILING: _number(connection, failed),
    }
    if kind is SYNC:
        counts |= _freshness(connection, pool, now=now)
    return counts


def _freshness(connection: Connection, pool: str, *, now: datetime) -> dict[Count, int]:
    # A failure after a fresh success counts: of each member either.
    failed = failing(SYNC, now, pool_slots.c.user_id).where(pool_slots.c.pool == pool)
    fresh = (
        select(func.count())
        .select_from(pool_slots.join(pool_members))
        .where(
            *(pool_slots.c.pool == pool, pool_slots.c.kind == SYNC, is_served(now)),
            pool_slots.c.synced_at >= intervals_before(now, MISSED_SYNCS, MEMBERS_INTERVAL),
            # Not by a clock that was ahead.
            pool_slots.c.synced_at <= now,
            pool_slots.c.user_id.not_in(failed),
        )
    )
    counts = {Count.MEMBERS_SYNCED: _number(connection, fresh)}
    oldest = oldest_syncs(connection, [pool], now).get(pool)
    if oldest is not None:
        counts[Count.OLDEST_SYNC_SECONDS] = max(0, int((now - oldest).total_seconds()))
    return counts


def _number(connection: Connection, statement: object) -> int:
    return int(connection.execute(statement).scalar_one())  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class PoolOverview:
    """A pool and kind as `catchup-jobs pool show` prints it.

    Attributes:
        members: whom the pool serves now, without those who are suspended: as `pool_counts` has them.
        by_schedules: those of UserSchedules; the others are enrolled.
        held: enrolled users whom the pool does not serve: a UserSchedule names them, or its members are UserSchedules.
        due: members who wait to be served.
        in_flight: members who are being served.
        failing: those of them whose last run failed or asks somebody to act.
        longest_due_at: since when the one who waits longest is due (UTC), None where nobody is due.
        last_tick: when a pod of the pool has run last (UTC), None where none ever has.
    """

    pool: str
    kind: Kind
    members: int
    by_schedules: int
    held: int
    due: int
    in_flight: int
    failing: int
    longest_due_at: datetime | None
    last_tick: datetime | None


def overviews(database: Database, *, now: datetime) -> Iterator[PoolOverview]:
    """Yield all pools that have members, or enrolled users who are held, by name, and each kind. Raises JobError."""
    key = (pool_slots.c.pool, pool_slots.c.kind)
    is_due = pool_slots.c.due_at <= now  # also where the process that had claimed the member died
    statement = (
        select(
            *key,
            func.count().filter(is_served(now)).label("members"),
            func.count().filter(is_served(now), pool_members.c.uid.is_not(None)).label("by_schedules"),
            func.count().filter(is_due).label("due"),
            func.count().filter(pool_slots.c.owner.is_not(None), pool_slots.c.due_at > now).label("in_flight"),
            func.min(pool_slots.c.due_at, type_=pool_slots.c.due_at.type).filter(is_due).label("longest"),
        )
        .join_from(pool_slots, pool_members)
        .where(~pool_members.c.leaving)
        .group_by(*key)
        .order_by(*key)
    )
    held = (
        select(pool_enrolments.c.pool, func.count().label("number"))
        .outerjoin(
            pool_members,
            and_(
                pool_members.c.user_id == pool_enrolments.c.user_id,
                pool_members.c.pool == pool_enrolments.c.pool,
                pool_members.c.uid.is_(None),
                ~pool_members.c.leaving,
            ),
        )
        .where(pool_members.c.user_id.is_(None))
        .group_by(pool_enrolments.c.pool)
    )
    with database.read() as connection:
        rows = connection.execute(statement).all()
        ticks = last_ticks(connection)
        held_of: dict[str, int] = {row.pool: row.number for row in connection.execute(held)}
        failures = {
            (pool, kind): number
            for kind in user_kinds()
            for pool, number in connection.execute(
                failing(kind, now, pool_slots.c.pool, func.count()).group_by(pool_slots.c.pool)
            )
        }
    found = [
        PoolOverview(
            row.pool,
            row.kind,
            row.members,
            row.by_schedules,
            held_of.get(row.pool, 0),
            row.due,
            row.in_flight,
            failures.get((row.pool, row.kind), 0),
            row.longest,
            ticks.get(row.pool),
        )
        for row in rows
    ]
    served = {one.pool for one in found}
    found += [
        PoolOverview(pool, kind, 0, 0, number, 0, 0, 0, None, ticks.get(pool))
        for pool, number in held_of.items()
        if pool not in served
        for kind in user_kinds()
    ]
    yield from sorted(found, key=lambda one: (one.pool, one.kind.name))


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's pool.

    Attributes:
        by: `UserSchedule`, `enrolment`, or `nothing`: the user is enrolled and not served.
        sync_every: the interval of the pool's syncs, of the UserSchedule's or of the pool's own; None until it is read.
        due: by the name of a kind, when the user is due (UTC); None until it is computed.
        suspended_until: the end of a suspension of the user's UserSchedule, present or past (UTC).
    """

    pool: str
    by: str
    due: dict[str, datetime | None]
    sync_every: str | None = None
    suspended_until: datetime | None = None


def membership(connection: Connection, user_id: str) -> Membership | None:
    """Return a user's pool, None for a user of no pool."""
    member = connection.execute(
        select(
            pool_members.c.pool, pool_members.c.uid, pool_members.c.sync_every, pool_members.c.suspended_until
        ).where(pool_members.c.user_id == user_id, ~pool_members.c.leaving)
    ).one_or_none()
    if member is None:
        enrolled = connection.execute(
            select(pool_enrolments.c.pool).where(pool_enrolments.c.user_id == user_id)
        ).scalar_one_or_none()
        return None if enrolled is None else Membership(enrolled, "nothing", {})
    due = connection.execute(
        select(pool_slots.c.kind, pool_slots.c.due_at)
        .where(pool_slots.c.user_id == user_id)
        .order_by(pool_slots.c.kind)
    )
    return Membership(
        member.pool,
        "UserSchedule" if member.uid is not None else "enrolment",
        {row.kind.name: row.due_at for row in due},
        member.sync_every,
        member.suspended_until,
    )
