"""Who is a member of which pool: enrolment of users of the database, and users whom a UserSchedule names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, update

from catchup_contract.cadence import stable_hash
from catchup_contract.kinds import user_kinds
from catchup_contract.schedule_list import ScheduleList
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_lists, pool_members, pool_slots

# Any number of shards up to `pools.SHARDS_MAX` splits so many buckets evenly enough.
_BUCKETS: Final = 65536
# Under SQLite's and PostgreSQL's limits on the parameters of one statement.
_PAGE: Final = 500


def enrol(database: Database, connection: Connection, pools: Mapping[str, str | None], *, now: datetime) -> None:
    """Make users members of pools, or of none; part of a transaction that has locked the users' rows.

    Args:
        pools: the pool of each user, None to end the membership. Digests of a new member are due from `now` on.
    """
    leaving = [user_id for user_id, pool in pools.items() if pool is None]
    for page in _pages(leaving):
        connection.execute(delete(pool_members).where(pool_members.c.user_id.in_(page)))
    joining = {user_id: pool for user_id, pool in pools.items() if pool is not None}
    for page in _pages(sorted(joining)):
        _join(database, connection, {user_id: joining[user_id] for user_id in page}, now)


def _join(database: Database, connection: Connection, pools: Mapping[str, str], now: datetime) -> None:
    member = database.insert(pool_members)
    connection.execute(
        member.on_conflict_do_update(
            index_elements=["user_id"],
            set_={"pool": member.excluded.pool, "since": member.excluded.since},
            where=pool_members.c.pool != member.excluded.pool,
        ),
        [{"user_id": user_id, "pool": pool, "since": now} for user_id, pool in pools.items()],
    )
    slot = database.insert(pool_slots)
    connection.execute(
        slot.on_conflict_do_update(
            index_elements=["user_id", "kind"], set_={"pool": slot.excluded.pool, "version": ""}
        ),
        [
            {"user_id": user_id, "kind": kind, "pool": pool, "bucket": stable_hash("pool", user_id) % _BUCKETS}
            for user_id, pool in pools.items()
            for kind in user_kinds()
        ],
    )


def reschedule(connection: Connection, user_ids: Iterable[str]) -> None:
    """Have the next tick compute when these users are due, since their schedule has changed."""
    for page in _pages(sorted(user_ids)):
        connection.execute(update(pool_slots).where(pool_slots.c.user_id.in_(page)).values(version=""))


def hold(database: Database, pool: str, listed: ScheduleList) -> int:
    """Hold the members of a pool whom a UserSchedule names, and no others; return how many changed.

    A list that is not complete releases nobody. Nothing is read but a hash where the list is the last one.

    Raises:
        JobError: the database cannot be used.
    """
    with database.read() as connection:
        known = connection.execute(select(pool_lists.c.digest).where(pool_lists.c.pool == pool)).scalar()
    if known == listed.digest and listed.is_complete:
        return 0
    named = {schedule.user_id for schedule in listed.schedules}
    with database.write() as connection:
        held = set(
            connection.execute(
                select(pool_members.c.user_id).where(pool_members.c.pool == pool, pool_members.c.held)
            ).scalars()
        )
        changed = _set_held(connection, pool, named - held, held=True)
        if listed.is_complete:
            changed += _set_held(connection, pool, held - named, held=False)
            stored = database.insert(pool_lists).values(pool=pool, digest=listed.digest)
            connection.execute(
                stored.on_conflict_do_update(index_elements=["pool"], set_={"digest": stored.excluded.digest})
            )
    return changed


def _set_held(connection: Connection, pool: str, user_ids: Iterable[str], *, held: bool) -> int:
    changed = 0
    for page in _pages(sorted(user_ids)):
        members = connection.execute(
            update(pool_members)
            .where(pool_members.c.pool == pool, pool_members.c.user_id.in_(page))
            .values(held=held)
            .returning(pool_members.c.user_id)
        ).scalars()
        ids = list(members)
        changed += len(ids)
        # A claim goes on: its end sees that the member is held.
        connection.execute(
            update(pool_slots)
            .where(pool_slots.c.user_id.in_(ids), pool_slots.c.owner.is_(None))
            .values(due_at=None, unfinished=None, version="")
        )
    return changed


def _pages(ids: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(ids), _PAGE):
        yield ids[start : start + _PAGE]
