"""Intervals of syncs in SQL, where each row has its own."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, literal

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_jobs.adapters.database.types import UtcDateTime


def intervals_before(now: datetime, number: int, every: ColumnElement[str]) -> ColumnElement[datetime]:
    """Return the instant so many intervals before `now` (aware); `every` is a key of `SYNC_INTERVALS_MINUTES`."""
    return case(
        {
            name: literal(now - number * timedelta(minutes=minutes), UtcDateTime())
            for name, minutes in SYNC_INTERVALS_MINUTES.items()
        },
        value=every,
    )
