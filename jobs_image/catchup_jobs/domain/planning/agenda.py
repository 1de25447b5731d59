"""The user's time while suggestions are planned: what is free, what suggestions take, and which events are clear."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from catchup_jobs.domain.calendar.availability import blocked_hours, free_slots, overlaps
from catchup_jobs.domain.planning.diary import LEAD, Diary
from catchup_jobs.domain.planning.suggestions import HORIZON, Source
from catchup_jobs.domain.vocabulary import SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from catchup_jobs.domain.calendar.availability import Interval
    from catchup_jobs.domain.planning.shared_activity import EventFacts
    from catchup_jobs.domain.planning.suggestions import Suggestion, UserFacts


class Agenda:
    """A user's time between now and the horizon. Accepted suggestions take theirs from the start.

    Nothing is placed beyond the time for which the calendars are known.
    """

    def __init__(self, facts: UserFacts, now: datetime) -> None:
        self._facts = facts
        self._now = now
        self._until = min(now + HORIZON, facts.known_until or now)
        self._accepted = [
            suggestion.when for suggestion in facts.suggestions if suggestion.status is SuggestionStatus.ACCEPTED
        ]
        # Pending suggestions may end after the horizon; an event may last until the year 9999.
        self._reach = self._until
        self._taken = list(self._accepted)

    def cover(self, pending: Sequence[Suggestion]) -> None:
        """Extend the agenda to the end of these suggestions; call it before any other method."""
        self._reach = max([self._until, *(suggestion.when.end for suggestion in pending)])

    def keep(self, when: Interval) -> None:
        """Count time as taken by a suggestion that stays where it is; call it before anything is placed."""
        self._taken.append(when)

    def is_free(self, when: Interval) -> bool:
        """Return whether the time lies in free time and no suggestion takes any of it."""
        inside = any(slot.start <= when.start and when.end <= slot.end for slot in self._free)
        return inside and not overlaps(when, self._taken)

    def is_clear(self, event: EventFacts) -> bool:
        """Return whether an event's time holds nothing but the event itself and its copies."""
        if overlaps(event.when, self._taken) or overlaps(event.when, self._commutes_and_nights):
            return False
        return not any(
            overlaps(event.when, (other.when,)) and not other.is_copy_of(event) for other in self._facts.events
        )

    def is_placeable(self, event: EventFacts) -> bool:
        """Return whether an event is a timed one that starts late enough and ends within the known time."""
        return not event.all_day and self._now + LEAD <= event.when.start and event.when.end <= self._until

    def event_of(self, suggestion: Suggestion) -> EventFacts | None:
        """Return the event that a shared activity is about, None where it is gone."""
        same = (
            event
            for event in self._facts.events
            if not event.all_day and suggestion.source == Source(event.calendar_id, event.event_id)
        )
        return next(same, None)

    def take(self, duration: timedelta) -> Interval | None:
        """Take the earliest free time of this length; None where there is none."""
        when = self._diary.take(duration)
        if when is not None:
            self._taken.append(when)
        return when

    def take_event(self, event: EventFacts) -> bool:
        """Take an event's time for a suggestion; return whether that is possible."""
        if not (self._diary.allows(event.when) and self.is_clear(event)):
            return False
        self._diary.count(event.when.start)
        self._taken.append(event.when)
        return True

    @cached_property
    def _free(self) -> list[Interval]:
        busy = [event.when for event in self._facts.events] + self._accepted
        return free_slots(self._facts.parameters, busy, self._facts.zone, now=self._now, until=self._reach)

    @cached_property
    def _diary(self) -> Diary:
        return Diary(
            self._free,
            taken=self._taken,
            starts=[when.start for when in self._taken],
            zone=self._facts.zone,
            now=self._now,
            until=self._until,
        )

    @cached_property
    def _commutes_and_nights(self) -> list[Interval]:
        return blocked_hours(self._facts.parameters, self._facts.zone, start=self._now, end=self._reach)
