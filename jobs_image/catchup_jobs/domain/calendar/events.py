"""Calendar events: what Google's event resource means here, and what a sync has to change in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from catchup_jobs.domain.vocabulary import EventStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catchup_jobs.domain.calendar.sync_window import Window


@dataclass(frozen=True, slots=True)
class TimedSpan:
    """An event with a start and an end in UTC; equal for a reminder-like event without length."""

    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True)
class AllDaySpan:
    """An event of whole local dates, wherever the user is; `end_date` is exclusive (RFC 5545 DTEND)."""

    start_date: date
    end_date: date


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """One event, or one instance of a recurring one, as the store keeps it. `google_id` is unique in its calendar."""

    google_id: str
    status: EventStatus
    busy: bool
    span: TimedSpan | AllDaySpan
    summary: str | None = None
    description: str | None = None
    location: str | None = None
    event_type: str | None = None
    recurring_event_id: str | None = None
    original_start: str | None = None
    ical_uid: str | None = None
    etag: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deleted event. Google may send its id only."""

    google_id: str


class MalformedEventError(ValueError):
    """An event resource that cannot be read. The message names the field, never what it holds."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a sync changes in one calendar's stored events.

    Attributes:
        added: events that the store does not have.
        changed: events that the store has with other values.
        removed: ids of stored events that are deleted, cancelled or moved out of the window.
        outdated: ids of stored events that ended before the window: deleted, but not counted as removed.
    """

    added: tuple[CalendarEvent, ...] = ()
    changed: tuple[CalendarEvent, ...] = ()
    removed: frozenset[str] = field(default_factory=frozenset)
    outdated: frozenset[str] = field(default_factory=frozenset)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.outdated)


def read_event(resource: Mapping[str, Any]) -> CalendarEvent | Tombstone:
    """Read an event resource of the Calendar API v3 (`events.list` with `singleEvents`).

    Raises:
        MalformedEventError: a field that an event cannot be without is missing or unreadable.
    """
    google_id = _text(resource, "id")
    if not google_id:
        raise MalformedEventError("an event has no id")
    status = _text(resource, "status") or EventStatus.CONFIRMED
    if status == "cancelled":
        return Tombstone(google_id)
    try:
        known_status = EventStatus(status)
    except ValueError:
        raise MalformedEventError("an event's status is not known") from None
    return CalendarEvent(
        google_id=google_id,
        status=known_status,
        busy=is_busy(resource),
        span=_span(resource),
        summary=_text(resource, "summary"),
        description=_text(resource, "description"),
        location=_text(resource, "location"),
        event_type=_text(resource, "eventType"),
        recurring_event_id=_text(resource, "recurringEventId"),
        original_start=_original_start(resource),
        ical_uid=_text(resource, "iCalUID"),
        etag=_text(resource, "etag"),
        updated_at=_updated(resource),
    )


def is_busy(resource: Mapping[str, Any]) -> bool:
    """Return whether an event blocks the user's time: opaque, not cancelled and not declined by the user."""
    if resource.get("status") == "cancelled" or resource.get("transparency") == "transparent":
        return False
    attendees = resource.get("attendees") or ()
    return not any(
        isinstance(attendee, Mapping) and attendee.get("self") and attendee.get("responseStatus") == "declined"
        for attendee in attendees
    )


def reconcile(
    stored: Mapping[str, CalendarEvent],
    received: Iterable[CalendarEvent | Tombstone],
    window: Window,
    zone: ZoneInfo,
    *,
    full: bool,
) -> Changes:
    """Compare what Google sent with what is stored and return what to change.

    An incremental sync sends changed events whatever their date, so those outside the window count as gone. A
    tombstone of a recurring event takes its stored instances with it. After a full sync, what was not sent is gone.

    Args:
        stored: events of this calendar by id; for an incremental sync those that the received ones concern suffice.
        received: in the order in which they came; a later one of the same id wins.
        window: the time of which events are kept.
        zone: the user's zone, in which all-day events have their days.
        full: whether everything in the window was sent.
    """
    latest = {event.google_id: event for event in received}
    kept = {
        google_id: event
        for google_id, event in latest.items()
        if isinstance(event, CalendarEvent) and overlaps(event, window, zone)
    }
    cancelled = {google_id for google_id, event in latest.items() if isinstance(event, Tombstone)}
    if full:
        gone = stored.keys() - kept.keys()
    else:
        named = latest.keys() - kept.keys()
        instances = {google_id for google_id, event in stored.items() if event.recurring_event_id in cancelled}
        gone = (stored.keys() & (named | instances)) - kept.keys()
    outdated = frozenset(
        google_id for google_id in gone if google_id not in cancelled and _ends(stored[google_id], zone) <= window.start
    )
    return Changes(
        added=tuple(event for google_id, event in kept.items() if google_id not in stored),
        changed=tuple(event for google_id, event in kept.items() if google_id in stored and stored[google_id] != event),
        removed=frozenset(gone) - outdated,
        outdated=outdated,
    )


def storable(text: str) -> str:
    """Return text without NUL, which PostgreSQL refuses, and without lone surrogates, which JSON can encode."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def overlaps(event: CalendarEvent, window: Window, zone: ZoneInfo) -> bool:
    """Return whether any of the event is in the window: `timeMin` and `timeMax` of `events.list`, both exclusive."""
    return _ends(event, zone) > window.start and _starts(event, zone) < window.end


def _starts(event: CalendarEvent, zone: ZoneInfo) -> datetime:
    if isinstance(event.span, TimedSpan):
        return event.span.start_at
    return _midnight(event.span.start_date, zone)


def _ends(event: CalendarEvent, zone: ZoneInfo) -> datetime:
    if isinstance(event.span, TimedSpan):
        return event.span.end_at
    return _midnight(event.span.end_date, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _span(resource: Mapping[str, Any]) -> TimedSpan | AllDaySpan:
    start, end = resource.get("start"), resource.get("end")
    if not isinstance(start, Mapping) or not isinstance(end, Mapping):
        raise MalformedEventError("an event has no start or no end")
    try:
        if "date" in start:
            days = AllDaySpan(date.fromisoformat(start["date"]), date.fromisoformat(end["date"]))
            if days.start_date >= days.end_date:
                raise MalformedEventError("an all-day event ends before it starts")
            if days.start_date.year == date.min.year or days.end_date.year == date.max.year:
                raise MalformedEventError("an all-day event is at the end of the calendar's range")
            return days
        timed = TimedSpan(_instant(start), _instant(end))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, MalformedEventError):
            raise
        raise MalformedEventError("an event's start or end is not a date or time") from None
    if timed.start_at > timed.end_at:
        raise MalformedEventError("an event ends before it starts")
    return timed


def _instant(when: Mapping[str, Any]) -> datetime:
    parsed = datetime.fromisoformat(when["dateTime"])
    if parsed.tzinfo is None:
        # RFC 3339 without an offset is allowed where timeZone is given.
        parsed = parsed.replace(tzinfo=ZoneInfo(when["timeZone"]))
    return parsed.astimezone(UTC)


def _original_start(resource: Mapping[str, Any]) -> str | None:
    original = resource.get("originalStartTime")
    if not isinstance(original, Mapping):
        return None
    return _text(original, "dateTime") or _text(original, "date")


def _updated(resource: Mapping[str, Any]) -> datetime | None:
    text = _text(resource, "updated")
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise MalformedEventError("an event's updated is not a time") from None


def _text(resource: Mapping[str, Any], name: str) -> str | None:
    value = resource.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedEventError(f"an event's {name} is not text")
    return storable(value)
