"""Local time: what a date and a time of day mean in a zone whose clock jumps, and which names are zones.

The zone data is that of the `tzdata` package, the same in every image (`PYTHONTZPATH` is empty there).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Of a zone's name: the rule of the UserSchedule's schema.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_NAME_MAX: Final = 64
# Names that the zone data holds, but which mean the machine's zone or none.
_NO_ZONES: Final = frozenset({"Local", "localtime", "posixrules", "Factory"})

_SECOND: Final = timedelta(seconds=1)


@lru_cache(maxsize=4096)
def is_time_zone(name: str) -> bool:
    """Return whether the name is an IANA time zone that a user may have, such as `Europe/Berlin`."""
    if len(name) > _NAME_MAX or not _NAME.fullmatch(name) or name in _NO_ZONES:
        return False
    if name.startswith(("posix/", "right/")):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


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
    """Return the instant, to the second, after `low` and not after `high` at which the zone's offset changes."""
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
