"""Events of one calendar, in bulk: one statement for each chunk of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, or_, select, update

from catchup_jobs.adapters.database.chunks import CHUNK, chunks
from catchup_jobs.adapters.database.schema import events
from catchup_jobs.domain.calendar.events import AllDaySpan, CalendarEvent, Changes, Received, TimedSpan, Tombstone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


_PLAIN_COLUMNS: Final = (
    "google_id",
    "status",
    "busy",
    "summary",
    "description",
    "location",
    "event_type",
    "recurring_event_id",
    "original_start",
    "ical_uid",
    "etag",
    "updated_at",
    "has_conference",
)
_SPAN_COLUMNS: Final = ("start_at", "end_at", "start_date", "end_date")
_COLUMNS: Final = tuple(events.c[name] for name in (*_PLAIN_COLUMNS, *_SPAN_COLUMNS))


def stored_events(
    connection: Connection, calendar_id: int, concerned: Sequence[Received] | None
) -> dict[str, CalendarEvent]:
    """Return a calendar's events by id: all, or those that the received ones concern.

    A tombstone concerns the event of its id, and where that is a recurring event its instances.
    """
    statement = select(*_COLUMNS).where(events.c.calendar_id == calendar_id)
    # For more events the whole calendar is read.
    if concerned is not None and len(concerned) <= CHUNK:
        ids = [event.google_id for event in concerned]
        cancelled = [event.google_id for event in concerned if isinstance(event, Tombstone)]
        statement = statement.where(
            or_(events.c.google_id.in_(ids), events.c.recurring_event_id.in_(cancelled))
            if cancelled
            else events.c.google_id.in_(ids)
        )
    return {row.google_id: _event(row) for row in connection.execute(statement)}


def change_events(connection: Connection, calendar_id: int, changes: Changes) -> None:
    """Delete, insert and update a calendar's events."""
    for ids in chunks(sorted(changes.removed | changes.outdated)):
        connection.execute(delete(events).where(events.c.calendar_id == calendar_id, events.c.google_id.in_(ids)))
    if changes.added:
        connection.execute(insert(events), [_values(event) | {"calendar_id": calendar_id} for event in changes.added])
    if changes.changed:
        statement = update(events).where(
            events.c.calendar_id == calendar_id, events.c.google_id == bindparam("changed_id")
        )
        connection.execute(statement, [_values(event) | {"changed_id": event.google_id} for event in changes.changed])


def _event(row: Any) -> CalendarEvent:
    timed = row.start_at is not None
    span = TimedSpan(row.start_at, row.end_at) if timed else AllDaySpan(row.start_date, row.end_date)
    return CalendarEvent(span=span, **{name: getattr(row, name) for name in _PLAIN_COLUMNS})


def _values(event: CalendarEvent) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in _PLAIN_COLUMNS}
    spans: dict[str, Any] = dict.fromkeys(_SPAN_COLUMNS)
    if isinstance(event.span, TimedSpan):
        spans |= {"start_at": event.span.start_at, "end_at": event.span.end_at}
    else:
        spans |= {"start_date": event.span.start_date, "end_date": event.span.end_date}
    return values | spans
