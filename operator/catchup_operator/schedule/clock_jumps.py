"""When the clock of a zone jumps, and what it skips: found by asking the zone database, since zoneinfo has no list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

# The years for which schedules are proven. Fixed, so that the same spec gives the same CronJob in every year; the zone
# database itself promises little beyond (its format's explicit transitions end in 2037).
FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2038, 1, 1, tzinfo=UTC)
# No zone jumps twice in so short a time; a test compares all zones with Go's own list of transitions.
_PROBE: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR_MINUTES: Final = 60
_DAY_MINUTES: Final = 24 * _HOUR_MINUTES


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
    before = _offset(low, zone)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == before:
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
