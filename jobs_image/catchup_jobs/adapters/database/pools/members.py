"""Who is a member of which pool: users who are enrolled in the database, and users of UserSchedules that name a pool.

A user whom a UserSchedule names is never served by enrolment, whatever that UserSchedule says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, time
from typing import Any, Final

from sqlalchemy import Connection, delete, or_, select, update

from catchup_contract.cadence import stable_hash
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind, user_kinds
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, ScheduleList
from catchup_contract.timestamps import parse_utc
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members, pool_slots, users
from catchup_jobs.jobs.run.errors import TemporaryError

# Any number of shards up to `pools.SHARDS_MAX` splits so many buckets evenly enough.
_BUCKETS: Final = 65536
# Under SQLite's and PostgreSQL's limits on the parameters of one statement.
_PAGE: Final = 500
_PRIORITIES: Final = {"high": 0, "normal": 1, "low": 2}


def enrol(database: Database, connection: Connection, pools: Mapping[str, str | None], *, now: datetime) -> None:
    """Make users members of pools, or of none; part of a transaction that has locked the users' rows.

    Args:
        pools: the pool of each user, None to end the membership. Digests of a new member are due from `now` on.
    """
    for page in _pages(pools):
        leaving = [user_id for user_id in page if pools[user_id] is None]
        connection.execute(delete(pool_enrolments).where(pool_enrolments.c.user_id.in_(leaving)))
        # UserSchedules keep their members.
        connection.execute(
            delete(pool_members).where(pool_members.c.user_id.in_(leaving), pool_members.c.uid.is_(None))
        )
        joining = {user_id: pool for user_id in page if (pool := pools[user_id]) is not None}
        if joining:
            _enrol_page(database, connection, joining, now)
    if pools:
        read_lists_again(connection)


def read_lists_again(connection: Connection) -> None:
    """Have the next tick apply the list of UserSchedules again, since it may name users who are new in the database."""
    connection.execute(update(pool_lists).values(digest=""))


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
    _join_enrolled(database, connection, list(pools))


def _join_enrolled(database: Database, connection: Connection, user_ids: Collection[str]) -> None:
    """Make enrolled users members of their pools, without those whom a UserSchedule has made members."""
    enrolled = connection.execute(
        select(pool_enrolments.c.user_id, pool_enrolments.c.pool, pool_enrolments.c.since)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.user_id.in_(user_ids), pool_members.c.uid.is_(None))
    ).all()
    if not enrolled:
        return
    member = database.insert(pool_members)
    connection.execute(
        member.on_conflict_do_update(index_elements=["user_id"], set_={"pool": member.excluded.pool}),
        [{"user_id": row.user_id, "pool": row.pool, "digest_since": row.since} for row in enrolled],
    )
    _put_slots(database, connection, [_slot(row.user_id, kind, row.pool) for row in enrolled for kind in user_kinds()])


def reschedule(connection: Connection, user_ids: Iterable[str]) -> None:
    """Have the next tick compute when these users are due, since their schedule has changed."""
    for page in _pages(user_ids):
        connection.execute(update(pool_slots).where(pool_slots.c.user_id.in_(page)).values(version=""))


def apply_list(
    database: Database, pool: str, listed: ScheduleList, *, where: Members = Members.DATABASE
) -> list[ListedSchedule]:
    """Make a pool's members agree with the list of UserSchedules; return those of members who are new or changed.

    A list that is not complete makes members and ends no membership. A UserSchedule of which a newer generation is
    known already is left out, and so is one of a user whom the database does not have. Nothing is read but a hash where
    the list is the last one.

    Args:
        where: where the pool's members are. A user whom it served when its members were elsewhere is a member no more.

    Raises:
        TemporaryError: the list is not complete, and the pool has never had one that was.
        JobError: the database cannot be used.
    """
    with database.read() as connection:
        known = connection.execute(select(pool_lists.c.digest).where(pool_lists.c.pool == pool)).scalar()
    digest = f"{listed.digest} {where}"
    if known == digest and listed.is_complete:
        return []
    if known is None and not listed.is_complete:
        raise TemporaryError("the list of UserSchedules is not complete yet: nobody knows whom they serve")
    named = {schedule.user_id for schedule in listed.schedules}
    wanted = {one.user_id: one for one in listed.schedules if one.is_served and one.pool == pool}
    if where is not Members.USER_SCHEDULES:
        wanted = {}
    with database.write() as connection:
        changed = _admit(database, connection, pool, wanted)
        stored = {
            row.user_id: row.uid
            for row in connection.execute(
                select(pool_members.c.user_id, pool_members.c.uid).where(pool_members.c.pool == pool)
            )
        }
        # By enrolment nobody is served whom a UserSchedule names, nor by a UserSchedule who is on the list otherwise.
        leaving = {user_id for user_id in stored if user_id in named and user_id not in wanted}
        if where is not Members.DATABASE:
            leaving |= {user_id for user_id, uid in stored.items() if uid is None}
        if listed.is_complete:
            gone = {user_id for user_id, uid in stored.items() if uid is not None and user_id not in named}
            _leave(connection, pool, leaving | gone)
            if where is Members.DATABASE:
                _return_enrolled(database, connection, pool, named)
            _note(database, connection, pool, digest)
        else:
            _leave(connection, pool, leaving)
    return changed


def _admit(
    database: Database, connection: Connection, pool: str, wanted: Mapping[str, ListedSchedule]
) -> list[ListedSchedule]:
    """Make users of UserSchedules members; return those that were not, or by an older generation."""
    changed: list[ListedSchedule] = []
    for page in _pages(wanted):
        known_users = set(connection.execute(select(users.c.id).where(users.c.id.in_(page))).scalars())
        rows = connection.execute(select(pool_members).where(pool_members.c.user_id.in_(page)))
        stored = {row.user_id: row for row in rows}
        new = [
            wanted[user_id]
            for user_id in page
            if user_id in known_users and _is_news(wanted[user_id], stored.get(user_id), pool)
        ]
        if not new:
            continue
        member = database.insert(pool_members)
        connection.execute(
            member.on_conflict_do_update(
                index_elements=["user_id"],
                set_={name: member.excluded[name] for name in _member(new[0], pool) if name != "user_id"},
            ),
            [_member(schedule, pool) for schedule in new],
        )
        slots = [
            _slot(schedule.user_id, kind, pool, _PRIORITIES[schedule.priority])
            for schedule in new
            for kind in _enabled(schedule)
        ]
        _put_slots(database, connection, slots)
        for schedule in new:
            disabled = [kind for kind in user_kinds() if kind not in _enabled(schedule)]
            if disabled:
                connection.execute(
                    delete(pool_slots).where(
                        pool_slots.c.user_id == schedule.user_id, or_(*(pool_slots.c.kind == kind for kind in disabled))
                    )
                )
        changed += new
    return changed


def _is_news(schedule: ListedSchedule, stored: Any | None, pool: str) -> bool:
    if stored is None or stored.uid != schedule.uid:
        return True
    if stored.generation != schedule.generation:
        return bool(stored.generation < schedule.generation)
    return bool(stored.pool != pool or stored.digest_since != _since(schedule))


def _enabled(schedule: ListedSchedule) -> list[Kind]:
    return [kind for kind, value in ((SYNC, schedule.sync_every), (DIGEST, schedule.digest_day)) if value]


def _member(schedule: ListedSchedule, pool: str) -> dict[str, Any]:
    return {
        "user_id": schedule.user_id,
        "pool": pool,
        "uid": schedule.uid,
        "generation": schedule.generation,
        "digest_since": _since(schedule),
        "time_zone": schedule.time_zone,
        "digest_day": DigestDay(schedule.digest_day) if schedule.digest_day else None,
        "digest_time": time.fromisoformat(schedule.digest_time) if schedule.digest_time else None,
        "sync_every": schedule.sync_every or None,
    }


def _since(schedule: ListedSchedule) -> datetime | None:
    return parse_utc(schedule.digest_since) if schedule.digest_since else None


def _slot(user_id: str, kind: Kind, pool: str, priority: int = _PRIORITIES["normal"]) -> dict[str, Any]:
    bucket = stable_hash("pool", user_id) % _BUCKETS
    return {"user_id": user_id, "kind": kind, "pool": pool, "bucket": bucket, "priority": priority}


def _put_slots(database: Database, connection: Connection, slots: list[dict[str, Any]]) -> None:
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


def _leave(connection: Connection, pool: str, user_ids: Collection[str]) -> None:
    for page in _pages(user_ids):
        connection.execute(delete(pool_members).where(pool_members.c.pool == pool, pool_members.c.user_id.in_(page)))


def _return_enrolled(database: Database, connection: Connection, pool: str, named: Collection[str]) -> None:
    """Make enrolled users members again whom no UserSchedule names any more."""
    without = (
        select(pool_enrolments.c.user_id)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.pool == pool, pool_members.c.user_id.is_(None))
    )
    for page in _pages(set(connection.execute(without).scalars()) - set(named)):
        _join_enrolled(database, connection, page)


def _note(database: Database, connection: Connection, pool: str, digest: str) -> None:
    stored = database.insert(pool_lists).values(pool=pool, digest=digest)
    connection.execute(stored.on_conflict_do_update(index_elements=["pool"], set_={"digest": stored.excluded.digest}))


def _pages(ids: Iterable[str]) -> Iterable[list[str]]:
    # In the order of ids, in which other transactions lock users, too.
    ordered = sorted(ids)
    for start in range(0, len(ordered), _PAGE):
        yield ordered[start : start + _PAGE]
