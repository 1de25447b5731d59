"""Which local date a digest is for: the rule that keeps one digest a date, whatever clocks and schedules do.

A digest serves an occurrence of its schedule: a due date, which is a local date in the schedule's zone, and the instant
at which that date's digest falls due. A slot (when the CronJob fired) is matched to an occurrence; `now` is not, so
that a pod that starts after midnight still serves the evening before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from catchup_contract import digest_rule
from catchup_jobs.domain.local_time import day_bounds, instant, local_date
from catchup_jobs.domain.vocabulary import DigestDay

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

# The CronJob also fires about 1 h and 3 h after the due time; what comes later than this is of another day's mood.
LATEST: Final = timedelta(hours=4)
QUIET_FROM: Final = time.fromisoformat(digest_rule.QUIET_FROM)
QUIET_UNTIL: Final = time.fromisoformat(digest_rule.QUIET_UNTIL)
# A run that began at the due time has ended by then (its deadline): it still counts as the time that the user chose.
ON_TIME: Final = timedelta(minutes=15)
# Who chose an hour of the night is awake around it: the firing an hour later counts as that time, not the third.
SOON_AT_NIGHT: Final = timedelta(hours=1) + ON_TIME

_NAMES: Final = tuple(DigestDay)[:7]


@dataclass(frozen=True, slots=True)
class DigestTime:
    """When a user wants the digest: a day of the week or every day, at a time on the clock of a zone.

    Attributes:
        since: when the schedule was made or resumed (UTC), if known: nothing is caught up on from before.
    """

    zone: ZoneInfo
    day: DigestDay
    at: time
    since: datetime | None = None


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


def due_instant(day: date, when: DigestTime) -> datetime | None:
    """Return the instant (UTC) at which a date's digest falls due, None where the date has none.

    A time that the clock skips is due at the moment of the jump, a time that it shows twice at the first. A date that
    the zone skips whole (Samoa's 2011-12-30) has no digest.
    """
    if when.day is not DigestDay.DAILY and _NAMES[day.weekday()] is not when.day:
        return None
    begin, end = day_bounds(day, when.zone)
    return None if begin == end else instant(day, when.at, when.zone)


def occurrence_of_slot(slot: datetime, when: DigestTime) -> Occurrence | None:
    """Return the occurrence that a slot (aware) serves: the latest due instant up to 4 h before it.

    None where the slot serves none: it was not due yet, or was due while the schedule was suspended. A CronJob that
    cannot express a zone's rule fires at more instants than are due, and a schedule may have been edited since the
    slot.
    """
    around = local_date(slot, when.zone)
    # A day on either side: a skipped time is due on the next date's first second, and midnight may be shown twice.
    days = [around + timedelta(days=offset) for offset in (-1, 0, 1)]
    due = [(at, day) for day in days if (at := due_instant(day, when)) is not None and at <= slot]
    if not due:
        return None
    latest, day = max(due)
    if when.since is not None and latest < when.since:
        return None
    return Occurrence(day, latest) if slot - latest <= LATEST else None


def occurrence_by_hand(now: datetime, when: DigestTime) -> Occurrence:
    """Return the occurrence that a digest asked for by hand serves: today's, on the clock of the schedule's zone."""
    return Occurrence(local_date(now, when.zone), None)


def is_quiet(now: datetime, when: DigestTime, occurrence: Occurrence) -> bool:
    """Return whether an SMS would disturb: it is between 21:00 and 08:00, and the user did not choose that time.

    A user who wants the digest at 22:00 gets it then, or an hour later if it failed, but not at 01:00. One who wants it
    at 20:59 gets it then, though the pod needs a minute. One that is asked for by hand may come at night where the
    user's own time is at night.
    """
    if not _quiet(now.astimezone(when.zone).time()):
        return False
    chose_night = _quiet(when.at)
    if occurrence.due_at is None:
        return not chose_night
    return now > occurrence.due_at + (SOON_AT_NIGHT if chose_night else ON_TIME)


def _quiet(clock: time) -> bool:
    return clock >= QUIET_FROM or clock < QUIET_UNTIL
