"""Calendar events, and what a sync has to change in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.sync_window import Window
    from catchup_jobs.domain.stored_enums import EventStatus


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
    has_conference: bool = False


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deleted event. Google may send its id only."""

    google_id: str


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An item of which it is not known when it blocks. What is stored under its id stays.

    Attributes:
        google_id: empty where it has none.
        why: names the field, never what it holds.
    """

    google_id: str
    why: str


Received = CalendarEvent | Tombstone | UnreadableEvent


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


def reconcile(
    stored: Mapping[str, CalendarEvent],
    received: Iterable[Received],
    window: Window,
    zone: ZoneInfo,
    *,
    full: bool,
) -> Changes:
    """Compare what Google sent with what is stored and return what to change.

    An incremental sync sends changed events whatever their date, so those outside the window count as gone. A
    tombstone of a recurring event takes its stored instances with it. After a full sync, what was not sent is gone.
    A stored event whose new form cannot be read stays as it was.

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
    unreadable = {google_id for google_id, event in latest.items() if isinstance(event, UnreadableEvent)}
    if full:
        gone = stored.keys() - kept.keys() - unreadable
    else:
        named = latest.keys() - kept.keys() - unreadable
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
