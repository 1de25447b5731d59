"""What Google sent of a calendar, as JSON values and back: a sync that could not read all of it goes on there."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from typing import Any

from catchup_jobs.domain.calendar.events import (
    AllDaySpan,
    CalendarEvent,
    Received,
    TimedSpan,
    Tombstone,
    UnreadableEvent,
)
from catchup_jobs.domain.stored_enums import EventStatus


def to_json(event: Received) -> dict[str, Any]:
    """Return JSON values; what is None is left out."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, CalendarEvent):
        span = [event.span.start_at, event.span.end_at] if isinstance(event.span, TimedSpan) else None
        days = [event.span.start_date, event.span.end_date] if isinstance(event.span, AllDaySpan) else None
        del values["span"]
        values |= {
            "status": event.status.value,
            "times": [at.isoformat() for at in span] if span else None,
            "days": [day.isoformat() for day in days] if days else None,
            "updated_at": event.updated_at.isoformat() if event.updated_at else None,
        }
    return {name: value for name, value in values.items() if value is not None}


def from_json(document: dict[str, Any]) -> Received:
    """Return what `to_json` was given.

    Raises:
        KeyError, ValueError, TypeError: another version wrote it.
    """
    if "why" in document:
        return UnreadableEvent(**document)
    if "status" not in document:
        return Tombstone(**document)
    values = dict(document)
    times, days, updated_at = values.pop("times", None), values.pop("days", None), values.pop("updated_at", None)
    span = TimedSpan(*map(datetime.fromisoformat, times)) if times else AllDaySpan(*map(date.fromisoformat, days))
    values["status"] = EventStatus(values["status"])
    return CalendarEvent(span=span, updated_at=datetime.fromisoformat(updated_at) if updated_at else None, **values)
