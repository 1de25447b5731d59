"""What the clocks of contacts allow: who is too far away to meet, and when one may call."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from catchup_contract.local_time import local_date
from catchup_jobs.domain.calendar.availability import WeeklyWindow, weekly_hours
from catchup_jobs.domain.calendar.timeline import Timeline
from catchup_jobs.domain.people.contacts import same_name
from catchup_jobs.domain.planning.overdue import preference
from catchup_jobs.domain.stored_enums import Mode, Weekday

if TYPE_CHECKING:
    from datetime import date, time
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.availability import Interval
    from catchup_jobs.domain.planning.options import PlanningOptions
    from catchup_jobs.domain.planning.overdue import ContactFacts


class ContactClocks:
    """The clocks of a user's contacts, in one plan.

    Args:
        zone, city: the user's.
        now, until: between which suggestions are placed (aware).
    """

    def __init__(
        self, options: PlanningOptions, zone: ZoneInfo, city: str | None, *, now: datetime, until: datetime
    ) -> None:
        self._options = options
        self._zone = zone
        self._city = city
        self._now = now
        self._until = until

    def zone(self, contact: ContactFacts) -> ZoneInfo | None:
        """Return the zone that the contact is in: the user's in the user's city, None where it is not known."""
        if contact.zone is None or contact.city is None or self._city is None:
            return contact.zone
        return self._zone if same_name(contact.city, self._city) else contact.zone

    def is_far(self, contact: ContactFacts) -> bool:
        """Return whether the two cannot simply meet: their clocks differ in winter or in summer."""
        zone = self.zone(contact)
        return zone is not None and not _same_clock(zone, self._zone, self._now.year)

    def mode(self, contact: ContactFacts) -> Mode:
        """Return how to meet: as the tags say, but a call with somebody who is far."""
        return Mode.CALL if self.is_far(contact) else preference(contact.tags)

    def hours(self, zone: ZoneInfo) -> Timeline:
        """Return when contacts of a zone may be called."""
        window = (self._options.contact_from, self._options.contact_until)
        days = local_date(self._now, zone), local_date(max(self._now, self._until), zone)
        return _hours(window, zone, *days)

    def may_call(self, zone: ZoneInfo, when: Interval) -> bool:
        """Return whether contacts of a zone may be called all of this time."""
        return self.hours(zone).contains(when)


# Many users have contacts in few zones.
@lru_cache(maxsize=1024)
def _hours(window: tuple[time, time], zone: ZoneInfo, first: date, last: date) -> Timeline:
    daily = tuple(WeeklyWindow(weekday, *window) for weekday in Weekday)
    return Timeline(weekly_hours(daily, zone, first, last))


@lru_cache(maxsize=4096)
def _same_clock(one: ZoneInfo, other: ZoneInfo, year: int) -> bool:
    if one.key == other.key:
        return True
    moments = (datetime(year, month, 1, tzinfo=UTC) for month in (1, 7))
    return all(moment.astimezone(one).utcoffset() == moment.astimezone(other).utcoffset() for moment in moments)
