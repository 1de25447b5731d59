"""The list of UserSchedules, applied to the members of a pool.

A user whom a UserSchedule names is never served by enrolment, whatever that UserSchedule says. A user whom others serve
by now leaves: what was due before is the pool's to end, since CronJobs start nothing from before they were made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, time
from functools import partial
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
from catchup_contract.kinds import user_kinds
from catchup_contract.local_time import is_time_zone
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, ScheduleList
from catchup_contract.timestamps import parse_utc
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.applied import (
    OvertakenError,
    Turns,
    applied,
    is_first,
    is_older,
    letter_of,
    text_of,
)
from catchup_jobs.adapters.database.pools.edits import note_edits
from catchup_jobs.adapters.database.pools.leaving import forget_put_back, hand_over
from catchup_jobs.adapters.database.pools.members import HEAD, HEAD_ALONE, put_slots, slot_of
from catchup_jobs.adapters.database.pools.names import Names
from catchup_jobs.adapters.database.pools.requests import note_requests
from catchup_jobs.adapters.database.pools.returning import return_enrolled
from catchup_jobs.adapters.database.schedule_columns import copy_schedule, give_back_own
from catchup_jobs.adapters.database.schema import pool_lists, pool_members, pool_slots, users
from catchup_jobs.domain.people.users import Schedule
from catchup_jobs.jobs.run.errors import TemporaryError

_log = structlog.get_logger()


def apply_list(
    database: Database, pool: str, listed: ScheduleList, *, where: Members = Members.DATABASE, now: datetime
) -> list[str]:
    """Make a pool's members agree with the list of UserSchedules; return the users who are new members or changed.

    Their rows get the UserSchedule's values, which suggestions and digests by hand need, too.

    A list that is older than the one that was applied last is left out: pods of overlapping ticks may have either. Of
    one that is not complete, parts may be older: it makes members, and changes those of whom it has a newer generation
    than is known; the next complete one is applied whether it was before or not. A UserSchedule of which a newer
    generation is known already is left out, and so is one of a user whom the database does not have. Nothing is read
    but a hash where the list is the last one.

    It takes a transaction for each page of users: whoever dies on the way leaves the list to be applied again.

    Args:
        where: where the pool's members are. A user whom it served when its members were elsewhere is a member no more.

    Raises:
        TemporaryError: the list is not complete, and the pool has never had one that was.
        JobError: the database cannot be used.
    """
    with database.read() as connection:
        stored = connection.execute(applied(pool)).scalar()
    if (stored == text_of(listed, where) and listed.is_complete) or is_older(listed, stored):
        return []
    if is_first(stored) and not listed.is_complete:
        raise TemporaryError("the list of UserSchedules is not complete yet: nobody knows whom they serve")
    names = Names.of(listed, pool, where, is_readable=lambda one: _is_readable(one, now))
    turns = Turns(database, pool, listed, where)
    changed: list[str] = []
    with suppress(OvertakenError):
        if listed.is_complete:
            turns.begin()
        for page in chunks(sorted(names.wanted)):
            changed += turns.take(partial(_admit, turns, names, page, now))
        with database.read() as connection:
            ending = [one.user_id for one in connection.execute(_members(pool)) if names.ends(one)]
        for page in chunks(sorted(ending)):
            turns.take(partial(_end, pool, names, page, now))
        if listed.is_complete and (where is not Members.DATABASE or return_enrolled(turns, names.users, now=now)):
            turns.end()
    return changed


def _members(pool: str) -> Select[Any]:
    columns = (pool_members.c.user_id, pool_members.c.uid, pool_members.c.generation, pool_members.c.leaving)
    return select(*columns).where(pool_members.c.pool == pool)


def _end(pool: str, names: Names, user_ids: Sequence[str], now: datetime, connection: Connection) -> list[str]:
    """End memberships; return the users of whom anything was written."""
    # As they are by now: others enrol users meanwhile.
    rows = connection.execute(
        _members(pool).where(pool_members.c.user_id.in_(user_ids)).order_by(pool_members.c.user_id).with_for_update()
    )
    ending = [one for one in rows.all() if names.ends(one)]
    gone = [one.user_id for one in ending if one.user_id not in names.served]
    _leave(connection, pool, gone)
    give_back_own(connection, [user_id for user_id in gone if user_id not in names.users], now=now)
    moved = [one.user_id for one in ending if one.user_id in names.served and not one.leaving]
    hand_over(connection, pool, [names.served[user_id] for user_id in moved])
    return gone + moved


def _admit(turns: Turns, names: Names, user_ids: Sequence[str], now: datetime, connection: Connection) -> list[str]:
    """Make users of UserSchedules members; return those that were not, or by another schedule."""
    known = select(users.c.id).where(users.c.id.in_(user_ids)).order_by(users.c.id)
    wanted = {user_id: names.wanted[user_id] for user_id in connection.execute(known).scalars()}
    news = _news(turns.pool, names, wanted, now, connection)
    if news:
        # Whoever enrols them locks their rows, too.
        changing = {row["user_id"]: wanted[row["user_id"]] for row in news}
        connection.execute(known.where(users.c.id.in_(list(changing))).with_for_update())
        news = _news(turns.pool, names, changing, now, connection)
        _store(turns.database, connection, turns.pool, news, [wanted[row["user_id"]] for row in news])
        for row in news:
            copy_schedule(connection, row["user_id"], _chosen(wanted[row["user_id"]]), now)
        edited = {row["user_id"]: at for row in news if (at := _edited_at(wanted[row["user_id"]])) is not None}
        note_edits(connection, {user_id: min(at, now) for user_id, at in edited.items()}, now=now)
    asking = note_requests(connection, wanted.values(), now=now)
    return sorted({*(row["user_id"] for row in news), *asking})


def _news(
    pool: str, names: Names, wanted: Mapping[str, ListedSchedule], now: datetime, connection: Connection
) -> list[dict[str, Any]]:
    """Return the rows of users who are no members so far, or by another schedule."""
    stored = {
        row.user_id: row
        for row in connection.execute(select(pool_members).where(pool_members.c.user_id.in_(list(wanted))))
    }
    rows = [_member(schedule, pool, now) for schedule in wanted.values()]
    return [row for row in rows if names.is_news(row, stored.get(row["user_id"]))]


def _store(
    database: Database,
    connection: Connection,
    pool: str,
    rows: list[dict[str, Any]],
    schedules: list[ListedSchedule],
) -> None:
    """Store members that are new or changed: their rows, and what their UserSchedules say."""
    if not rows:
        return
    elsewhere = select(pool_members.c.pool).where(
        pool_members.c.user_id.in_([row["user_id"] for row in rows]), pool_members.c.pool != pool
    )
    # Should this list be older than theirs, they take their members back.
    connection.execute(update(pool_lists).where(pool_lists.c.pool.in_(elsewhere)).values(digest=HEAD_ALONE))
    member = database.insert(pool_members)
    connection.execute(
        member.on_conflict_do_update(
            index_elements=["user_id"],
            set_={name: member.excluded[name] for name in rows[0] if name != "user_id"},
        ),
        rows,
    )
    slots = [
        slot_of(schedule.user_id, kind, pool, schedule.priority)
        for schedule in schedules
        for kind in user_kinds()
        if schedule.has(kind)
    ]
    put_slots(database, connection, slots)
    for schedule in schedules:
        disabled = [kind for kind in user_kinds() if not schedule.has(kind)]
        if disabled:
            connection.execute(
                delete(pool_slots).where(
                    pool_slots.c.user_id == schedule.user_id, or_(*(pool_slots.c.kind == kind for kind in disabled))
                )
            )


def _is_readable(schedule: ListedSchedule, now: datetime) -> bool:
    """Return whether this version knows what the UserSchedule says; otherwise nobody serves the user."""
    try:
        _member(schedule, "", now)
        _edited_at(schedule)
    except ValueError:
        is_valid = False
    else:
        every = schedule.sync_every
        is_valid = is_time_zone(schedule.time_zone) and (not every or every in SYNC_INTERVALS_MINUTES)
    if not is_valid:
        _log.warning("a UserSchedule cannot be read, its user is not served", user=schedule.user_id)
    return is_valid


def _edited_at(schedule: ListedSchedule) -> datetime | None:
    return parse_utc(schedule.edited_at) if schedule.edited_at else None


def _chosen(schedule: ListedSchedule) -> Schedule:
    """Return what the user chose, as a sync's pod of the user's own is told."""
    return Schedule(
        schedule.time_zone,
        DigestDay(schedule.digest_day or DEFAULT_DIGEST_DAY),
        time.fromisoformat(schedule.digest_chosen or schedule.digest_time or DEFAULT_DIGEST_TIME),
        schedule.sync_every or DEFAULT_SYNC_EVERY,
    )


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
    if not user_ids:
        return
    forget_put_back(connection, pool_slots.c.pool == pool, pool_slots.c.user_id.in_(user_ids))
    connection.execute(delete(pool_members).where(pool_members.c.pool == pool, pool_members.c.user_id.in_(user_ids)))


def known_pools(database: Database) -> dict[str, Members | None]:
    """Return the pools of which a pod has run in a cluster, with where their members are, None where unknown."""
    with database.read() as connection:
        rows = connection.execute(select(pool_lists.c.pool, pool_lists.c.digest)).all()
    letters = {letter_of(where): where for where in Members}
    return {row.pool: letters.get(row.digest[HEAD - 1 : HEAD]) for row in rows}
