"""What becomes of an accepted suggestion when its event changes: whoever moves the event moves the meeting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catchup_contract.local_time import instant
from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.calendar.events import TimedSpan
from catchup_jobs.domain.stored_enums import ExpiryReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.events import AllDaySpan
    from catchup_jobs.domain.planning.suggestions import Source


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted suggestion and its event.

    Attributes:
        source: the event of a shared activity.
        booked_event_id: Google's id of the event that it got; None where it got none.
        is_booked: that event is still in one of the user's calendars.
    """

    when: Interval
    source: Source | None = None
    booked_event_id: str | None = field(default=None, repr=False)
    is_booked: bool = False


@dataclass(frozen=True, slots=True)
class EventChanges:
    """What a sync changed in a calendar.

    Attributes:
        zone: the user's, in which all-day events have their days.
        removed: Google's ids of the events that are gone.
        spans: of the events that are new or changed, by Google's id.
    """

    calendar_id: int
    zone: ZoneInfo
    removed: Collection[str] = ()
    spans: Mapping[str, TimedSpan | AllDaySpan] = field(default_factory=dict)


def becomes(accepted: Accepted, changes: EventChanges) -> Interval | ExpiryReason | None:
    """Return the suggestion's new time, or why it is off; None where it stays as it is.

    It follows the event that it got, or without one the event that it is about. An event that has become all-day names
    a date and no time of day: the time that was agreed stays, on that date.
    """
    source = accepted.source if accepted.source and accepted.source.calendar_id == changes.calendar_id else None
    # The event that it got may be in another of the user's calendars too.
    unbooked = accepted.booked_event_id in changes.removed and not accepted.is_booked
    if unbooked or (source is not None and source.event_id in changes.removed):
        return ExpiryReason.EVENT_GONE
    event_id = accepted.booked_event_id or (source.event_id if source else None)
    span = changes.spans.get(event_id) if event_id is not None else None
    if span is None:
        return None
    length = accepted.when.end - accepted.when.start
    if isinstance(span, TimedSpan):
        # An event may have no length (RFC 5545, 3.6.1); a meeting has one.
        when = Interval(span.start_at, span.end_at if span.end_at > span.start_at else span.start_at + length)
    else:
        agreed = accepted.when.start.astimezone(changes.zone)
        if span.start_date <= agreed.date() < span.end_date:
            return None
        start = instant(span.start_date, agreed.time(), changes.zone)
        when = Interval(start, start + length)
    return None if when == accepted.when else when
