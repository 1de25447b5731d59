"""In which order the members of a pool are served who are due: by priority, and whoever waits for long by age."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, case, or_

from catchup_contract.kinds import Kind, Rule
from catchup_jobs.adapters.database.pools.lateness import WAITING_SINCE
from catchup_jobs.adapters.database.schema import pool_slots
from catchup_jobs.adapters.database.sync_intervals import MEMBERS_INTERVAL, intervals_before

_AGED: Final = timedelta(minutes=30)
"""After so much waiting a member of a pool is served by age, whatever the priority."""
_AGED_INTERVALS: Final = 1
"""After so many intervals of waiting a member of a pool is synced by age, whatever the priority."""


def serving_order(kind: Kind, now: datetime) -> tuple[ColumnElement[Any], ...]:
    """Return by what members (of `pool_slots`, `pool_members`) are sorted at `now` (aware)."""
    return case((_has_aged(kind, now), 0), else_=pool_slots.c.priority), WAITING_SINCE


def _has_aged(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return whether a member has waited so long that the priority does not count."""
    is_long = now - _AGED > WAITING_SINCE
    if kind.rule is not Rule.INTERVAL:
        return is_long
    return or_(is_long, intervals_before(now, _AGED_INTERVALS, MEMBERS_INTERVAL) > WAITING_SINCE)
