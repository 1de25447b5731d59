"""Busy events: which rows touch a stretch of time, and which time an event covers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, union_all

from catchup_jobs.adapters.database.schema import calendars, events
from catchup_jobs.domain.calendar.availability import Interval, all_day

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement, CompoundSelect, Select

IS_SELECTED: Final = and_(calendars.c.selected, calendars.c.removed_at.is_(None))
"""What makes a calendar one of those that are synced and block: the user chose it, and still has it."""


def busy_events(
    calendar_ids: Sequence[int] | Select[Any], *details: ColumnElement[Any], start: datetime, end: datetime
) -> CompoundSelect[Any]:
    """Select the busy events of calendars that may touch the stretch from start to end (aware).

    The first columns are `calendar_id` and the four of `covered_time`; `details` follow.
    """
    day = timedelta(days=1)
    timed = (events.c.start_at < end, events.c.end_at > start)
    # A date is compared with a day to spare on each side: `covered_time` gives its exact hours, which need the zone.
    dated = (
        events.c.start_at.is_(None),
        events.c.start_date <= (end + day).date(),
        events.c.end_date >= (start - day).date(),
    )
    columns = (events.c.calendar_id, events.c.start_at, events.c.end_at, events.c.start_date, events.c.end_date)
    busy = select(*columns, *details).where(events.c.calendar_id.in_(calendar_ids), events.c.busy)
    # Two halves, so that each finds its rows by the index of calendar and start.
    return union_all(busy.where(*timed), busy.where(*dated))


def covered_time(
    start_at: datetime | None, end_at: datetime | None, first: date | None, last: date | None, zone: ZoneInfo
) -> Interval | None:
    """Return the time that an event covers in the user's zone, None for one without length."""
    if start_at is not None and end_at is not None:
        return Interval(start_at, end_at) if start_at < end_at else None
    if first is None or last is None:
        raise ValueError("an event has neither instants nor dates")
    return all_day(first, last, zone)
