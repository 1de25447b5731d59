"""`jobs.pool.ports.PoolStore` in the database: who is due, claims, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select, update

from catchup_contract.api import DEFAULT_DIGEST_DAY, DEFAULT_DIGEST_TIME
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import SYNC, Kind
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.overview import pool_counts
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, users
from catchup_jobs.domain.placement.slots import When, slots_of
from catchup_jobs.jobs.pool.ports import Member, Settlement

_AGED: Final = timedelta(minutes=30)
"""After so much waiting, a member of a pool is served by age, whatever the priority."""


@dataclass(frozen=True, slots=True)
class PoolSlots:
    """The members of one pool for one kind, in one shard.

    Attributes:
        every: the interval of the pool's syncs.
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

    def schedule(self, *, now: datetime, limit: int) -> int:
        """Compute when members are due whose schedule is new or changed; return how many, at most `limit`."""
        stale = (
            _whens(pool_slots.c.due_at, pool_slots.c.unfinished)
            .join(pool_slots, pool_slots.c.user_id == pool_members.c.user_id)
            .where(
                *self._mine(),
                # Not `!=`, for which no index helps.
                or_(pool_slots.c.version < self.version, pool_slots.c.version > self.version),
                pool_slots.c.owner.is_(None),
            )
            .limit(limit)
        )
        with self.database.read() as connection:
            rows = connection.execute(stale).all()
        if not rows:
            return 0
        with self.database.write() as connection:
            connection.execute(
                update(pool_slots)
                .where(
                    pool_slots.c.user_id == bindparam("user"),
                    pool_slots.c.kind == self.kind,
                    pool_slots.c.pool == self.pool,
                    pool_slots.c.owner.is_(None),
                )
                .values(due_at=bindparam("due"), version=self.version),
                [{"user": row.user_id, "due": self._due_at(row, now)} for row in rows],
            )
            if self.kind is SYNC:
                # The interval by which a sync is overdue; a UserSchedule says its own.
                enrolled = [row.user_id for row in rows if row.uid is None]
                connection.execute(
                    update(pool_members).where(pool_members.c.user_id.in_(enrolled)).values(sync_every=self.every)
                )
        return len(rows)

    def _due_at(self, row: Any, now: datetime) -> datetime:
        # Whoever is due stays due: which slot that serves, the claim decides.
        if row.due_at is not None and (row.due_at <= now or row.unfinished is not None):
            due: datetime = row.due_at
            return due
        slots = slots_of(self.kind, row.user_id, self._when(row))
        if row.due_at is None and slots.missed(now) is not None:
            # A new user need not wait for a first sync, and one who comes from another placement may come at the minute
            # of a slot. A run that has ended there is not repeated.
            return now
        return slots.after(now)

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
        claimed = (
            update(pool_slots)
            .where(pool_slots.c.user_id.in_(user_ids), *self._mine(), pool_slots.c.due_at <= now)
            .values(
                due_at=until,
                owner=owner,
                # An owner who is still there has let the claim end without settling it.
                deaths=pool_slots.c.deaths + case((pool_slots.c.owner.is_(None), 0), else_=1),
            )
            .returning(pool_slots.c.user_id, pool_slots.c.unfinished, pool_slots.c.deaths)
        )
        with self.database.write() as connection:
            got = {row.user_id: row for row in connection.execute(claimed)}
            whens = connection.execute(_whens().where(pool_members.c.user_id.in_(list(got))))
            when_of = {row.user_id: self._when(row) for row in whens.all()}
        return [
            Member(user_id, when_of[user_id], got[user_id].unfinished, got[user_id].deaths)
            for user_id in user_ids
            if user_id in got
        ]

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
                    owner=None,
                ),
                [
                    {"user": one.user_id, "due": one.due_at, "slot": one.unfinished, "died": one.deaths}
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
            return pool_counts(connection, self.pool, self.kind, every=self.every, now=now)

    def _mine(self) -> list[ColumnElement[bool]]:
        mine = [pool_slots.c.pool == self.pool, pool_slots.c.kind == self.kind]
        return mine if self.shards == 1 else [*mine, pool_slots.c.bucket % self.shards == self.shard]

    def _when(self, row: Any) -> When:
        if row.uid is None:
            return When(row.time_zone, row.digest_day, row.digest_time, row.digest_since, self.every)
        # A kind that the UserSchedule disables has no row in `pool_slots`.
        return When(
            row.schedules_time_zone,
            row.schedules_digest_day or DigestDay(DEFAULT_DIGEST_DAY),
            row.schedules_digest_time or time.fromisoformat(DEFAULT_DIGEST_TIME),
            row.digest_since,
            row.sync_every or self.every,
        )


def _whens(*others: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members with what says when they are due: the UserSchedule, or the user's row."""
    return select(
        *others,
        pool_members.c.user_id,
        pool_members.c.uid,
        pool_members.c.digest_since,
        pool_members.c.sync_every,
        pool_members.c.time_zone.label("schedules_time_zone"),
        pool_members.c.digest_day.label("schedules_digest_day"),
        pool_members.c.digest_time.label("schedules_digest_time"),
        users.c.time_zone,
        users.c.digest_day,
        users.c.digest_time,
    ).join_from(pool_members, users)
