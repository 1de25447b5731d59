"""`jobs.pool.ports.PoolStore` in the database: who is due, claims, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select, true, update

from catchup_contract.kinds import SYNC, Kind
from catchup_contract.outcomes import Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools import leaving
from catchup_jobs.adapters.database.pools.clock_ahead import compute_far_anew
from catchup_jobs.adapters.database.pools.deaths import has_died
from catchup_jobs.adapters.database.pools.due import UNREADABLE, DueRules, ended_runs, member_rows
from catchup_jobs.adapters.database.pools.leaving import forget_put_back
from catchup_jobs.adapters.database.pools.members import is_suspended
from catchup_jobs.adapters.database.pools.order import serving_order
from catchup_jobs.adapters.database.pools.overview import pool_counts
from catchup_jobs.adapters.database.pools.trouble import causes, troubles
from catchup_jobs.adapters.database.schema import pool_members, pool_slots
from catchup_jobs.adapters.database.types import UtcDateTime
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.pool.ports import Member, Settlement

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
        """Compute when members are due whose schedule is new or changed; return how many, at most `limit`.

        Processes that do so at once compute different members. 0 says that all are computed, or are by others.
        """
        with self.database.read() as connection:
            if connection.execute(self._stale().limit(1)).first() is None:
                return 0
        number, others = self._schedule_page(now, limit)
        if others:
            self._store_interval(others)
            self._schedule_page(now, limit, pool_slots.c.user_id.in_(others))
        return number

    def _stale(self) -> Select[Any]:
        # Not `!=`, for which no index helps.
        is_stale = or_(pool_slots.c.version < self.version, pool_slots.c.version > self.version)
        return select(pool_slots.c.user_id).where(*self._mine(), pool_slots.c.owner.is_(None), is_stale)

    def _schedule_page(self, now: datetime, limit: int, *which: ColumnElement[bool]) -> tuple[int, list[str]]:
        """Compute a page; return how many members it has, and those of them whose interval must be stored first."""
        with self.database.write() as connection:
            # Whoever edits these members waits, and has them computed again.
            locked = self._stale().where(*which).limit(limit).with_for_update(of=pool_slots, skip_locked=True)
            user_ids = list(connection.execute(locked).scalars())
            rows = connection.execute(
                member_rows(pool_slots.c.version).where(
                    pool_slots.c.user_id.in_(user_ids), pool_slots.c.kind == self.kind
                )
            ).all()
            others = [row.user_id for row in rows if self._has_other_interval(row)]
            ready = [row for row in rows if not self._has_other_interval(row)]
            rules = self._rules_for(connection, ready, now, RunState.DONE, RunState.FAILED)
            values = [self._computed(row, now, rules) for row in ready]
            put_back = [
                row.user_id for row in ready if row.unfinished is not None and is_suspended(row.suspended_until, now)
            ]
            if put_back:
                forget_put_back(connection, pool_slots.c.kind == self.kind, pool_slots.c.user_id.in_(put_back))
            if values:
                connection.execute(_COMPUTED.where(pool_slots.c.kind == self.kind), values)
        return len(rows), others

    def compute_far_anew(self, *, now: datetime) -> int:
        """Have `schedule` compute members anew who are due later than their schedule can say; return how many."""
        return compute_far_anew(self.database, self.kind, self._mine(), version=self.version, now=now)

    def _has_other_interval(self, row: Any) -> bool:
        """Return whether an enrolled user has another interval; a UserSchedule says its own."""
        return self.kind is SYNC and row.uid is None and row.sync_every != self.every

    def _store_interval(self, user_ids: Sequence[str]) -> None:
        # Not while slots are locked: others lock members first.
        one = (pool_members.c.user_id == bindparam("user"), pool_members.c.uid.is_(None))
        with self.database.write() as connection:
            connection.execute(
                update(pool_members).where(*one).values(sync_every=self.every),
                [{"user": user_id} for user_id in sorted(user_ids)],
            )

    def _rules_for(self, connection: Connection, rows: Sequence[Any], now: datetime, *ended: RunState) -> DueRules:
        """Return the rules for these rows, with which of their runs have ended in one of these states."""
        rules, keys = DueRules(self.kind, self.every, self.version, self.since), []
        for row in rows:
            # Whose schedule cannot be computed is told by whoever computes it.
            with suppress(*UNREADABLE):
                keys += rules.run_keys(row, now)
        return replace(rules, ended=ended_runs(connection, keys, *ended))

    def _computed(self, row: Any, now: datetime, rules: DueRules) -> dict[str, Any]:
        """Return what is stored of a member: one whose schedule cannot be computed harms no other."""
        try:
            due_at, unfinished = rules.due_at(row, now), rules.unfinished(row, now)
        except UNREADABLE:
            _log.warning("the user's schedule cannot be computed, the user is not served", user=row.user_id)
            due_at, unfinished = None, row.unfinished
        return {"user": row.user_id, "due": due_at, "slot": unfinished, "of": self.version}

    def _member(self, row: Any, now: datetime, rules: DueRules) -> Member | None:
        try:
            return rules.member(row, now)
        except UNREADABLE:
            _log.warning("the user's schedule cannot be computed, the user is not served", user=row.user_id)
            return None

    def release(self, *, now: datetime) -> None:
        """End the membership of users who leave the pool and for whom nothing is due, begun or put back."""
        leaving.release(self.database, self.kind, self._mine(), now=now)

    def due(self, *, now: datetime, limit: int) -> list[str]:
        """Return the users who are due, without those of `suspects`, in the order in which they are served."""
        return self._due_users(and_(~has_died(self.kind), pool_slots.c.deaths == 0), now, limit)

    def suspects(self, *, now: datetime) -> list[str]:
        """Return the users who are due and were in flight when a process died."""
        return self._due_users(or_(has_died(self.kind), pool_slots.c.deaths > 0), now, None)

    def suspected(self, *, now: datetime) -> set[str]:
        """Return the processes in whose runs those of `suspects` were in flight."""
        died = (*self._mine(), pool_slots.c.due_at <= now, has_died(self.kind))
        with self.database.read() as connection:
            return set(connection.execute(select(pool_slots.c.owner).where(*died).distinct()).scalars())

    def acquit(self, processes: Collection[str], *, now: datetime) -> None:
        """End the claims of processes that have not died: their members are no suspects for that."""
        over = (*self._mine(), pool_slots.c.due_at <= now, pool_slots.c.owner.in_(processes))
        with self.database.write() as connection:
            # In one order everywhere, or two transactions could wait for each other.
            locked = select(pool_slots.c.user_id).where(*over).order_by(pool_slots.c.user_id)
            user_ids = connection.execute(locked.with_for_update(skip_locked=True)).scalars().all()
            for page in chunks(user_ids):
                mine = (pool_slots.c.kind == self.kind, pool_slots.c.user_id.in_(page))
                connection.execute(update(pool_slots).where(*mine).values(owner=None))

    def _due_users(self, which: ColumnElement[bool], now: datetime, limit: int | None) -> list[str]:
        statement = (
            select(pool_slots.c.user_id)
            .join_from(pool_slots, pool_members)
            .where(*self._mine(), pool_slots.c.due_at <= now, which)
            .order_by(*serving_order(self.kind, now))
            .limit(limit)
        )
        with self.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def claim(self, user_ids: Sequence[str], owner: str, *, now: datetime, until: datetime) -> list[Member]:
        """Claim users who are still due, for the process `owner` until `until`; return those it got."""
        wanted = (
            member_rows(pool_slots.c.version, pool_slots.c.deaths, has_died(self.kind).label("has_died"))
            .where(pool_slots.c.user_id.in_(user_ids), *self._mine(), pool_slots.c.due_at <= now)
            # In one order everywhere, or two transactions could wait for each other.
            .order_by(pool_slots.c.user_id)
            .with_for_update(of=pool_slots, skip_locked=True)
        )
        with self.database.write() as connection:
            rows = connection.execute(wanted).all()
            rules = self._rules_for(connection, rows, now, RunState.FAILED)
            claimed = {row.user_id: member for row in rows if (member := self._member(row, now, rules)) is not None}
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
                    synced_at=func.coalesce(bindparam("synced", type_=UtcDateTime()), pool_slots.c.synced_at),
                    owner=None,
                ),
                [
                    {
                        "user": one.user_id,
                        "due": one.due_at,
                        "slot": one.unfinished,
                        "died": one.deaths,
                        "request": one.answered,
                        "synced": one.synced_at,
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

    def troubles(self) -> list[tuple[str, Reason]]:
        """Return of each member in trouble whom a UserSchedule names its uid and why."""
        with self.database.read() as connection:
            found = troubles(connection, self.pool, self.kind)
            return [(one.uid, one.reason) for one in found if one.uid is not None]

    def causes(self) -> dict[Reason, int]:
        """Return by its cause the number of enrolled members in trouble."""
        with self.database.read() as connection:
            return causes(connection, self.pool, self.kind)

    def size(self) -> int:
        """Return how many members the pool has for the kind, over all shards."""
        mine = (pool_slots.c.pool == self.pool, pool_slots.c.kind == self.kind)
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(pool_slots).where(*mine)).scalar_one())

    def _mine(self) -> list[ColumnElement[bool]]:
        mine = [pool_slots.c.pool == self.pool, pool_slots.c.kind == self.kind]
        return mine if self.shards == 1 else [*mine, pool_slots.c.bucket % self.shards == self.shard]
