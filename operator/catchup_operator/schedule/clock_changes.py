"""What the clock of a zone will do, by the product's zone data: its offsets from UTC and the jumps between them.

The zone data is that of the `tzdata` package. What is computed depends on its version and not on the present time, so
that every reconciliation computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import metadata
from typing import Final
from zoneinfo import ZoneInfo

from catchup_contract.local_time import jump_between


def zone_data_version() -> str:
    """Return the version of the zone data, e.g. `2026.6`."""
    return metadata.version("tzdata")


# From the year of the zone data on: offsets that went out of use before are of no use for a schedule. Explicit
# transitions of the zone data end in 2037, and the rules that follow have no other offsets.
FIRST: Final = datetime(int(zone_data_version().split(".")[0]), 1, 1, tzinfo=UTC)
LAST: Final = datetime(2038, 1, 1, tzinfo=UTC)

# No zone jumps twice within a week; a test compares all zones with Go's own list of transitions.
_WEEK: Final = timedelta(days=7)
_MINUTE: Final = timedelta(minutes=1)
_DAY_MINUTES: Final = 24 * 60


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

    def skipped_date(self, minute: int) -> date | None:
        """Return the local date on which the clock does not show this minute of the day, or None if it does."""
        start = self.at.replace(tzinfo=None) + self.before * _MINUTE
        later = (minute - start.hour * 60 - start.minute) % _DAY_MINUTES
        return (start + later * _MINUTE).date() if later < self.after - self.before else None


@cache
def jumps(zone: str) -> tuple[Jump, ...]:
    """Return the zone's jumps from FIRST to the last full week before LAST, in order; a millisecond once per zone."""
    return tuple(_find_jumps(ZoneInfo(zone)))


@cache
def offsets(zone: str) -> tuple[int, ...]:
    """Return the zone's offsets from UTC in minutes that are in force at some time from FIRST to LAST, ascending."""
    return tuple(sorted({_offset(FIRST, ZoneInfo(zone)), *(jump.after for jump in jumps(zone))}))


def _find_jumps(zone: ZoneInfo) -> Iterator[Jump]:
    before = _offset(FIRST, zone)
    for week in range((LAST - FIRST) // _WEEK):
        probe = FIRST + week * _WEEK
        after = _offset(probe + _WEEK, zone)
        if after != before:
            yield Jump(jump_between(probe, probe + _WEEK, zone), before, after)
        before = after


def _offset(at: datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    return (offset or timedelta()) // _MINUTE
