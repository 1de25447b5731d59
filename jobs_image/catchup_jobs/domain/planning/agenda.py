"""The user's time while suggestions are planned: what is free, what suggestions take, and which events are clear."""

from __future__ import annotations

from datetime import time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from catchup_contract.local_time import local_date
from catchup_jobs.domain.calendar.availability import (
    DEFAULT_END,
    WeeklyWindow,
    blocked_hours,
    free_slots,
    merge,
    weekly_hours,
)
from catchup_jobs.domain.calendar.timeline import Timeline
from catchup_jobs.domain.planning.contact_clocks import ContactClocks
from catchup_jobs.domain.planning.diary import LEAD, Diary, Need
from catchup_jobs.domain.planning.options import Strategy
from catchup_jobs.domain.planning.overdue import threshold
from catchup_jobs.domain.planning.suggestions import HORIZON, Source
from catchup_jobs.domain.stored_enums import SuggestionStatus, Weekday

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from catchup_jobs.domain.calendar.availability import Interval
    from catchup_jobs.domain.planning.event_facts import EventFacts, Identity
    from catchup_jobs.domain.planning.options import PlanningOptions
    from catchup_jobs.domain.planning.overdue import ContactFacts
    from catchup_jobs.domain.planning.suggestions import Suggestion, UserFacts

WEEK: Final = timedelta(days=7)
_WEEKEND: Final = {Weekday.SATURDAY, Weekday.SUNDAY}
PREFERRED: Final = tuple(WeeklyWindow(day, time(10 if day in _WEEKEND else 17), DEFAULT_END) for day in Weekday)
"""The preferred hours of a user who has named none."""


class Agenda:
    """A user's time between now and the horizon. Accepted suggestions take theirs from the start.

    Nothing is placed beyond the time for which the calendars are known.
    """

    def __init__(self, facts: UserFacts, options: PlanningOptions, now: datetime) -> None:
        self._facts = facts
        self._options = options
        self._now = now
        self._until = min(now + HORIZON, facts.known_until or now)
        self.clocks = ContactClocks(options, facts.zone, facts.city, now=now, until=self._until)
        self._accepted = [
            suggestion.when for suggestion in facts.suggestions if suggestion.status is SuggestionStatus.ACCEPTED
        ]
        # Pending suggestions may end after the horizon; an event may last until the year 9999.
        self._reach = self._until
        # Each suggestion's own time counts for its date; as a timeline, overlapping ones are one.
        self._taken = list(self._accepted)
        self._taken_time = Timeline()
        for when in self._accepted:
            self._taken_time.add(when)

    def cover(self, pending: Sequence[Suggestion]) -> None:
        """Extend the agenda to the end of these suggestions; call it before any other method."""
        self._reach = max([self._until, *(suggestion.when.end for suggestion in pending)])

    def keep(self, when: Interval) -> None:
        """Count time as taken by a suggestion that stays where it is; call it before anything is placed."""
        self._taken.append(when)
        self._taken_time.add(when)

    def is_free(self, when: Interval) -> bool:
        """Return whether the time lies in free time and no suggestion takes any of it."""
        return self._free_time.contains(when) and not self._taken_time.overlaps(when)

    def is_clear(self, event: EventFacts) -> bool:
        """Return whether an event's time holds nothing but the event itself and its copies."""
        return (
            event.identity in self._alone
            and not self._taken_time.overlaps(event.when)
            and not self._commutes_and_nights.overlaps(event.when)
        )

    def is_placeable(self, event: EventFacts) -> bool:
        """Return whether others could join an event that starts late enough and ends within the known time."""
        return event.is_shareable and self._now + LEAD <= event.when.start and event.when.end <= self._until

    def event_of(self, suggestion: Suggestion) -> EventFacts | None:
        """Return the event that a shared activity is about, None where it is gone."""
        return None if suggestion.source is None else self._timed.get(suggestion.source)

    def take(self, duration: timedelta, contact: ContactFacts) -> Interval | None:
        """Take the best free time of this length for a contact; None where there is none.

        Whom the user wants to see every week or more often is proposed within a week.
        """
        limit = threshold(contact.frequency)
        soon = self._options.strategy is Strategy.HUMANE and limit is not None and limit <= WEEK
        until = min(self._until, self._now + WEEK) if soon else self._until
        zone = self.clocks.zone(contact)
        hours = None if zone is None else self.clocks.hours(zone)
        when = self._diary.take(Need(duration, until, hours))
        if when is not None:
            self._taken_time.add(when)
        return when

    def can_take(self, event: EventFacts) -> bool:
        """Return whether an event's time can be taken for a suggestion: once it cannot, it never can."""
        return self._diary.allows(event.when) and self.is_clear(event)

    def take_event(self, event: EventFacts) -> bool:
        """Take an event's time for a suggestion; return whether that is possible."""
        if not self.can_take(event):
            return False
        self._diary.count(event.when.start)
        self._taken_time.add(event.when)
        return True

    @cached_property
    def _free(self) -> list[Interval]:
        busy = [event.when for event in self._facts.events] + self._accepted
        return free_slots(self._facts.parameters, busy, self._facts.zone, now=self._now, until=self._reach)

    @cached_property
    def _free_time(self) -> Timeline:
        return Timeline(self._free)

    @cached_property
    def _diary(self) -> Diary:
        engagements = merge([*(event.when for event in self._facts.events), *self._taken])
        return Diary(
            self._free,
            taken=self._taken,
            engagements=Timeline(engagements),
            preferred=Timeline(self._preferred),
            zone=self._facts.zone,
            now=self._now,
            until=self._until,
            strategy=self._options.strategy,
        )

    @cached_property
    def _preferred(self) -> list[Interval]:
        zone = self._facts.zone
        windows = self._facts.parameters.preferred or PREFERRED
        return weekly_hours(windows, zone, local_date(self._now, zone), local_date(self._until, zone))

    @cached_property
    def _commutes_and_nights(self) -> Timeline:
        return Timeline(blocked_hours(self._facts.parameters, self._facts.zone, start=self._now, end=self._reach))

    @cached_property
    def _timed(self) -> dict[Source, EventFacts]:
        return {Source(event.calendar_id, event.event_id): event for event in self._facts.events if not event.all_day}

    @cached_property
    def _alone(self) -> set[Identity]:
        """The events that no other one overlaps; the copies of an event are one.

        In the order of their starts, an event is alone if all before it have ended and the next begins later.
        """
        distinct = {event.identity: event.when for event in self._facts.events}
        ordered = sorted(distinct.items(), key=lambda item: item[1].start)
        alone = set()
        busy_until = None
        for index, (identity, when) in enumerate(ordered):
            is_last = index + 1 == len(ordered)
            if (busy_until is None or busy_until <= when.start) and (
                is_last or when.end <= ordered[index + 1][1].start
            ):
                alone.add(identity)
            busy_until = when.end if busy_until is None else max(busy_until, when.end)
        return alone
