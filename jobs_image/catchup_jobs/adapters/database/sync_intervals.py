"""Intervals of syncs in SQL, where each row has its own (`sync_every`)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, case, func, literal

from catchup_contract.api import DEFAULT_SYNC_EVERY, SYNC_INTERVALS_MINUTES
from catchup_jobs.adapters.database.schema import pool_members
from catchup_jobs.adapters.database.types import UtcDateTime

MEMBERS_INTERVAL: Final = func.coalesce(pool_members.c.sync_every, DEFAULT_SYNC_EVERY)
"""The interval of a member's syncs (of `pool_members`), a key of `SYNC_INTERVALS_MINUTES`."""


def intervals_before(now: datetime, number: int, every: ColumnElement[str]) -> ColumnElement[datetime]:
    """Return the instant so many intervals before `now` (aware); `every` is a key of `SYNC_INTERVALS_MINUTES`."""
    return case(
        {
            name: literal(now - number * timedelta(minutes=minutes), UtcDateTime())
            for name, minutes in SYNC_INTERVALS_MINUTES.items()
        },
        value=every,
    )
