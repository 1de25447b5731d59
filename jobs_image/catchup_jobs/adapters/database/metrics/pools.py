"""How each pool does, as numbers, by a constant number of questions, however many pools there are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Text, and_, func, or_, select, type_coerce, union

from catchup_contract.kinds import Kind, user_kinds
from catchup_jobs.adapters.database.last_runs import last_run
from catchup_jobs.adapters.database.pools.lateness import is_late, may_be_late
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.pools.trouble import IS_TROUBLE
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# In an outage all members fail. So many are enough to see that.
_TROUBLED_RUNS: Final = 10_000
"""Newest runs that failed, and as many that ask somebody to act, that the metric of failing members is read from."""


def members(connection: Connection, now: datetime) -> dict[str, int]:
    """Return the number of members by pool whom it serves at `now` (aware), 0 too."""
    served = func.count().filter(is_served(now)).label("number")
    counted = select(pool_members.c.pool, served).group_by(pool_members.c.pool)
    return {row.pool: row.number for row in connection.execute(counted)}


def late_members(connection: Connection, pools: Iterable[str], now: datetime) -> dict[tuple[str, ...], int]:
    """Return how many members are due and were not served in time at `now` (aware), by pool and kind, 0 too."""
    kinds = user_kinds()
    late: dict[tuple[str, ...], int] = {(pool, kind.name): 0 for pool in pools for kind in kinds}
    if not late:
        return late
    statement = (
        select(pool_slots.c.pool, pool_slots.c.kind, func.count().label("number"))
        .select_from(pool_slots.join(pool_members))
        .where(
            # Named for the index of when they are due.
            pool_slots.c.pool.in_(sorted({pool for pool, _ in late})),
            or_(*(and_(pool_slots.c.kind == kind, may_be_late(kind, now)) for kind in kinds)),
            # Few wait for so long; this needs their intervals.
            or_(*(and_(pool_slots.c.kind == kind, is_late(kind, now)) for kind in kinds)),
            is_served(now),
        )
        .group_by(pool_slots.c.pool, pool_slots.c.kind)
    )
    for row in connection.execute(statement):
        late[row.pool, row.kind.name] = row.number
    return late


def failing_members(connection: Connection, now: datetime) -> dict[tuple[str, ...], int]:
    """Return how many members count as failing at `now` (aware), by pool, kind and reason: see `pools.trouble`."""
    return {key: number for kind in user_kinds() for key, number in _failing(connection, kind, now).items()}


def _failing(connection: Connection, kind: Kind, now: datetime) -> dict[tuple[str, ...], int]:
    # Few are in trouble: their last runs are looked up, and not those of all members.
    newest = union(
        *(
            select(
                select(runs.c.run_key, runs.c.subject, runs.c.reason)
                .where(runs.c.kind == kind, is_so)
                .order_by(runs.c.started_at.desc())
                .limit(_TROUBLED_RUNS)
                .subquery()
            )
            for is_so in IS_TROUBLE
        )
    ).subquery()
    # By a look at each, as below.
    pool = (
        select(pool_slots.c.pool)
        .select_from(pool_slots.join(pool_members))
        .where(pool_slots.c.user_id == newest.c.subject, pool_slots.c.kind == kind, is_served(now))
        .scalar_subquery()
    )
    # As text: a reason that only newer code knows is told as it is.
    reason = func.coalesce(type_coerce(newest.c.reason, Text()), "")
    found = (
        select(pool.label("pool"), reason.label("reason"))
        .where(newest.c.run_key == last_run(kind, newest.c.subject))
        .offset(0)
        .subquery()
    )
    rows = connection.execute(
        select(found.c.pool, found.c.reason, func.count())
        .where(found.c.pool.is_not(None))
        .group_by(found.c.pool, found.c.reason)
    )
    return {(pool, kind.name, why): number for pool, why, number in rows}
