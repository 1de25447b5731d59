"""The list of UserSchedules, applied to the members of a pool.

A user whom a UserSchedule names is never served by enrolment, whatever that UserSchedule says. A user whom others serve
by now leaves: what was due before is the pool's to end, since CronJobs start nothing from before they were made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, time
from typing import Any

import structlog
from sqlalchemy import Connection, Select, delete, or_, select, update

from catchup_contract.api import (
    DEFAULT_DIGEST_DAY,
    DEFAULT_DIGEST_TIME,
    DEFAULT_SYNC_EVERY,
    SYNC_INTERVALS_MINUTES,
)
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind, user_kinds
from catchup_contract.local_time import is_time_zone
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, ScheduleList
from catchup_contract.timestamps import parse_utc
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.leaving import forget_put_back, hand_over
from catchup_jobs.adapters.database.pools.members import HEAD, HEAD_ALONE, PRIORITIES, join_enrolled, put_slots, slot_of
from catchup_jobs.adapters.database.pools.requests import note_requests
from catchup_jobs.adapters.database.schedule_columns import copy_schedule
from catchup_jobs.adapters.database.schema import pool_enrolments, pool_lists, pool_members, pool_slots, users
from catchup_jobs.domain.people.users import Schedule
from catchup_jobs.jobs.run.errors import TemporaryError

_log = structlog.get_logger()


def apply_list(
    database: Database, pool: str, listed: ScheduleList, *, where: Members = Members.DATABASE, now: datetime
) -> list[str]:
    """Make a pool's members agree with the list of UserSchedules; return the users who are new members or changed.

    Their rows get the UserSchedule's values, which suggestions and digests by hand need, too.

    A list that is older than the one that was applied last is left out: pods of overlapping ticks may have either. One
    that is not complete makes members and ends no membership. A UserSchedule of which a newer generation is
    known already is left out, and so is one of a user whom the database does not have. Nothing is read but a hash where
    the list is the last one.

    Args:
        where: where the pool's members are. A user whom it served when its members were elsewhere is a member no more.

    Raises:
        TemporaryError: the list is not complete, and the pool has never had one that was.
        JobError: the database cannot be used.
    """
    with database.read() as connection:
        known = connection.execute(_applied(pool)).scalar()
    applied = _text(listed, where)
    if (known == applied and listed.is_complete) or _is_older(listed, known):
        return []
    if known is None and not listed.is_complete:
        raise TemporaryError("the list of UserSchedules is not complete yet: nobody knows whom they serve")
    named = {schedule.user_id for schedule in listed.schedules}
    wanted: dict[str, ListedSchedule] = {}
    if where is Members.USER_SCHEDULES:
        wanted = {
            one.user_id: one
            for one in listed.schedules
            if one.is_served and one.pool == pool and _is_readable(one, now)
        }
    with database.write() as connection:
        if _is_older(listed, connection.execute(_applied(pool).with_for_update()).scalar()):
            return []  # another pod has applied a newer one meanwhile
        changed = _admit(database, connection, pool, wanted, now)
        columns = (pool_members.c.user_id, pool_members.c.uid, pool_members.c.generation, pool_members.c.leaving)
        members = connection.execute(select(*columns).where(pool_members.c.pool == pool)).all()
        # Of a list that is not complete, a part may be older than the index says.
        generations = {one.uid: one.generation for one in listed.schedules}
        known_as = [one for one in members if one.uid in generations]
        newer = {one.user_id for one in known_as if generations[one.uid] < one.generation}
        # By enrolment nobody is served whom a UserSchedule names, nor by a UserSchedule who is on the list otherwise.
        ends = {one.user_id for one in members if one.user_id in named and one.user_id not in wanted} - newer
        if where is not Members.DATABASE:
            ends |= {one.user_id for one in members if one.uid is None}
        if listed.is_complete:
            ends |= {one.user_id for one in members if one.uid is not None and one.user_id not in named}
        served = {one.user_id: one for one in listed.schedules if one.is_served and one.user_id in ends}
        _leave(connection, pool, ends - served.keys())
        hand_over(connection, [served[one.user_id] for one in members if one.user_id in served and not one.leaving])
        if listed.is_complete:
            if where is Members.DATABASE:
                _return_enrolled(database, connection, pool, named)
            _note(database, connection, pool, applied)
    return changed


def _admit(
    database: Database, connection: Connection, pool: str, wanted: Mapping[str, ListedSchedule], now: datetime
) -> list[str]:
    """Make users of UserSchedules members; return those that were not, or by another schedule."""
    changed: list[str] = []
    for page in chunks(sorted(wanted)):
        known_users = set(connection.execute(select(users.c.id).where(users.c.id.in_(page))).scalars())
        rows = connection.execute(select(pool_members).where(pool_members.c.user_id.in_(page)))
        stored = {row.user_id: row for row in rows}
        members = {user_id: _member(wanted[user_id], pool, now) for user_id in page if user_id in known_users}
        news = [row for user_id, row in members.items() if _is_news(row, stored.get(user_id))]
        if news:
            elsewhere = {row.pool for row in stored.values()} - {pool}
            # Should this list be older than theirs, they take their members back.
            connection.execute(update(pool_lists).where(pool_lists.c.pool.in_(elsewhere)).values(digest=HEAD_ALONE))
            _store(database, connection, pool, news, [wanted[row["user_id"]] for row in news])
            for row in news:
                copy_schedule(connection, row["user_id"], _chosen(wanted[row["user_id"]]), now)
        asking = note_requests(connection, (wanted[user_id] for user_id in members), now=now)
        changed += sorted({*(row["user_id"] for row in news), *asking})
    return changed


def _store(
    database: Database,
    connection: Connection,
    pool: str,
    rows: list[dict[str, Any]],
    schedules: list[ListedSchedule],
) -> None:
    """Store members that are new or changed: their rows, and what their UserSchedules say."""
    member = database.insert(pool_members)
    connection.execute(
        member.on_conflict_do_update(
            index_elements=["user_id"],
            set_={name: member.excluded[name] for name in rows[0] if name != "user_id"},
        ),
        rows,
    )
    slots = [
        slot_of(schedule.user_id, kind, pool, PRIORITIES.get(schedule.priority, PRIORITIES["normal"]))
        for schedule in schedules
        for kind in _enabled(schedule)
    ]
    put_slots(database, connection, slots)
    for schedule in schedules:
        disabled = [kind for kind in user_kinds() if kind not in _enabled(schedule)]
        if disabled:
            connection.execute(
                delete(pool_slots).where(
                    pool_slots.c.user_id == schedule.user_id, or_(*(pool_slots.c.kind == kind for kind in disabled))
                )
            )


def _is_news(wanted: Mapping[str, Any], stored: Any | None) -> bool:
    if stored is None or stored.uid != wanted["uid"]:
        return True
    if stored.generation != wanted["generation"]:
        return bool(stored.generation < wanted["generation"])
    # Of the same generation the pool may be there now, or the operator spreads digests otherwise.
    return any(getattr(stored, name) != value for name, value in wanted.items())


def _is_readable(schedule: ListedSchedule, now: datetime) -> bool:
    """Return whether this version knows what the UserSchedule says; otherwise nobody serves the user."""
    try:
        _member(schedule, "", now)
    except ValueError:
        is_valid = False
    else:
        every = schedule.sync_every
        is_valid = is_time_zone(schedule.time_zone) and (not every or every in SYNC_INTERVALS_MINUTES)
    if not is_valid:
        _log.warning("a UserSchedule cannot be read, its user is not served", user=schedule.user_id)
    return is_valid


def _chosen(schedule: ListedSchedule) -> Schedule:
    """Return what the user chose, as a sync's pod of the user's own is told."""
    return Schedule(
        schedule.time_zone,
        DigestDay(schedule.digest_day or DEFAULT_DIGEST_DAY),
        time.fromisoformat(schedule.digest_chosen or schedule.digest_time or DEFAULT_DIGEST_TIME),
        schedule.sync_every or DEFAULT_SYNC_EVERY,
    )


def _enabled(schedule: ListedSchedule) -> list[Kind]:
    return [kind for kind, value in ((SYNC, schedule.sync_every), (DIGEST, schedule.digest_day)) if value]


def _member(schedule: ListedSchedule, pool: str, now: datetime) -> dict[str, Any]:
    suspended_until = parse_utc(schedule.suspended_until) if schedule.suspended_until else None
    return {
        "user_id": schedule.user_id,
        "pool": pool,
        "uid": schedule.uid,
        "generation": schedule.generation,
        # Just resumed where it is not known: what was due before is not sent.
        "digest_since": parse_utc(schedule.digest_since) if schedule.digest_since else suspended_until or now,
        "time_zone": schedule.time_zone,
        "digest_day": DigestDay(schedule.digest_day) if schedule.digest_day else None,
        "digest_time": time.fromisoformat(schedule.digest_time) if schedule.digest_time else None,
        "sync_every": schedule.sync_every or None,
        "suspended_until": suspended_until,
        "leaving": False,
    }


def _leave(connection: Connection, pool: str, user_ids: Collection[str]) -> None:
    for page in chunks(sorted(user_ids)):
        forget_put_back(connection, pool_slots.c.pool == pool, pool_slots.c.user_id.in_(page))
        connection.execute(delete(pool_members).where(pool_members.c.pool == pool, pool_members.c.user_id.in_(page)))


def _return_enrolled(database: Database, connection: Connection, pool: str, named: Collection[str]) -> None:
    """Make enrolled users members again whom no UserSchedule names any more."""
    without = (
        select(pool_enrolments.c.user_id)
        .outerjoin(pool_members, pool_members.c.user_id == pool_enrolments.c.user_id)
        .where(pool_enrolments.c.pool == pool, or_(pool_members.c.user_id.is_(None), pool_members.c.leaving))
    )
    for page in chunks(sorted(set(connection.execute(without).scalars()) - set(named))):
        # No UserSchedule owns their schedule any more.
        connection.execute(update(users).where(users.c.id.in_(page)).values(schedule_seen_at=None))
        join_enrolled(database, connection, page)


def known_pools(database: Database) -> dict[str, Members | None]:
    """Return the pools of which a pod has run in a cluster, with where their members are, None where unknown."""
    with database.read() as connection:
        rows = connection.execute(select(pool_lists.c.pool, pool_lists.c.digest)).all()
    letters = {_letter(where): where for where in Members}
    return {row.pool: letters.get(row.digest[HEAD - 1 : HEAD]) for row in rows}


def _applied(pool: str) -> Select[Any]:
    return select(pool_lists.c.digest).where(pool_lists.c.pool == pool)


def _text(listed: ScheduleList, where: Members) -> str:
    """Return what is stored of a list that was applied."""
    return f"#{listed.order or 0:015}{_letter(where)} {listed.digest}"


def _letter(where: Members) -> str:
    return where.value[0]


def _is_older(listed: ScheduleList, applied: str | None) -> bool:
    """Return whether a newer list was applied; of one that says no order, and before the first one, nobody knows."""
    is_known = applied is not None and applied.startswith("#")
    return is_known and listed.order is not None and listed.order < int(str(applied)[1 : HEAD - 1])


def _note(database: Database, connection: Connection, pool: str, digest: str) -> None:
    stored = database.insert(pool_lists).values(pool=pool, digest=digest)
    connection.execute(stored.on_conflict_do_update(index_elements=["pool"], set_={"digest": stored.excluded.digest}))
