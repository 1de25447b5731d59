"""Local wall time to instants: what a date and a time of day mean in a zone whose clock jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


# A fleet asks for the same hours of the same days in few zones.
@lru_cache(maxsize=16384)
def instant(day: date, at: time, zone: ZoneInfo, *, later: bool = False) -> datetime:
    """Return the instant (UTC) at which the clock of `zone` shows `at` on `day`.

    A time that the clock skips (a gap) is the moment of the jump; a time that it shows twice (a fold) is the first
    of the two, or with `later` the second. PEP 495's own rule moves a skipped time by the length of the gap, which
    would stretch a window that ends in one.
    """
    local = datetime.combine(day, at.replace(tzinfo=None, fold=0), tzinfo=zone)
    first = local.astimezone(UTC)
    second = local.replace(fold=1).astimezone(UTC)
    if first <= second:
        return second if later else first
    return jump_between(second, first, zone)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return where the local date begins and ends, as instants (UTC): 23, 24 or 25 hours apart, mostly."""
    return instant(day, time.min, zone), instant(day + timedelta(days=1), time.min, zone)


def local_date(at: datetime, zone: ZoneInfo) -> date:
    """Return the date that the clock of `zone` shows at the instant `at` (aware)."""
    return at.astimezone(zone).date()


def jump_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, to the second, between two instants at which the zone's offset changes."""
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
