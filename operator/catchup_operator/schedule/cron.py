"""Cron expressions for CronJobs that fire at every due instant, whatever a zone's clock does.

The CronJob controller evaluates `timeZone` with robfig/cron v3.0.1, which skips whole dates in some zones (Sunday 09:00
in Beirut on 2026-03-29, whose midnight does not exist; every date of a half-hour shift in Lord Howe), skips local times
that a clock skips (02:30 in New York on 2026-03-08), and can loop forever where a clock is set back at a quarter to the
hour (03:45 in Chatham). `timeZone` is used only where none of this can happen. Elsewhere the CronJob fires in UTC, once
for each offset of the zone, and the job exits 0 for a slot that is not due. The tests compare the result with that
library itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from catchup_contract.api import DEFAULT_TIME_ZONE
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.local_time import jumps, offsets

_HOUR: Final = 60
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """A cron expression and the zone in which the CronJob controller evaluates it."""

    cron: str
    time_zone: str


def interval_schedule(cadence: Cadence) -> CronSchedule:
    """Return the schedule of a cadence, in UTC, e.g. `7,37 * * * *` or `12 1,3,5 * * *`."""
    if cadence.interval <= _HOUR:
        minutes = range(cadence.offset, _HOUR, cadence.interval)
        return CronSchedule(f"{','.join(map(str, minutes))} * * * *", DEFAULT_TIME_ZONE)
    hours = range(cadence.offset // _HOUR, 24, cadence.interval // _HOUR)
    return CronSchedule(f"{cadence.offset % _HOUR} {','.join(map(str, hours))} * * *", DEFAULT_TIME_ZONE)


def local_time_schedule(time: DigestTime) -> CronSchedule:
    """Return a schedule that fires at every due instant and its follow-ups, and perhaps when nothing is due.

    It depends on the zone data but not on the clock, so that every reconciliation computes the same schedule.
    """
    return _local_time_schedule(time.zone.key, time.day, time.minute, tuple(time.firing_minutes()))


@cache
def _local_time_schedule(zone: str, day: DigestDay, minute: int, firings: tuple[int, ...]) -> CronSchedule:
    if _library_is_correct(zone, minute):
        return CronSchedule(_cron(day, firings), zone)
    in_utc = {firing - offset for firing in firings for offset in offsets(zone)}
    for jump in jumps(zone):
        if (skipped_on := jump.skipped_date(minute)) is not None:
            midnight = datetime(skipped_on.year, skipped_on.month, skipped_on.day, tzinfo=UTC)
            in_utc.add((jump.at - midnight) // timedelta(minutes=1))
    return CronSchedule(_cron(day, in_utc), DEFAULT_TIME_ZONE)


def _library_is_correct(zone: str, minute: int) -> bool:
    """Whether robfig/cron fires at this minute of every local day.

    It steps from midnight to midnight and then from full hour to full hour. It loses dates whose midnight is skipped,
    dates of a jump that is not on the hour, and dates on which the time itself is skipped.
    """
    return all(
        jump.on_the_hour and jump.skipped_date(0) is None and jump.skipped_date(minute) is None for jump in jumps(zone)
    )


def _cron(day: DigestDay, firings: Iterable[int]) -> str:
    """Return an expression that fires at least at these minutes, counted from the midnight at which the day begins."""
    minutes = sorted({firing % _HOUR for firing in firings})
    hours = sorted({firing // _HOUR % 24 for firing in firings})
    days = "*"
    if day is not DigestDay.DAILY:
        # Cron's weekdays start at Sunday, Python's at Monday. In UTC a firing may be on the day before or after.
        sunday_based = list(DigestDay).index(day) + 1
        days = ",".join(map(str, sorted({(sunday_based + firing // _DAY) % 7 for firing in firings})))
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {days}"
