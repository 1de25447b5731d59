"""Cron expressions for CronJobs, all in UTC.

The CronJob controller would read a user's zone with zone data of its own, which may be of another year than ours, and
with robfig/cron v3.0.1, which skips dates and times that a clock skips. So no zone is left to it: a CronJob fires at
the user's time by each offset that the zone will have, and the job decides by our zone data what is due; it exits 0 at
a firing that is not. The tests hold the result against that library.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_operator.schedule.clock_changes import jumps, offsets

# Of every CronJob. Without a zone the controller would use that of its machine.
TIME_ZONE: Final = "Etc/UTC"

_HOUR: Final = 60
_DAY: Final = 24 * _HOUR


def interval_schedule(cadence: Cadence) -> str:
    """Return the cron expression of a cadence, e.g. `7,37 * * * *` or `12 1,3,5 * * *`."""
    if cadence.interval <= _HOUR:
        minutes = range(cadence.offset, _HOUR, cadence.interval)
        return f"{','.join(map(str, minutes))} * * * *"
    hours = range(cadence.offset // _HOUR, 24, cadence.interval // _HOUR)
    return f"{cadence.offset % _HOUR} {','.join(map(str, hours))} * * *"


def local_time_schedule(time: DigestTime) -> str:
    """Return a cron expression that fires at every due instant and its follow-ups, and also when nothing is due.

    It depends on the zone data but not on the clock, so that every reconciliation computes the same schedule.
    """
    return _local_time_schedule(time.zone.key, time.day, time.minute, tuple(time.firing_minutes()))


@cache
def _local_time_schedule(zone: str, day: DigestDay, minute: int, firings: tuple[int, ...]) -> str:
    in_utc = {firing - offset for firing in firings for offset in offsets(zone)}
    for jump in jumps(zone):
        # A skipped time is due at the jump itself.
        if (skipped_on := jump.skipped_date(minute)) is not None:
            midnight = datetime(skipped_on.year, skipped_on.month, skipped_on.day, tzinfo=UTC)
            in_utc.add((jump.at - midnight) // timedelta(minutes=1))
    return _cron(day, in_utc)


def _cron(day: DigestDay, firings: Iterable[int]) -> str:
    """Return an expression that fires at least at these minutes, counted from the midnight (UTC) of the local date."""
    minutes = sorted({firing % _HOUR for firing in firings})
    hours = sorted({firing // _HOUR % 24 for firing in firings})
    days = "*"
    if day is not DigestDay.DAILY:
        # Cron's weekdays start at Sunday, Python's at Monday. In UTC a firing may be on the day before or after.
        sunday_based = list(DigestDay).index(day) + 1
        days = ",".join(map(str, sorted({(sunday_based + firing // _DAY) % 7 for firing in firings})))
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {days}"
