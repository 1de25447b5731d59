"""When each member of a pool was synced last, however long ago: runs are deleted once a later one has ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, func, literal, select, union_all

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.schema import pool_members, pool_slots


def oldest_syncs(connection: Connection, pools: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Return when the member of each pool who waits longest was last synced, or became a member if never (UTC).

    Whoever is suspended at `now` (aware) does not wait. A pool without members is missing. Indexes find the time.
    """
    found: dict[str, datetime] = {}
    for names in chunks(sorted(pools)):
        of = union_all(*(select(literal(name).label("pool")) for name in names)).subquery()
        mine = (pool_slots.c.pool == of.c.pool, pool_slots.c.kind == SYNC, is_served(now))
        members = pool_slots.join(pool_members)
        last = pool_slots.c.synced_at
        # Not by a clock that was ahead.
        synced = select(last).select_from(members).where(*mine, last <= now).order_by(last).limit(1)
        joined = func.min(pool_members.c.digest_since, type_=last.type)
        never = select(joined).select_from(members).where(*mine, last.is_(None))
        rows = connection.execute(
            select(of.c.pool, synced.scalar_subquery().label("synced"), never.scalar_subquery().label("never"))
        )
        for row in rows:
            times = [at for at in (row.synced, row.never) if at is not None]
            if times:
                found[row.pool] = min(times)
    return found
