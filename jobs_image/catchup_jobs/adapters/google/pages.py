"""Reading a page of a list of Google, and the entries of the calendar list."""

from __future__ import annotations

from typing import Any, Final

from catchup_contract.local_time import is_time_zone
from catchup_jobs.domain.calendar.event_resource import ID_MAX_BYTES, storable
from catchup_jobs.domain.text import one_line
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.sync.ports import ListedCalendar

# Page and sync tokens are opaque; a longer one would not fit into a request's first line.
_TOKEN_MAX: Final = 4096


def listed_calendar(entry: object) -> ListedCalendar | None:
    """Read an entry of the calendar list, None where it is not known which calendar it is."""
    if not isinstance(entry, dict):
        return None
    google_id = entry.get("id")
    if not isinstance(google_id, str) or not google_id.isprintable() or not 0 < len(google_id.encode()) <= ID_MAX_BYTES:
        return None
    summary, role, zone = (
        entry.get("summaryOverride") or entry.get("summary"),
        entry.get("accessRole"),
        entry.get("timeZone"),
    )
    return ListedCalendar(
        google_id=google_id,
        summary=one_line(summary) if isinstance(summary, str) else "",
        primary=entry.get("primary") is True,
        access_role=storable(role) if isinstance(role, str) else "reader",
        time_zone=zone if isinstance(zone, str) and is_time_zone(zone) else None,
    )


def is_deleted(entry: object) -> bool:
    """Return whether an entry of the calendar list says that the user removed the calendar from it."""
    return isinstance(entry, dict) and entry.get("deleted") is True


def require_page(document: dict[str, Any], kind: str) -> None:
    """Check that a document is a page of a list. Without `items` it is an empty one only if it says what it is.

    Raises:
        TemporaryError: it is none.
    """
    items = document.get("items")
    if not isinstance(items, list) and ("items" in document or document.get("kind") != kind):
        raise TemporaryError("Google's answer is not a page of items")


def items_of(document: dict[str, Any]) -> list[Any]:
    """Return what is on a page."""
    items: list[Any] = document.get("items", [])
    return items


def token_of(document: dict[str, Any], name: str) -> str | None:
    """Return a page's token for the next page or the next sync, None without one.

    Raises:
        TemporaryError: it is none.
    """
    token = document.get(name)
    if token is None or token == "":
        return None
    if not isinstance(token, str) or len(token) > _TOKEN_MAX or not (token.isascii() and token.isprintable()):
        raise TemporaryError(f"Google's answer holds a {name} that is none")
    return token
