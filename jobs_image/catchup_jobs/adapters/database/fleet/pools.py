"""How each pool does, as numbers, by a constant number of questions, however many pools there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Text, and_, func, or_, select, type_coerce

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.kinds import SYNC, Kind, user_kinds
from catchup_contract.trouble import ASKS_SOMEBODY
from catchup_jobs.adapters.database.pools.trouble import in_trouble, is_late
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

# Nobody is late sooner, whatever the interval.
_SOONEST: Final = timedelta(minutes=min(SYNC_INTERVALS_MINUTES.values()))
_OLDEST_RUNS: Final = 5_000
"""Oldest successful syncs that the metric of each pool's oldest sync is read from."""
# In an outage all members fail. So many are enough to see that.
_TROUBLED_RUNS: Final = 20_000
"""Runs that failed, or ask somebody to act, that the metric of each pool's failing members is read from at most."""


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """The pools that have members.

    Attributes:
        members: by pool.
        late: members who are due and were not served in time, by pool and kind.
        failing: members whose last run failed or asks somebody to act, by pool, kind and reason.
        oldest_sync: by pool, when the sync began that is the last success of the member who waits longest; a pool is
            missing where so many syncs of others are older.
    """

    members: Mapping[str, int]
    late: Mapping[tuple[str, ...], int]
    failing: Mapping[tuple[str, ...], int]
    oldest_sync: Mapping[str, datetime]


def pool_numbers(connection: Connection, now: datetime) -> PoolNumbers:
    """Return the numbers at `now` (aware)."""
    counted = select(pool_members.c.pool, func.count().label("number")).group_by(pool_members.c.pool)
    members = {row.pool: row.number for row in connection.execute(counted)}
    if not members:
        return PoolNumbers({}, {}, {}, {})
    late: dict[tuple[str, ...], int] = dict.fromkeys(
        ((pool, kind.name) for pool in members for kind in user_kinds()), 0
    )
    for row in connection.execute(
        select(pool_slots.c.pool, pool_slots.c.kind, func.count().label("number"))
        .select_from(pool_slots.join(pool_members))
        .where(
            # Few wait for so long; the rest of the condition needs their intervals.
            or_(pool_slots.c.due_at < now - _SOONEST, pool_slots.c.unfinished < now - _SOONEST),
            or_(*(and_(pool_slots.c.kind == kind, is_late(kind, now)) for kind in user_kinds())),
        )
        .group_by(pool_slots.c.pool, pool_slots.c.kind)
    ):
        late[row.pool, row.kind.name] = row.number
    oldest = (
        select(runs.c.subject, runs.c.started_at)
        .where(runs.c.kind == SYNC, runs.c.state == RunState.DONE)
        .order_by(runs.c.started_at)
        .limit(_OLDEST_RUNS)
        .subquery()
    )
    by_pool = (
        select(pool_members.c.pool, func.min(oldest.c.started_at).label("at"))
        .join_from(oldest, pool_members, pool_members.c.user_id == oldest.c.subject)
        .group_by(pool_members.c.pool)
    )
    failing = {key: number for kind in user_kinds() for key, number in _failing(connection, kind).items()}
    return PoolNumbers(members, late, failing, {row.pool: row.at for row in connection.execute(by_pool)})


def _failing(connection: Connection, kind: Kind) -> dict[tuple[str, ...], int]:
    is_troubled = or_(runs.c.state == RunState.FAILED, runs.c.reason.in_(ASKS_SOMEBODY))
    # Few are in trouble: their last runs are looked up, and not those of all members.
    few = select(runs.c.subject).where(runs.c.kind == kind, is_troubled).limit(_TROUBLED_RUNS).subquery()
    # As text: a reason that only newer code knows is told as it is.
    reason = func.coalesce(type_coerce(runs.c.reason, Text()), "")
    rows = connection.execute(
        in_trouble(kind, pool_slots.c.pool, reason, func.count())
        .where(pool_slots.c.user_id.in_(select(few.c.subject)))
        .group_by(pool_slots.c.pool, reason)
    )
    return {(pool, kind.name, why): number for pool, why, number in rows}
