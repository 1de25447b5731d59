"""Suggestions to catch up with somebody: what they are planned from, and what a plan changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval
    from catchup_jobs.domain.planning.event_facts import EventFacts
    from catchup_jobs.domain.planning.overdue import ContactFacts
    from catchup_jobs.domain.stored_enums import ExpiryReason, Mode, SuggestionStatus, Trigger

HORIZON: Final = timedelta(days=14)
"""How far ahead suggestions are made."""
MAX_OPEN: Final = 50
"""Open suggestions of a user at most."""


@dataclass(frozen=True, slots=True)
class Source:
    """The event of a shared activity: Google's id of it in one of the user's calendars."""

    calendar_id: int | None
    event_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A stored suggestion that counts for planning: pending, snoozed, or accepted and not long past.

    Attributes:
        source: of a shared activity.
        booked_event_id: Google's id of the event that an accepted one got.
        reasoning: why, as it is stored.
        version: of its row, for compare-and-swap.
    """

    id: int
    contact_id: int
    trigger: Trigger
    status: SuggestionStatus
    when: Interval
    created_at: datetime
    source: Source | None = None
    booked_event_id: str | None = field(default=None, repr=False)
    snoozed_until: datetime | None = None
    delivered_at: datetime | None = None
    reasoning: str | None = field(default=None, repr=False)
    version: int = 1


@dataclass(frozen=True, slots=True)
class UserFacts:
    """What a user's suggestions are planned from.

    Attributes:
        contacts: neither excluded nor archived.
        events: busy time of the selected calendars from now on to the horizon; all that is known of them.
        known_until: see `freshness.known_until`; with None nothing new is proposed and nothing moves.
    """

    user_id: str
    zone: ZoneInfo
    parameters: AvailabilityParameters
    city: str | None = field(default=None, repr=False)
    paused: bool = False
    contacts: tuple[ContactFacts, ...] = ()
    events: tuple[EventFacts, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    known_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new suggestion."""

    contact_id: int
    trigger: Trigger
    mode: Mode
    when: Interval
    reasoning: str = field(repr=False)
    source: EventFacts | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A suggestion that is pending at another time now; `reasoning` None stays as it is stored."""

    suggestion: Suggestion
    when: Interval
    reasoning: str | None = field(repr=False)
    title: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reworded:
    """A suggestion that keeps its time and gets a current reason: the number of days in it has changed."""

    suggestion: Suggestion
    reasoning: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expired:
    """A suggestion that expires."""

    suggestion: Suggestion
    reason: ExpiryReason


@dataclass(slots=True)
class Plan:
    """What to change."""

    created: list[Created] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    expired: list[Expired] = field(default_factory=list)
    reworded: list[Reworded] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.moved or self.expired or self.reworded)
