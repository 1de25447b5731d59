"""`calendarList.list` and `events.list` of the Calendar API v3."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from catchup_dev.doubles.google import recurrence
from catchup_dev.doubles.google.errors import bad_request, full_sync_required, not_found
from catchup_dev.doubles.google.store import Store, expanded

if TYPE_CHECKING:
    from catchup_dev.doubles.google.recurrence import Resource

Query = dict[str, str]

FORBIDDEN_WITH_SYNC_TOKEN = frozenset(
    {
        "iCalUID",
        "orderBy",
        "privateExtendedProperty",
        "q",
        "sharedExtendedProperty",
        "timeMin",
        "timeMax",
        "updatedMin",
    }
)
# What the double understands of events.list; anything else is refused so that nobody relies on it by mistake.
EVENT_PARAMETERS = frozenset(
    {"timeMin", "timeMax", "singleEvents", "showDeleted", "maxResults", "pageToken", "syncToken", "timeZone"}
)
LIST_PARAMETERS = frozenset({"maxResults", "pageToken", "showDeleted", "showHidden", "minAccessRole"})
# Of every method: they choose the form of the answer, not what is in it.
SYSTEM_PARAMETERS = frozenset({"alt", "fields", "prettyPrint", "quotaUser", "key"})

_PER_REQUEST = frozenset({"pageToken", "syncToken", "timeMin", "timeMax", "maxResults"})


def page_number(query: Query) -> int:
    """Return which page a request asks for, from 1; 1 too where the page token cannot be read."""
    try:
        return int(_decode(query["pageToken"])["page"]) if "pageToken" in query else 1
    except (KeyError, ValueError, TypeError):
        return 1


def list_calendars(store: Store, email: str, query: Query) -> Resource:
    """Answer `calendarList.list`: 100 entries a page by default, 250 at most."""
    _refuse_unknown(query, LIST_PARAMETERS)
    entries = sorted(store.user(email)["calendars"].values(), key=lambda entry: entry["id"])
    page, token = _page(store, entries, query, default=100, most=250, kept={})
    body: Resource = {"kind": "calendar#calendarList", "etag": '"list"', "items": page}
    return body | ({"nextPageToken": token} if token else {"nextSyncToken": "the double takes none back"})


def list_events(store: Store, email: str, calendar_id: str, query: Query) -> Resource:
    """Answer `events.list`: 250 events a page by default, 2500 at most, `nextSyncToken` on the last page only."""
    _refuse_unknown(query, EVENT_PARAMETERS)
    entries = store.user(email)["calendars"]
    if calendar_id == "primary":
        calendar_id = next(entry["id"] for entry in entries.values() if entry.get("primary"))
    if calendar_id not in entries or calendar_id not in store.state["calendars"]:
        raise not_found()
    calendar = store.calendar(calendar_id)
    shape = {name: value for name, value in query.items() if name not in _PER_REQUEST | SYSTEM_PARAMETERS}
    if "pageToken" in query:
        began = _page_state(query["pageToken"], query)
    else:
        began = {"revision": calendar["revision"], "query": _without_page(query)}
    if "syncToken" in query:
        since = _since(query, calendar_id, calendar["floor"], shape)
        items = _changed(calendar, since, single=query.get("singleEvents") == "true")
    else:
        items = _in_window(calendar, query)
    items.sort(key=lambda item: str(item["id"]))
    page, token = _page(store, items, query, default=250, most=2500, kept=began)
    body: Resource = {
        "kind": "calendar#events",
        "etag": f'"{calendar["revision"]}"',
        "summary": entries[calendar_id]["summary"],
        "timeZone": calendar["time_zone"],
        "accessRole": entries[calendar_id]["accessRole"],
        "defaultReminders": [],
        "items": page,
    }
    if token:
        return body | {"nextPageToken": token}
    # The revision of the first page: what changed while the pages were read is delivered next time.
    return body | {"nextSyncToken": _encode({"calendar": calendar_id, "revision": began["revision"], "shape": shape})}


def shown(resource: Resource) -> Resource:
    """Return an event without the double's own additions."""
    return {name: value for name, value in resource.items() if not name.startswith("_")}


def _since(query: Query, calendar_id: str, floor: int, shape: Query) -> int:
    forbidden = sorted(FORBIDDEN_WITH_SYNC_TOKEN & query.keys())
    if forbidden:
        raise bad_request(f"Sync token cannot be used with: {', '.join(forbidden)}")
    if query.get("showDeleted") == "false":
        raise bad_request("showDeleted cannot be false with a sync token")
    try:
        token = _decode(query["syncToken"])
        token_calendar, revision, first_shape = token["calendar"], int(token["revision"]), token["shape"]
    except (ValueError, KeyError, TypeError):
        raise full_sync_required() from None
    if token_calendar != calendar_id or revision < floor:
        raise full_sync_required()
    if first_shape != shape:
        raise bad_request("The parameters differ from those of the request that gave the sync token")
    return revision


def _in_window(calendar: dict[str, Any], query: Query) -> list[Resource]:
    low, high = _time(query, "timeMin"), _time(query, "timeMax")
    if low and high and low >= high:
        raise bad_request("The specified time range is empty.")
    found = [
        shown(item)
        for event in calendar["events"].values()
        for item in (expanded(event) if query.get("singleEvents") == "true" else [event])
        if (low is None or recurrence.ends(item) > low) and (high is None or recurrence.starts(item) < high)
    ]
    if query.get("showDeleted") == "true":
        found += [_tombstone(event_id) for event_id in calendar["tombstones"]]
    return found


def _changed(calendar: dict[str, Any], since: int, *, single: bool) -> list[Resource]:
    """Return everything touched after a revision, whatever its date: all instances of a touched series."""
    touched = {event_id for event_id, revision in calendar["touched"].items() if revision > since}
    found: dict[str, Resource] = {}
    for event_id, event in calendar["events"].items():
        for item in expanded(event) if single else [event]:
            if event_id in touched or item["id"] in touched:
                found[item["id"]] = shown(item)
    for event_id, revision in calendar["tombstones"].items():
        if revision > since:
            found[event_id] = _tombstone(event_id)
    return list(found.values())


def _tombstone(event_id: str) -> Resource:
    return {"id": event_id, "status": "cancelled"}


def _page(
    store: Store, items: list[Resource], query: Query, *, default: int, most: int, kept: dict[str, Any]
) -> tuple[list[Resource], str | None]:
    """Return one page and the token of the next. The token names the last id given, so a change between two pages
    shifts nothing."""
    size = min(_positive(query.get("maxResults", str(default))), most)
    if store.state["settings"]["page_size"]:
        size = min(size, int(store.state["settings"]["page_size"]))
    number = 1
    if "pageToken" in query:
        state = _page_state(query["pageToken"], query)
        number = int(state["page"])
        items = [item for item in items if item["id"] > state["after"]]
    if len(items) <= size:
        return items, None
    page = items[:size]
    return page, _encode(
        {"revision": 0, "query": _without_page(query)} | kept | {"after": page[-1]["id"], "page": number + 1}
    )


def _page_state(token: str, query: Query) -> dict[str, Any]:
    try:
        state = _decode(token)
    except ValueError:
        raise bad_request("Invalid page token value.") from None
    if state.get("query") != _without_page(query):
        raise bad_request("The parameters differ from those of the first page")
    return state


def _without_page(query: Query) -> Query:
    return {name: value for name, value in query.items() if name not in {"pageToken"} | SYSTEM_PARAMETERS}


def _refuse_unknown(query: Query, known: frozenset[str]) -> None:
    unknown = sorted(query.keys() - known - SYSTEM_PARAMETERS)
    if unknown:
        raise bad_request(f"Not a parameter that the double knows: {', '.join(unknown)}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise bad_request("maxResults is not a positive number")
    return int(text)


def _time(query: Query, name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        parsed = datetime.fromisoformat(query[name])
    except ValueError:
        raise bad_request(f"{name} is not a time") from None
    if parsed.tzinfo is None:
        raise bad_request(f"{name} has no offset")
    return parsed


def _encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, sort_keys=True).encode()).decode()


def _decode(token: str) -> dict[str, Any]:
    try:
        return dict(json.loads(base64.urlsafe_b64decode(token)))
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise ValueError("not a token") from error
