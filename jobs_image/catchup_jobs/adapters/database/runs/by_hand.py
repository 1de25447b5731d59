"""Syncs by hand of a pool's members, noted with the members as a tick's are when it settles them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, or_, update

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.schema import pool_slots


def note_synced(connection: Connection, user_id: str, at: datetime) -> None:
    """Note a sync that began at `at` (aware) and has ended well, where its user is a member of a pool.

    A sync of a tick is noted when the tick settles its claim. A user of no pool has no row to note it in.
    """
    is_older = or_(pool_slots.c.synced_at.is_(None), pool_slots.c.synced_at < at)
    mine = (pool_slots.c.user_id == user_id, pool_slots.c.kind == SYNC)
    connection.execute(update(pool_slots).where(*mine, is_older).values(synced_at=at))
