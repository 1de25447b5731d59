"""What Google's event resource means here (Calendar API v3, `events.list` with `singleEvents`).

Only what decides when an event blocks must be readable. Where the resource leaves that open, RFC 5545 decides; a field
that decides nothing is left out if it cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final
from unicodedata import normalize
from zoneinfo import ZoneInfo

from catchup_contract.local_time import is_time_zone
from catchup_jobs.domain.calendar.events import AllDaySpan, CalendarEvent, TimedSpan, Tombstone, UnreadableEvent
from catchup_jobs.domain.stored_enums import EventStatus
from catchup_jobs.domain.text import one_line, printable

if TYPE_CHECKING:
    from datetime import tzinfo

# Google's ids have 1024 characters at most, of one byte each; a longer one would not fit into PostgreSQL's index.
ID_MAX_BYTES: Final = 1024
# "For ever" is written as the year 1 or 9999, where no time can be turned into another zone.
_FIRST_DAY, _LAST_DAY, _END_DAY = date(2, 1, 1), date(9998, 12, 30), date(9998, 12, 31)
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
_OFFSET_MAX_HOURS: Final = 18

_LEAP_SECOND: Final = re.compile(r"(?<=:\d\d):60")
# Java writes a zone that has no name so.
_FIXED_OFFSET: Final = re.compile(r"(?:GMT|UTC)([+-])(\d{1,2})(?::?(\d{2}))?")


class _UnreadableError(ValueError):
    """What of an event cannot be read; the message names the field, never what it holds."""


def read_event(resource: object) -> CalendarEvent | Tombstone | UnreadableEvent:
    """Read an item of a page, whatever it is."""
    if not isinstance(resource, Mapping):
        return UnreadableEvent("", "it is not an object")
    google_id = _text(resource, "id") or ""
    if not 0 < len(google_id.encode()) <= ID_MAX_BYTES:
        return UnreadableEvent("", "it has no id")
    if resource.get("status") == "cancelled":
        return Tombstone(google_id)
    try:
        span = _span(resource)
    except _UnreadableError as error:
        return UnreadableEvent(google_id, str(error))
    return CalendarEvent(
        google_id=google_id,
        status=EventStatus.TENTATIVE if resource.get("status") == "tentative" else EventStatus.CONFIRMED,
        busy=is_busy(resource),
        span=span,
        summary=_line(resource, "summary"),
        description=_lines(resource, "description"),
        location=_line(resource, "location"),
        event_type=_text(resource, "eventType"),
        recurring_event_id=_text(resource, "recurringEventId"),
        original_start=_original_start(resource),
        ical_uid=_text(resource, "iCalUID"),
        etag=_text(resource, "etag"),
        updated_at=_updated(resource),
        has_conference=_has_conference(resource),
    )


def is_busy(resource: Mapping[str, Any]) -> bool:
    """Return whether an event blocks the user's time: opaque, not cancelled and not declined by the user."""
    if resource.get("status") == "cancelled" or resource.get("transparency") == "transparent":
        return False
    attendees = resource.get("attendees")
    return not any(
        isinstance(attendee, Mapping) and attendee.get("self") is True and attendee.get("responseStatus") == "declined"
        for attendee in (attendees if isinstance(attendees, list) else ())
    )


def _has_conference(resource: Mapping[str, Any]) -> bool:
    """Return whether one can join by video or phone: by Google Meet, or by an add-on such as Zoom's."""
    conference = resource.get("conferenceData")
    points = conference.get("entryPoints") if isinstance(conference, Mapping) else None
    return bool(resource.get("hangoutLink")) or (isinstance(points, list) and bool(points))


def storable(text: str) -> str:
    """Return text without NUL, which PostgreSQL refuses, and without lone surrogates, which JSON can encode."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _span(resource: Mapping[str, Any]) -> TimedSpan | AllDaySpan:
    start = _when(resource.get("start"))
    if start is None:
        raise _UnreadableError("it has no start")
    end = _when(resource.get("end"))
    if start.get("date") is not None:
        first = _date(start)
        # Without an end, and without a length, an event of a date takes that day (RFC 5545, section 3.6.1).
        last = first if end is None else _date(end)
        if last < first:
            raise _UnreadableError("it ends before it starts")
        first = min(max(first, _FIRST_DAY), _LAST_DAY)
        return AllDaySpan(first, max(min(last, _END_DAY), first + timedelta(days=1)))
    begins = _instant(start)
    # Without an end an event of a time ends when it starts (the same section).
    ends = begins if end is None else _instant(end)
    if ends < begins:
        raise _UnreadableError("it ends before it starts")
    return TimedSpan(begins, ends)


def _when(value: object) -> Mapping[str, Any] | None:
    """Return an EventDateTime, None where there is none or it holds neither a date nor a time."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _UnreadableError("its start or end is not an object")
    return value if value.get("date") is not None or value.get("dateTime") is not None else None


def _date(when: Mapping[str, Any]) -> date:
    text = when.get("date")
    try:
        if isinstance(text, str):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _UnreadableError("its start or end is not a date")


def _instant(when: Mapping[str, Any]) -> datetime:
    text = when.get("dateTime")
    try:
        parsed = _rfc3339(text) if isinstance(text, str) else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise _UnreadableError("its start or end is not a time")
    if parsed.tzinfo is None:
        # Allowed where `timeZone` is given; beside an offset it decides nothing.
        zone = _zone(when.get("timeZone"))
        if zone is None:
            raise _UnreadableError("its start or end has neither an offset nor a known time zone")
        parsed = parsed.replace(tzinfo=zone)
    # The ends of the calendar cannot be turned into UTC, nor UTC there into a user's zone.
    if parsed.year < _FIRST.year:
        return _FIRST
    return min(parsed.astimezone(UTC), _LAST) if parsed.year <= _LAST.year else _LAST


def _rfc3339(text: str) -> datetime:
    """Return a time by RFC 3339, naive where it has no offset: letters in any case, and leap seconds."""
    counted = _LEAP_SECOND.sub(":59", text)
    parsed = datetime.fromisoformat(counted.upper())
    # A leap second, unless it is the calendar's last one.
    is_leap = counted != text and parsed.year <= _LAST.year
    return parsed + timedelta(seconds=1) if is_leap else parsed


def _zone(name: object) -> tzinfo | None:
    if not isinstance(name, str):
        return None
    if is_time_zone(name):
        return ZoneInfo(name)
    offset = _FIXED_OFFSET.fullmatch(name)
    if offset is None or int(offset[2]) > _OFFSET_MAX_HOURS:
        return None
    behind = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
    return timezone(-behind if offset[1] == "-" else behind)


def _original_start(resource: Mapping[str, Any]) -> str | None:
    original = resource.get("originalStartTime")
    if not isinstance(original, Mapping):
        return None
    return _text(original, "dateTime") or _text(original, "date")


def _updated(resource: Mapping[str, Any]) -> datetime | None:
    text = _text(resource, "updated")
    try:
        parsed = _rfc3339(text) if text else None
        return parsed.astimezone(UTC) if parsed is not None and parsed.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _text(resource: Mapping[str, Any], name: str) -> str | None:
    value = resource.get(name)
    return storable(value) if isinstance(value, str) else None


def _line(resource: Mapping[str, Any], name: str) -> str | None:
    value = resource.get(name)
    return one_line(value) if isinstance(value, str) else None


def _lines(resource: Mapping[str, Any], name: str) -> str | None:
    """Return text of several lines that is compared, never shown: in the form NFC as what it is compared with."""
    value = resource.get(name)
    return normalize("NFC", printable(value)) if isinstance(value, str) else None
