"""What the double knows: users, calendars, events, and what changed in which revision; kept in a JSON file."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catchup_dev.doubles.google import recurrence

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.doubles.google.recurrence import Resource

DEFAULT_CLIENT_ID = "catchup-double"
DEFAULT_CLIENT_SECRET = "catchup-double-secret"  # noqa: S105 - a made-up client of a double

DEFAULT_SETTINGS: dict[str, Any] = {
    "page_size": None,  # at most so many items a page, whatever the client asks for
    "access_token_seconds": 3600,
    "rotate_refresh_tokens": False,
}


class UnknownThingError(LookupError):
    """A control command names a user, calendar or event that does not exist."""


class Store:
    """The double's state. Every public method is atomic; `save` writes the whole of it."""

    def __init__(self, path: Path | None = None) -> None:
        self.lock = threading.RLock()
        self._path = path
        self.state: dict[str, Any] = empty_state()
        if path is not None and path.exists():
            self.state |= json.loads(path.read_text(encoding="utf-8"))

    def save(self) -> None:
        """Write the state so that a double started with the same file goes on where this one was."""
        if self._path is None:
            return
        with self.lock:
            text = json.dumps(self.state)
            partial = self._path.with_name(f".{self._path.name}.partial")
            partial.touch(mode=0o600)
            partial.write_text(text, encoding="utf-8")
            partial.replace(self._path)

    def reset(self) -> None:
        """Forget everything."""
        with self.lock:
            self.state = empty_state()

    def user(self, email: str) -> dict[str, Any]:
        """Return a user's calendar list entries by calendar id, under `calendars`."""
        try:
            found: dict[str, Any] = self.state["users"][email]
        except KeyError:
            raise UnknownThingError(f"no user {email}") from None
        return found

    def calendar(self, calendar_id: str) -> dict[str, Any]:
        """Return a calendar: its zone, events, revision and what was touched in which revision."""
        try:
            found: dict[str, Any] = self.state["calendars"][calendar_id]
        except KeyError:
            raise UnknownThingError(f"no calendar {calendar_id}") from None
        return found

    def add_user(self, email: str, *, time_zone: str) -> None:
        """Add a user with a primary calendar, whose id is the address as at Google."""
        with self.lock:
            self.state["users"].setdefault(email, {"calendars": {}, "time_zone": time_zone})
            self.add_calendar(email, email, summary=email, time_zone=time_zone, primary=True)

    def add_calendar(
        self, email: str, calendar_id: str, *, summary: str, time_zone: str, primary: bool = False, role: str = "owner"
    ) -> None:
        """Put a calendar on a user's list; make it if it does not exist."""
        with self.lock:
            self.state["calendars"].setdefault(
                calendar_id,
                {"time_zone": time_zone, "revision": 1, "floor": 0, "events": {}, "touched": {}, "tombstones": {}},
            )
            entry: dict[str, Any] = {
                "kind": "calendar#calendarListEntry",
                "id": calendar_id,
                "summary": summary,
                "timeZone": time_zone,
                "accessRole": role,
                "selected": True,
            }
            if primary:
                entry["primary"] = True
            self.user(email)["calendars"][calendar_id] = entry

    def remove_calendar(self, email: str, calendar_id: str) -> None:
        """Take a calendar off a user's list."""
        with self.lock:
            self.user(email)["calendars"].pop(calendar_id, None)

    def put_event(self, calendar_id: str, event_id: str, fields: Resource) -> None:
        """Add an event or change the fields given; every instance of a series counts as changed."""
        with self.lock:
            events = self.calendar(calendar_id)["events"]
            old = events.get(event_id)
            base = old or {"kind": "calendar#event", "id": event_id, "status": "confirmed", "eventType": "default"}
            new = base | {"iCalUID": f"{event_id}@double"} | fields
            self._record(calendar_id, event_id, old, new)
            events[event_id] = new

    def put_instance(self, calendar_id: str, instance_id: str, fields: Resource) -> None:
        """Change or cancel (`status: cancelled`) one instance of a series."""
        with self.lock:
            calendar = self.calendar(calendar_id)
            master_id = instance_id.rpartition("_")[0]
            if master_id not in calendar["events"]:
                raise UnknownThingError(f"no event {master_id} in {calendar_id}")
            overrides = calendar["events"][master_id].setdefault("_overrides", {})
            overrides[instance_id] = overrides.get(instance_id, {}) | fields
            revision = self._next_revision(calendar)
            if fields.get("status") == "cancelled":
                calendar["tombstones"][instance_id] = revision
                calendar["touched"].pop(instance_id, None)
            else:
                overrides[instance_id] |= _stamp(revision)
                calendar["touched"][instance_id] = revision

    def delete_event(self, calendar_id: str, event_id: str) -> None:
        """Delete an event; a series with all its instances."""
        with self.lock:
            events = self.calendar(calendar_id)["events"]
            if event_id not in events:
                raise UnknownThingError(f"no event {event_id} in {calendar_id}")
            self._record(calendar_id, event_id, events.pop(event_id), None)

    def invalidate_sync_tokens(self, calendar_id: str) -> None:
        """Refuse every sync token given so far with 410 `fullSyncRequired`."""
        with self.lock:
            calendar = self.calendar(calendar_id)
            calendar["floor"] = self._next_revision(calendar)

    def _record(self, calendar_id: str, event_id: str, old: Resource | None, new: Resource | None) -> None:
        calendar = self.calendar(calendar_id)
        revision = self._next_revision(calendar)
        shown = set() if new is None else {item["id"] for item in expanded(new)}
        hidden = (set() if old is None else {item["id"] for item in expanded(old)}) - shown
        for gone in hidden:
            calendar["tombstones"][gone] = revision
            calendar["touched"].pop(gone, None)
        for present in shown:
            calendar["tombstones"].pop(present, None)
        calendar["touched"].pop(event_id, None)
        if new is not None:
            calendar["touched"][event_id] = revision
            new |= _stamp(revision)

    @staticmethod
    def _next_revision(calendar: dict[str, Any]) -> int:
        calendar["revision"] += 1
        return int(calendar["revision"])


def empty_state() -> dict[str, Any]:
    """Return the state of a double that was never used."""
    return {
        "clients": {DEFAULT_CLIENT_ID: DEFAULT_CLIENT_SECRET},
        "users": {},
        "calendars": {},
        "codes": {},
        "refresh_tokens": {},
        "access_tokens": {},
        "settings": dict(DEFAULT_SETTINGS),
    }


def expanded(resource: Resource) -> list[Resource]:
    """Return an event's instances, or the event itself when it does not recur."""
    return list(recurrence.instances(resource)) if "recurrence" in resource else [resource]


def _stamp(revision: int) -> Resource:
    return {"etag": f'"{revision}"', "updated": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"}
