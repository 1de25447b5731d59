"""`jobs.pool.ports.PoolStore` in the database: who is due, claims, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, null, or_, select, update

from catchup_contract.kinds import Kind
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.overview import pool_counts
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, users
from catchup_jobs.domain.placement.slots import When, slots_of
from catchup_jobs.jobs.pool.ports import Member, Settlement


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
            select(pool_slots.c.user_id, pool_slots.c.due_at, pool_slots.c.unfinished, *_WHEN)
            .join_from(pool_slots, pool_members)
            .join(users, users.c.id == pool_slots.c.user_id)
            .where(
                *self._mine(),
                # Not `!=`, for which no index helps.
                or_(pool_slots.c.version < self.version, pool_slots.c.version > self.version),
                pool_slots.c.owner.is_(None),
                pool_members.c.held.is_(False),
            )
            .limit(limit)
        )
        with self.database.read() as connection:
            rows = connection.execute(stale).all()
        if not rows:
            return 0
        computed = [{"user": row.user_id, "due": self._due_at(row, now), "was": row.due_at} for row in rows]
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
                [{"user": row["user"], "due": row["due"]} for row in computed],
            )
        return len(rows)

    def _due_at(self, row: Any, now: datetime) -> datetime:
        # Whoever is due stays due: which slot that serves, the claim decides.
        if row.due_at is not None and (row.due_at <= now or row.unfinished is not None):
            due: datetime = row.due_at
            return due
        return slots_of(self.kind, row.user_id, self._when(row)).after(now)

    def due(self, *, now: datetime, limit: int) -> list[str]:
        """Return the users who are due, the longest first, without those of `suspects`."""
        return self._due_users(and_(pool_slots.c.owner.is_(None), pool_slots.c.deaths == 0), now, limit)

    def suspects(self, *, now: datetime) -> list[str]:
        """Return the users who are due and were in flight when a process died."""
        return self._due_users(or_(pool_slots.c.owner.is_not(None), pool_slots.c.deaths > 0), now, None)

    def _due_users(self, which: ColumnElement[bool], now: datetime, limit: int | None) -> list[str]:
        statement = (
            select(pool_slots.c.user_id)
            .where(*self._mine(), pool_slots.c.due_at <= now, which)
            .order_by(pool_slots.c.due_at)
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
            whens = connection.execute(
                select(pool_members.c.user_id, *_WHEN)
                .join_from(pool_members, users)
                .where(pool_members.c.user_id.in_(list(got)))
            )
            when_of = {row.user_id: self._when(row) for row in whens.all()}
        return [
            Member(user_id, when_of[user_id], got[user_id].unfinished, got[user_id].deaths)
            for user_id in user_ids
            if user_id in got
        ]

    def settle(self, owner: str, settlements: Sequence[Settlement]) -> None:
        """End claims. A claim that another process has taken over stays as it is."""
        held = select(pool_members.c.held).where(pool_members.c.user_id == pool_slots.c.user_id).scalar_subquery()
        with self.database.write() as connection:
            connection.execute(
                update(pool_slots)
                .where(
                    pool_slots.c.user_id == bindparam("user"),
                    pool_slots.c.kind == self.kind,
                    pool_slots.c.owner == owner,
                )
                .values(
                    due_at=case((held, null()), else_=bindparam("due", type_=pool_slots.c.due_at.type)),
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
        return When(row.time_zone, row.digest_day, row.digest_time, row.since, self.every)


_WHEN = (users.c.time_zone, users.c.digest_day, users.c.digest_time, pool_members.c.since)
