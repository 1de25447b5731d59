"""When a digest is due and until when it is sent: the rule that keeps one digest a date, whatever clocks do.

A digest serves an occurrence of its schedule: a due date, which is a local date in the schedule's zone, and the instant
at which that date's digest falls due. A slot (when the CronJob fired) is matched to an occurrence. `now` is not, so
that a pod that starts after midnight still serves the evening before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import count
from typing import Final
from zoneinfo import ZoneInfo

from catchup_contract.cadence import stable_hash
from catchup_contract.local_time import day_bounds, instant, local_date

# The CronJob fires at the due time and again after these times: a second and a third chance after an outage.
FOLLOW_UPS: Final = (timedelta(hours=1), timedelta(hours=3))
"""After the due time, the CronJob of a digest fires again after these times."""
LATEST: Final = timedelta(hours=4)
"""A digest is not sent later than this after its due time."""
LATE_AFTER: Final = timedelta(hours=1)
"""A digest that waits for longer than this after its due time counts as late."""
QUIET_FROM: Final = time(21)
"""The local time from which no SMS is sent."""
QUIET_UNTIL: Final = time(8)
"""The local time until which no SMS is sent."""
# A run that began at the due time ends within this time (its deadline): it still counts as the time the user chose.
ON_TIME: Final = timedelta(minutes=15)
"""A digest this long after the user's own chosen time still counts as sent at that time, also in quiet hours."""
# A user who chose an hour of the night is awake around it: the first follow-up counts as that time, the second not.
SOON_AT_NIGHT: Final = FOLLOW_UPS[0] + ON_TIME

SPREAD_MAX: Final = timedelta(hours=4)
"""The longest window over which digests are spread after their chosen time."""

_MINUTE: Final = timedelta(minutes=1)
_DAY_MINUTES: Final = 24 * 60


class DigestDay(StrEnum):
    """The local day of the digest."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"
    DAILY = "Daily"

    def is_on(self, day: date) -> bool:
        """Return whether a local date has a digest."""
        return self is DigestDay.DAILY or _WEEKDAYS[day.weekday()] is self


_WEEKDAYS: Final = tuple(DigestDay)[:7]


@dataclass(frozen=True, slots=True)
class DigestTime:
    """When a user wants the digest: a day of the week or every day, at a time on the clock of a zone.

    Attributes:
        at: the local time, to the minute.
        since: when the schedule was made or resumed (UTC), if known: nothing is caught up on from before.
    """

    zone: ZoneInfo
    day: DigestDay
    at: time
    since: datetime | None = None

    @property
    def minute(self) -> int:
        """The minute of the local day."""
        return self.at.hour * 60 + self.at.minute

    def spread(self, kind: str, user_id: str, window: int) -> DigestTime:
        """Return the user's own time of the `window` minutes that begin with this one: the same each time.

        Every rule applies as if the user had chosen that time. So the window ends with the date, which must stay the
        one chosen, and at the hour from which a text message would disturb.
        """
        quiet_from = QUIET_FROM.hour * 60 + QUIET_FROM.minute
        end = quiet_from if self.minute < quiet_from else _DAY_MINUTES
        minute = self.minute + stable_hash(kind, user_id) % max(1, min(window, end - self.minute))
        return replace(self, at=time(minute // 60, minute % 60))

    def is_spread_from(self, chosen: DigestTime) -> bool:
        """Return whether this time may be the user's own one within a window that begins with the chosen time."""
        later = timedelta(minutes=self.minute - chosen.minute)
        return (self.zone, self.day) == (chosen.zone, chosen.day) and timedelta(0) <= later < SPREAD_MAX

    def firing_minutes(self) -> list[int]:
        """Return the minutes of the local day of the due time and its follow-ups, without those after midnight."""
        later = (self.minute + follow_up // _MINUTE for follow_up in FOLLOW_UPS)
        return [self.minute, *(minute for minute in later if minute < _DAY_MINUTES)]

    def due_on(self, day: date) -> datetime | None:
        """Return the instant (UTC) at which a local date's digest falls due, None where the date has none.

        A time that the clock skips is due at the moment of the jump, a time that it shows twice at the first. A date
        that the zone skips whole (Samoa's 2011-12-30) has no digest.
        """
        if not self.day.is_on(day):
            return None
        begin, end = day_bounds(day, self.zone)
        return None if begin == end else instant(day, self.at, self.zone)

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the instants (UTC) later than `now` (aware) at which a digest falls due, in order, without end."""
        # A skipped time may be due on the next date's clock: begin a day early.
        first = local_date(now, self.zone) - timedelta(days=1)
        for days in count():
            due = self.due_on(first + timedelta(days=days))
            if due is not None and due > now:
                yield due

    def firings_on(self, day: date) -> list[datetime]:
        """Return the instants (UTC) at which a local date's digest is tried: its due time and the follow-ups.

        A follow-up after the end of the date is left out. None for a date that has no digest, or one from before
        `since`.
        """
        due = self.due_on(day)
        return [] if due is None or (self.since is not None and due < self.since) else self.firings_of(due)

    def firings_of(self, due: datetime) -> list[datetime]:
        """Return a due instant (UTC) and its follow-ups."""
        today = local_date(due, self.zone)
        if self.due_on(today) != due:
            today -= timedelta(days=1)  # a time that the clock skips together with its date's end
        later = (due + follow_up for follow_up in FOLLOW_UPS)
        return [due, *(at for at in later if local_date(at, self.zone) == today)]

    def firings_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the instants (UTC) later than `now` (aware) at which a digest is tried, in order, without end."""
        begin = now if self.since is None else max(now, self.since)
        first = local_date(begin, self.zone) - timedelta(days=1)
        for days in count():
            for firing in self.firings_on(first + timedelta(days=days)):
                if firing > now:
                    yield firing

    def latest_firing(self, now: datetime) -> datetime | None:
        """Return the latest instant (UTC), not later than `now` (aware), at which a digest is tried.

        None where the last one is more than a week ago.
        """
        today = local_date(now, self.zone)
        latest: datetime | None = None
        # A weekday may be missing in a zone that skipped a date.
        for days in range(1, -9, -1):
            firings = [at for at in self.firings_on(today + timedelta(days=days)) if at <= now]
            if latest is not None:
                # One date more: its due time may be on the clock of the one that was found.
                return max([latest, *firings])
            latest = max(firings, default=None)
        return latest


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One digest of a schedule.

    Attributes:
        due_date: the local date that it is for; unique per user.
        due_at: when it falls due (UTC), None for one that was asked for by hand.
    """

    due_date: date
    due_at: datetime | None

    def is_late(self, now: datetime) -> bool:
        """Return whether `now` (aware) is so long after the due time that the digest is not sent any more."""
        return self.due_at is not None and now > self.due_at + LATEST


def occurrence_of_slot(slot: datetime, when: DigestTime) -> Occurrence | None:
    """Return the occurrence that a slot (aware) serves: the latest due instant up to `LATEST` before it.

    None where the slot serves none: it was not due yet, or was due while the schedule was suspended. A CronJob that
    cannot express a zone's rule fires at more instants than are due, and a schedule may have been edited since the
    slot.
    """
    around = local_date(slot, when.zone)
    # A day on either side: a skipped time is due on the next date's first second, and midnight may be shown twice.
    days = [around + timedelta(days=offset) for offset in (-1, 0, 1)]
    due = [(at, day) for day in days if (at := when.due_on(day)) is not None and at <= slot]
    if not due:
        return None
    latest, day = max(due)
    if when.since is not None and latest < when.since:
        return None
    return Occurrence(day, latest) if slot - latest <= LATEST else None


def occurrence_by_hand(now: datetime, when: DigestTime) -> Occurrence:
    """Return the occurrence that a digest asked for by hand serves: today's, on the clock of the schedule's zone."""
    return Occurrence(local_date(now, when.zone), None)


def is_last_firing(now: datetime, when: DigestTime, occurrence: Occurrence) -> bool:
    """Return whether no firing after `now` (aware) serves this due date.

    One that is asked for by hand can be repeated.
    """
    due_at = occurrence.due_at
    return due_at is not None and now >= max(when.firings_of(due_at))


def is_quiet(now: datetime, when: DigestTime, occurrence: Occurrence) -> bool:
    """Return whether a text message would disturb: it is after `QUIET_FROM` or before `QUIET_UNTIL`, and not a time
    that the user chose.

    A user who wants the digest at 22:00 gets it then, or an hour later if it failed, but not at 01:00. One who wants it
    at 20:59 gets it then, though the pod needs a minute. One that is asked for by hand comes at night only if the
    user's own time has just come: at 07:35 for a user who chose 07:30, not at 00:21.
    """
    if not _at_night(now.astimezone(when.zone).time()):
        return False
    span = SOON_AT_NIGHT if _at_night(when.at) else ON_TIME
    if occurrence.due_at is not None:
        return now > occurrence.due_at + span
    today = local_date(now, when.zone)
    chosen = (instant(day, when.at, when.zone) for day in (today - timedelta(days=1), today))
    return not any(timedelta(0) <= now - at <= span for at in chosen)


def _at_night(clock: time) -> bool:
    return clock >= QUIET_FROM or clock < QUIET_UNTIL
