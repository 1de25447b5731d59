"""Local time: what a date and a time of day mean in a zone whose clock jumps, and which names are zones.

The zone data is that of the `tzdata` package, the same in every image (`PYTHONTZPATH` is empty there).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# The years for which cron schedules are proven. They are fixed, so that the same spec gives the same CronJob in every
# year. Explicit transitions of the zone data end in 2037.
FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2038, 1, 1, tzinfo=UTC)

# Of a zone's name: the rule of the UserSchedule's schema.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_NAME_MAX: Final = 64
# Names that the zone data holds, but which mean the machine's zone or none.
_NO_ZONES: Final = frozenset({"Local", "localtime", "posixrules", "Factory"})

# No zone jumps twice within this time; a test compares all zones with Go's own list of transitions.
_PROBE: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR_MINUTES: Final = 60
_DAY_MINUTES: Final = 24 * _HOUR_MINUTES


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


@dataclass(frozen=True, slots=True)
class Jump:
    """A change of a zone's offset.

    Attributes:
        at: the instant (UTC).
        before, after: the offset from UTC in minutes.
    """

    at: datetime
    before: int
    after: int

    @property
    def shift(self) -> int:
        """By how many minutes the clock is set forward (back: negative)."""
        return self.after - self.before

    @property
    def on_the_hour(self) -> bool:
        """Whether the clock shows full hours before and after, as it does in nearly all zones."""
        return self.shift % _HOUR_MINUTES == 0 and (self.at.minute + self.before) % _HOUR_MINUTES == 0

    def skipped_date(self, minute: int) -> date | None:
        """Return the local date on which the clock does not show this minute of the day, or None if it does."""
        start = self.at.replace(tzinfo=None) + self.before * _MINUTE
        later = (minute - start.hour * _HOUR_MINUTES - start.minute) % _DAY_MINUTES
        return (start + later * _MINUTE).date() if later < self.shift else None


@cache
def jumps(zone: str) -> tuple[Jump, ...]:
    """Return the zone's jumps from 2024 to 2037, in order; about a millisecond once per zone."""
    return tuple(_find_jumps(ZoneInfo(zone)))


@cache
def offsets(zone: str) -> tuple[int, ...]:
    """Return the zone's offsets from UTC in minutes that are in force at some time from 2024 to 2037, ascending."""
    return tuple(sorted({_offset(FIRST, ZoneInfo(zone)), *(jump.after for jump in jumps(zone))}))


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


def _find_jumps(zone: ZoneInfo) -> Iterator[Jump]:
    probe, before = FIRST, _offset(FIRST, zone)
    while probe < LAST:
        following = min(probe + _PROBE, LAST)
        after = _offset(following, zone)
        if after != before:
            yield Jump(jump_between(probe, following, zone), before, after)
        probe, before = following, after


def _offset(at: datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    return (offset or timedelta()) // _MINUTE
