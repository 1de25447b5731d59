"""When a digest is due, and the cron schedule that lets no due date be lost to daylight saving time.

The CronJob controller reads `timeZone` with robfig/cron v3.0.1, which skips whole dates in some zones (Sunday 09:00 in
Beirut on 2026-03-29, whose midnight does not exist; every day of a half-hour shift in Lord Howe), skips times that the
clock skips (02:30 in New York on 2026-03-08), and can loop without end where the clock is set back at a quarter to the
hour (03:45 in Chatham). `timeZone` is used only where none of that can happen; elsewhere the CronJob fires in UTC once
for each offset of the zone, and the job exits 0 on a slot that is not due. The tests' truth is a program around that
very library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import count
from typing import Final
from zoneinfo import ZoneInfo

from catchup_contract.api import DEFAULT_TIME_ZONE, DIGEST_DAYS
from catchup_contract.digest_rule import QUIET_FROM
from catchup_operator.manifests.names import stable_hash
from catchup_operator.schedule.clock_jumps import jump_between, jumps, offsets

# A second chance after an outage: fewer where they would pass the local midnight that ends the due date.
_FOLLOW_UP_MINUTES: Final = (60, 180)
_HOUR: Final = 60
_DAY: Final = 24 * _HOUR
_DAILY: Final = "Daily"


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """A cron expression and the zone that the CronJob controller reads it in."""

    cron: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class DigestTimes:
    """The local day (an English name or `Daily`) and time (HH:MM) of a user's digest, in an IANA zone."""

    time_zone: str
    day: str
    time: str

    @property
    def minute(self) -> int:
        """The minute of the local day."""
        return _minute(self.time)

    def spread(self, user_id: str, window: int) -> DigestTimes:
        """Return the user's own time of the `window` minutes that begin with this one: the same at every visit.

        For every rule it is as if the user had chosen that time. So the window ends with the date, which must stay the
        one chosen, and at the hour from which on an SMS would disturb.
        """
        end = next(edge for edge in (_minute(QUIET_FROM), _DAY) if self.minute < edge)
        later = stable_hash("digest", user_id) % max(1, min(window, end - self.minute))
        hours, minutes = divmod(self.minute + later, _HOUR)
        return replace(self, time=f"{hours:02}:{minutes:02}")

    def schedule(self) -> CronSchedule:
        """Return when the CronJob fires: at every due instant, 1 h and 3 h later, and perhaps when nothing is due.

        Depends on the zone database but not on the clock: the same at every visit.
        """
        return _schedule(self.time_zone, self.day, self.minute)

    def due_on(self, day: date) -> datetime:
        """Return the instant (UTC) at which the digest of a local date is due.

        A time that the clock skips is the moment of the jump; of a time that it shows twice it is the first
        (the same rule as the job's own).
        """
        zone = ZoneInfo(self.time_zone)
        local = datetime(day.year, day.month, day.day, self.minute // _HOUR, self.minute % _HOUR, tzinfo=zone)
        first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
        return first if first <= second else jump_between(second, first, zone)

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the instants (UTC) later than `now` (aware) at which a digest is due, in order, without end."""
        # A skipped time may be due on the next date's clock: begin a day early.
        first = now.astimezone(ZoneInfo(self.time_zone)).date() - timedelta(days=1)
        for days in count():
            day = first + timedelta(days=days)
            if self.day in {_DAILY, DIGEST_DAYS[day.weekday()]} and (due := self.due_on(day)) > now:
                yield due


def _minute(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * _HOUR + int(minutes)


@cache
def _schedule(zone: str, day: str, minute: int) -> CronSchedule:
    firings = [minute, *(minute + later for later in _FOLLOW_UP_MINUTES if minute + later < _DAY)]
    if _library_is_right(zone, minute):
        return CronSchedule(_cron(day, firings), zone)
    in_utc = {firing - offset for firing in firings for offset in offsets(zone)}
    for jump in jumps(zone):
        if (skipped_on := jump.skipped_date(minute)) is not None:
            midnight = datetime(skipped_on.year, skipped_on.month, skipped_on.day, tzinfo=UTC)
            in_utc.add((jump.at - midnight) // timedelta(minutes=1))
    return CronSchedule(_cron(day, in_utc), DEFAULT_TIME_ZONE)


def _library_is_right(zone: str, minute: int) -> bool:
    """Whether robfig/cron fires at this minute of every local day.

    It steps from midnight to midnight and then from full hour to full hour: lost are days whose midnight is skipped,
    days of a jump that is not on the hour, and of course a time that is skipped itself.
    """
    return all(
        jump.on_the_hour and jump.skipped_date(0) is None and jump.skipped_date(minute) is None for jump in jumps(zone)
    )


def _cron(day: str, firings: Iterable[int]) -> str:
    """Return an expression that fires at least at these minutes, counted from the midnight that begins the day."""
    minutes = sorted({firing % _HOUR for firing in firings})
    hours = sorted({firing // _HOUR % 24 for firing in firings})
    days = "*"
    if day != _DAILY:
        # Cron counts from Sunday, Python's weekdays from Monday; in UTC a firing may be on the day before or after.
        sunday_based = DIGEST_DAYS.index(day) + 1
        days = ",".join(map(str, sorted({(sunday_based + firing // _DAY) % 7 for firing in firings})))
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {days}"
