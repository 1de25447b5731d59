"""A user's next days as a chart for a terminal: one row per local day, one column per half hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from catchup_jobs.domain.calendar.availability import Interval, overlaps

BUSY = "█"
FREE = "░"
CLOSED = "·"
SKIPPED = " "

_HALF_HOUR = timedelta(minutes=30)
_COLUMNS = 48
_LABEL_WIDTH = 11


def draw(
    busy: Sequence[Interval], free: Sequence[Interval], zone: ZoneInfo, *, first: date, days: int = 7
) -> list[str]:
    """Return the lines of the chart.

    A half hour is busy where an event touches it, free where it lies in a free slot, else closed (outside the
    user's hours, a commute, the night, or too short to be a slot). One that the clock skips is blank; of one that it
    shows twice, the first is drawn.
    """
    ruler = "".join(f"{hour:02d}".ljust(6) for hour in range(0, 24, 3))
    rows = [" " * _LABEL_WIDTH + ruler.rstrip()]
    for offset in range(days):
        day = first + timedelta(days=offset)
        cells = "".join(_cell(day, column, busy, free, zone) for column in range(_COLUMNS))
        rows.append(f"{day:%a %d %b}".ljust(_LABEL_WIDTH) + cells)
    return rows


def legend() -> str:
    """Return the legend of the chart."""
    return f"{BUSY} busy   {FREE} free   {CLOSED} neither (outside hours, commute, night)"


def _cell(day: date, column: int, busy: Sequence[Interval], free: Sequence[Interval], zone: ZoneInfo) -> str:
    local = datetime.combine(day, time(column // 2, column % 2 * 30), tzinfo=zone)
    start = local.astimezone(UTC)
    if start.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return SKIPPED
    end = start + _HALF_HOUR
    if overlaps(Interval(start, end), busy):
        return BUSY
    return FREE if any(interval.start <= start and end <= interval.end for interval in free) else CLOSED
