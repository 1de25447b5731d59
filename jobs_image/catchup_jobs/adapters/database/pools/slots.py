"""`jobs.pool.ports.PoolStore` in the database: who is due, claims, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select, true, update

from catchup_contract.api import DEFAULT_DIGEST_DAY, DEFAULT_DIGEST_TIME
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import SYNC, Kind
from catchup_contract.local_time import is_time_zone
from catchup_contract.outcomes import Reason
from catchup_contract.requests import is_live
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools import leaving
from catchup_jobs.adapters.database.pools.overview import pool_counts
from catchup_jobs.adapters.database.pools.trouble import troubles
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, users
from catchup_jobs.adapters.database.types import UtcDateTime
from catchup_jobs.domain.placement.slots import Slots, When, slots_of
from catchup_jobs.jobs.pool.ports import Member, Settlement

_JUST_EDITED: Final = timedelta(minutes=10)
"""A slot of a pool's member that passed within this time is served, though the schedule was edited meanwhile."""
_AGED: Final = timedelta(minutes=30)
"""After so much waiting, a member of a pool is served by age, whatever the priority."""

_CLAIMED: Final = (
    update(pool_slots)
    .where(pool_slots.c.user_id == bindparam("user"))
    .values(due_at=bindparam("due"), owner=bindparam("by"), deaths=bindparam("died"), unfinished=bindparam("slot"))
)

_COMPUTED: Final = (
    update(pool_slots)
    .where(pool_slots.c.user_id == bindparam("user"))
    .values(due_at=bindparam("due"), unfinished=bindparam("slot"), version=bindparam("of"))
)
# What a schedule raises that this version cannot compute with, such as an interval of a newer one.
_UNREADABLE: Final = (ValueError, LookupError, ArithmeticError)

_SLOT: Final = (
    pool_slots.c.due_at,
    pool_slots.c.unfinished,
    pool_slots.c.requested_at,
    pool_slots.c.is_requested,
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PoolSlots:
    """The members of one pool for one kind, in one shard.

    Attributes:
        every: the interval of the pool's syncs.
        since: when the pool was resumed (UTC): what fell due before is not caught up on.
        version: changes with everything from which due times are computed, apart from the user: the zone data, and
            `every`.
    """

    database: Database
    pool: str
    kind: Kind
    every: str
    version: str
    shard: int = 0
    shards: int = 1
    since: datetime | None = None

    def schedule(self, *, now: datetime, limit: int) -> int:
        """Compute when members are due whose schedule is new or changed; return how many, at most `limit`."""
        unclaimed = (*self._mine(), pool_slots.c.owner.is_(None))
        stale = (
            _whens(*_SLOT, pool_slots.c.version)
            .join(pool_slots, pool_slots.c.user_id == pool_members.c.user_id)
            # Not `!=`, for which no index helps.
            .where(*unclaimed, or_(pool_slots.c.version < self.version, pool_slots.c.version > self.version))
        )
        with self.database.read() as connection:
            rows = connection.execute(stale.limit(limit)).all()
        if not rows:
            return 0
        if self._tell_interval(rows):
            with self.database.read() as connection:
                rows = connection.execute(stale.where(_is_of(rows))).all()
        computed = {row: self._computed(row, now) for row in rows}
        with self.database.write() as connection:
            # In one order everywhere, or two transactions could wait for each other.
            locked = select(pool_slots.c.user_id).where(*unclaimed, _is_of(rows)).order_by(pool_slots.c.user_id)
            connection.execute(locked.with_for_update(skip_locked=True)).all()
            # A row that was edited meanwhile is computed another time.
            values = [computed[row] for row in connection.execute(stale.where(_is_of(rows))) if row in computed]
            if values:
                connection.execute(_COMPUTED.where(pool_slots.c.kind == self.kind), values)
        return len(rows)

    def _tell_interval(self, rows: Sequence[Any]) -> bool:
        """Store the interval by which the sync of an enrolled user is overdue; a UserSchedule says its own."""
        told = sorted(row.user_id for row in rows if row.uid is None and row.sync_every != self.every)
        if self.kind is not SYNC or not told:
            return False
        one = (pool_members.c.user_id == bindparam("user"), pool_members.c.uid.is_(None))
        with self.database.write() as connection:
            connection.execute(
                update(pool_members).where(*one).values(sync_every=self.every), [{"user": user_id} for user_id in told]
            )
        return True

    def _computed(self, row: Any, now: datetime) -> dict[str, Any]:
        """Return what is stored of a member: one whose schedule cannot be computed harms no other."""
        try:
            due_at, unfinished = self._due_at(row, now), self._unfinished(row, now)
        except _UNREADABLE:
            _log.warning("it cannot be computed when the user is due, who is not served", user=row.user_id)
            due_at, unfinished = None, row.unfinished
        return {"user": row.user_id, "due": due_at, "slot": unfinished, "of": self.version}

    def _due_at(self, row: Any, now: datetime) -> datetime | None:
        # Whoever is due stays due: which slot that serves, the claim decides.
        is_due = row.due_at is not None and row.due_at <= now and not _is_suspended(row, now)
        if is_due or (row.due_at is not None and row.unfinished is not None):
            due: datetime = row.due_at
            return due if is_due or not _is_requested(row, now) else now
        if _is_requested(row, now):
            return now
        slots = self._slots(row)
        if slots is None:
            _log.warning("the user's schedule cannot be read, the user is not served", user=row.user_id)
            return None
        if row.leaving:
            return slots.after(now)
        if row.due_at is None and slots.missed(now) is not None:
            # A new user need not wait for a first sync, and one who comes from another placement may come at the minute
            # of a slot. A run that has ended there is not repeated.
            return now
        latest = slots.latest(now)
        # An edit shortly before the new time is read shortly after it.
        return now if latest is not None and now - latest < _JUST_EDITED else slots.after(now)

    def release(self, *, now: datetime) -> None:
        """End the membership of users who leave the pool and for whom nothing is due, begun or put back."""
        leaving.release(self.database, self.kind, self._mine(), now=now)

    def _unfinished(self, row: Any, now: datetime) -> datetime | None:
        """Return the slot that is due beside a request, so that it is served after it; else the one that there is."""
        unfinished: datetime | None = row.unfinished
        is_due = row.due_at is not None and row.due_at <= now
        if unfinished is not None or not (is_due and _is_requested(row, now)):
            return unfinished
        slots = self._slots(row)
        return None if slots is None else slots.latest(now)

    def due(self, *, now: datetime, limit: int) -> list[str]:
        """Return the users who are due, without those of `suspects`: by priority, the longest first.

        Priority does not count for whoever has waited for half an hour.
        """
        return self._due_users(and_(pool_slots.c.owner.is_(None), pool_slots.c.deaths == 0), now, limit)

    def suspects(self, *, now: datetime) -> list[str]:
        """Return the users who are due and were in flight when a process died."""
        return self._due_users(or_(pool_slots.c.owner.is_not(None), pool_slots.c.deaths > 0), now, None)

    def _due_users(self, which: ColumnElement[bool], now: datetime, limit: int | None) -> list[str]:
        statement = (
            select(pool_slots.c.user_id)
            .where(*self._mine(), pool_slots.c.due_at <= now, which)
            .order_by(case((pool_slots.c.due_at < now - _AGED, 0), else_=pool_slots.c.priority), pool_slots.c.due_at)
            .limit(limit)
        )
        with self.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def claim(self, user_ids: Sequence[str], owner: str, *, now: datetime, until: datetime) -> list[Member]:
        """Claim users who are still due, for the process `owner` until `until`; return those it got."""
        wanted = (
            _whens(*_SLOT, pool_slots.c.version, pool_slots.c.owner, pool_slots.c.deaths)
            .join(pool_slots, pool_slots.c.user_id == pool_members.c.user_id)
            .where(pool_slots.c.user_id.in_(user_ids), *self._mine(), pool_slots.c.due_at <= now)
            # In one order everywhere, or two transactions could wait for each other.
            .order_by(pool_slots.c.user_id)
            .with_for_update(of=pool_slots, skip_locked=True)
        )
        with self.database.write() as connection:
            rows = connection.execute(wanted).all()
            claimed = {row.user_id: member for row in rows if (member := self._member(row, now)) is not None}
            # Whose schedule cannot be read is due no more.
            values = [
                {"user": user_id, "due": until, "by": owner, "died": member.deaths, "slot": member.slot}
                for user_id, member in claimed.items()
            ] + [
                {"user": row.user_id, "due": None, "by": None, "died": row.deaths, "slot": row.unfinished}
                for row in rows
                if row.user_id not in claimed
            ]
            if values:
                connection.execute(_CLAIMED.where(pool_slots.c.kind == self.kind), values)
        return [claimed[user_id] for user_id in user_ids if user_id in claimed]

    def _member(self, row: Any, now: datetime) -> Member | None:
        try:
            return self._claimed(row, now)
        except _UNREADABLE:
            _log.warning("the user's schedule cannot be computed, the user is not served", user=row.user_id)
            return None

    def _claimed(self, row: Any, now: datetime) -> Member | None:
        slots = self._slots(row)
        if slots is None:
            return None
        # An owner who is still there has let the claim end without settling it.
        deaths = row.deaths + (row.owner is not None)
        # A request that came after it was computed when the member is due waits for that to be computed again.
        requested_at = row.requested_at if row.version == self.version and _is_requested(row, now) else None
        slot = row.unfinished or (slots.latest(now) if requested_at is None else None)
        return Member(row.user_id, self._when(row), slots, slot, row.unfinished is not None, deaths, requested_at)

    def _slots(self, row: Any) -> Slots | None:
        """Return the user's slots, None where the schedule holds what this version cannot read."""
        when = self._when(row)
        if not is_time_zone(when.time_zone) or not isinstance(when.digest_day, DigestDay):
            return None
        return slots_of(self.kind, row.user_id, when)

    def settle(self, owner: str, settlements: Sequence[Settlement]) -> None:
        """End claims. A claim that another process has taken over stays as it is."""
        with self.database.write() as connection:
            connection.execute(
                update(pool_slots)
                .where(
                    pool_slots.c.user_id == bindparam("user"),
                    pool_slots.c.kind == self.kind,
                    pool_slots.c.owner == owner,
                )
                .values(
                    due_at=bindparam("due"),
                    unfinished=bindparam("slot"),
                    deaths=bindparam("died"),
                    # A newer request stays.
                    is_requested=and_(
                        pool_slots.c.is_requested,
                        func.coalesce(pool_slots.c.requested_at != bindparam("request", type_=UtcDateTime()), true()),
                    ),
                    owner=None,
                ),
                [
                    {
                        "user": one.user_id,
                        "due": one.due_at,
                        "slot": one.unfinished,
                        "died": one.deaths,
                        "request": one.answered,
                    }
                    # In one order everywhere, or two transactions could wait for each other.
                    for one in sorted(settlements, key=lambda one: one.user_id)
                ],
            )

    def next_due_at(self) -> datetime | None:
        """Return when the next member falls due (UTC), None where there is no member."""
        with self.database.read() as connection:
            due_at: datetime | None = connection.execute(
                select(func.min(pool_slots.c.due_at, type_=pool_slots.c.due_at.type)).where(*self._mine())
            ).scalar()
        return due_at

    def counts(self, *, now: datetime) -> dict[Count, int]:
        """Return the counts of the whole pool for its status, over all shards."""
        with self.database.read() as connection:
            return pool_counts(connection, self.pool, self.kind, now=now)

    def troubles(self) -> list[tuple[str | None, Reason]]:
        """Return of each member in trouble the uid of the UserSchedule (None for an enrolled user) and why."""
        with self.database.read() as connection:
            return [(trouble.uid, trouble.reason) for trouble in troubles(connection, self.pool, self.kind)]

    def size(self) -> int:
        """Return how many members the pool has for the kind, over all shards."""
        mine = (pool_slots.c.pool == self.pool, pool_slots.c.kind == self.kind)
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(pool_slots).where(*mine)).scalar_one())

    def _mine(self) -> list[ColumnElement[bool]]:
        mine = [pool_slots.c.pool == self.pool, pool_slots.c.kind == self.kind]
        return mine if self.shards == 1 else [*mine, pool_slots.c.bucket % self.shards == self.shard]

    def _when(self, row: Any) -> When:
        if row.uid is None:
            return When(row.time_zone, row.digest_day, row.digest_time, row.digest_since, self.every, self.since)
        # A kind that the UserSchedule disables has no row in `pool_slots`.
        return When(
            row.schedules_time_zone,
            row.schedules_digest_day or DigestDay(DEFAULT_DIGEST_DAY),
            row.schedules_digest_time or time.fromisoformat(DEFAULT_DIGEST_TIME),
            row.digest_since,
            row.sync_every or self.every,
            max((at for at in (row.suspended_until, self.since) if at is not None), default=None),
        )


def _is_of(rows: Sequence[Any]) -> ColumnElement[bool]:
    return pool_slots.c.user_id.in_([row.user_id for row in rows])


def _is_suspended(row: Any, now: datetime) -> bool:
    return row.suspended_until is not None and bool(row.suspended_until > now)


def _is_requested(row: Any, now: datetime) -> bool:
    """Return whether a run by hand is to be made at `now`."""
    return bool(row.is_requested) and is_live(row.requested_at, now) and not _is_suspended(row, now)


def _whens(*others: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members with what says when they are due: the UserSchedule, or the user's row."""
    return select(
        *others,
        pool_members.c.user_id,
        pool_members.c.uid,
        pool_members.c.leaving,
        pool_members.c.digest_since,
        pool_members.c.sync_every,
        pool_members.c.suspended_until,
        pool_members.c.time_zone.label("schedules_time_zone"),
        pool_members.c.digest_day.label("schedules_digest_day"),
        pool_members.c.digest_time.label("schedules_digest_time"),
        users.c.time_zone,
        users.c.digest_day,
        users.c.digest_time,
    ).join_from(pool_members, users)
