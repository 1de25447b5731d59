"""Members of pools: users who are enrolled in the database, and what makes anybody a member."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from catchup_contract.api import DEFAULT_PRIORITY, PRIORITIES
from catchup_contract.cadence import stable_hash
from catchup_contract.kinds import SYNC, Kind, user_kinds
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import RunState

# Any number of shards up to `pools.SHARDS_MAX` splits so many buckets evenly enough.
_BUCKETS: Final = 65536
# An enrolled user has no value there.
_OF_A_SCHEDULE: Final = ("uid", "generation", "time_zone", "digest_day", "digest_time", "suspended_until")
# The part of a row of `pool_lists` that stays when the list is to be applied again: by its order, older lists are still
# refused.
HEAD: Final = 17
HEAD_ALONE: Final = func.substr(pool_lists.c.digest, 1, HEAD)
# As they are stored: 0 is served first.
_PRIORITY_NUMBERS: Final = {name: number for number, name in enumerate(reversed(PRIORITIES))}


def enrol(database: Database, connection: Connection, pools: Mapping[str, str | None], *, now: datetime) -> None:
    """Make users members of pools, or of none; part of a transaction that has locked the users' rows.

    Args:
        pools: the pool of each user, None to end the membership. Digests of a new member are due from `now` on.
    """
    for page in chunks(sorted(pools)):
        leaving = [user_id for user_id in page if pools[user_id] is None]
        connection.execute(delete(pool_enrolments).where(pool_enrolments.c.user_id.in_(leaving)))
        end_enrolments(connection, leaving, now)
        joining = {user_id: pool for user_id in page if (pool := pools[user_id]) is not None}
        if joining:
            _enrol_page(database, connection, joining, now)
    if pools:
        read_lists_again(connection)


def end_enrolments(connection: Connection, user_ids: Collection[str], now: datetime) -> None:
    """End the membership of enrolled users; where something is due or begun, once the pool has ended that."""
    # UserSchedules keep their members.
    enrolled = and_(pool_members.c.user_id.in_(user_ids), pool_members.c.uid.is_(None))
    has_work = (
        select(pool_slots.c.user_id)
        .where(
            pool_slots.c.user_id == pool_members.c.user_id,
            or_(pool_slots.c.owner.is_not(None), pool_slots.c.unfinished.is_not(None), pool_slots.c.due_at <= now),
        )
        .correlate(pool_members)
        .exists()
    )
    connection.execute(update(pool_members).where(enrolled, has_work).values(leaving=True))
    connection.execute(delete(pool_members).where(enrolled, ~pool_members.c.leaving))


def read_lists_again(connection: Connection) -> None:
    """Have the next tick apply the list of UserSchedules again, since it may name users who are new in the database."""
    connection.execute(update(pool_lists).values(digest=HEAD_ALONE))


def _enrol_page(database: Database, connection: Connection, pools: Mapping[str, str], now: datetime) -> None:
    enrolment = database.insert(pool_enrolments)
    connection.execute(
        enrolment.on_conflict_do_update(
            index_elements=["user_id"],
            set_={"pool": enrolment.excluded.pool, "since": enrolment.excluded.since},
            where=pool_enrolments.c.pool != enrolment.excluded.pool,
        ),
        [{"user_id": user_id, "pool": pool, "since": now} for user_id, pool in pools.items()],
    )
    join_enrolled(database, connection, list(pools))


def join_enrolled(database: Database, connection: Connection, user_ids: Collection[str]) -> None:
    """Make enrolled users members of their pools, without those whom a UserSchedule has made members."""
    enrolled = connection.execute(
        select(pool_enrolments.c.user_id, pool_enrolments.c.pool, pool_enrolments.c.since)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.user_id.in_(user_ids), or_(pool_members.c.uid.is_(None), pool_members.c.leaving))
    ).all()
    if not enrolled:
        return
    member = database.insert(pool_members)
    connection.execute(
        member.on_conflict_do_update(
            index_elements=["user_id"],
            set_={"pool": member.excluded.pool, "leaving": False, **dict.fromkeys(_OF_A_SCHEDULE)},
        ),
        [{"user_id": row.user_id, "pool": row.pool, "digest_since": row.since} for row in enrolled],
    )
    put_slots(database, connection, [slot_of(row.user_id, kind, row.pool) for row in enrolled for kind in user_kinds()])


def is_served(now: datetime) -> ColumnElement[bool]:
    """Return the condition for members (of `pool_members`) who are not suspended and do not leave, at `now` (aware)."""
    until = pool_members.c.suspended_until
    return and_(~pool_members.c.leaving, or_(until.is_(None), until <= now))


def is_suspended(until: datetime | None, now: datetime) -> bool:
    """Return what `is_served` asks of a member's `suspended_until`, of one that was read: whether it is to come."""
    return until is not None and until > now


def interval_of(database: Database, pool: str) -> str | None:
    """Return the interval of a pool's syncs, as its pods were told it last; None where it has no enrolled member."""
    stored = select(pool_members.c.sync_every).where(
        pool_members.c.pool == pool, pool_members.c.uid.is_(None), pool_members.c.sync_every.is_not(None)
    )
    with database.read() as connection:
        every: str | None = connection.execute(stored.limit(1)).scalar()
    return every


def syncable_members(database: Database, pool: str, *, now: datetime) -> list[str]:
    """Return the members of a pool whose calendars are synced, without those who are suspended at `now` (aware)."""
    statement = (
        select(pool_slots.c.user_id)
        .join_from(pool_slots, pool_members)
        .where(pool_slots.c.pool == pool, pool_slots.c.kind == SYNC, is_served(now))
        .order_by(pool_slots.c.user_id)
    )
    with database.read() as connection:
        return list(connection.execute(statement).scalars())


def reschedule(connection: Connection, user_ids: Iterable[str]) -> None:
    """Have the next tick compute when these users are due, since their schedule has changed."""
    for page in chunks(sorted(user_ids)):
        connection.execute(update(pool_slots).where(pool_slots.c.user_id.in_(page)).values(version=""))


def slot_of(user_id: str, kind: Kind, pool: str, priority: str = DEFAULT_PRIORITY) -> dict[str, Any]:
    """Return the row of a member and kind; a priority that only newer code knows counts as the default."""
    bucket = stable_hash("pool", user_id) % _BUCKETS
    number = _PRIORITY_NUMBERS.get(priority, _PRIORITY_NUMBERS[DEFAULT_PRIORITY])
    return {"user_id": user_id, "kind": kind, "pool": pool, "bucket": bucket, "priority": number}


def put_slots(database: Database, connection: Connection, slots: list[dict[str, Any]]) -> None:
    """Store rows of members and kinds; of those that are there, when they are due stays until the next tick."""
    if not slots:
        return
    slot = database.insert(pool_slots)
    connection.execute(
        slot.on_conflict_do_update(
            index_elements=["user_id", "kind"],
            set_={"pool": slot.excluded.pool, "priority": slot.excluded.priority, "version": ""},
        ),
        slots,
    )
    _keep_last_syncs(connection, {slot["user_id"] for slot in slots})


def _keep_last_syncs(connection: Connection, user_ids: Collection[str]) -> None:
    """Note of new members when they were synced last before, by CronJobs of their own or by hand."""
    of_user = (runs.c.kind == SYNC, runs.c.subject == pool_slots.c.user_id, runs.c.state == RunState.DONE)
    last = select(func.max(runs.c.started_at)).where(*of_user).correlate(pool_slots).scalar_subquery()
    for page in chunks(sorted(user_ids)):
        never = (pool_slots.c.user_id.in_(page), pool_slots.c.kind == SYNC, pool_slots.c.synced_at.is_(None))
        connection.execute(update(pool_slots).where(*never).values(synced_at=last))
