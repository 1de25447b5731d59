"""What scripts may do to the double; every public method is a command of the control API."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from catchup_dev.doubles.google import oauth
from catchup_dev.doubles.google.calendars import shown
from catchup_dev.doubles.google.store import DEFAULT_CLIENT_ID, Store

if TYPE_CHECKING:
    from catchup_dev.doubles.faults import Faults
    from catchup_dev.doubles.google.faults import Fault
    from catchup_dev.doubles.google.recurrence import Resource

SCOPE = "https://www.googleapis.com/auth/calendar.readonly"


class Control:
    """Changes calendars, scripts faults, reads the log. Arguments and results are JSON values."""

    def __init__(self, store: Store, faults: Faults[Fault], log: list[dict[str, Any]], url: str) -> None:
        self._store = store
        self._faults = faults
        self._log = log
        self._url = url
        self.cleared_at = 0.0

    def add_client(self, client_id: str, secret: str) -> None:
        """Register an OAuth client."""
        self._store.state["clients"][client_id] = secret

    def add_user(self, email: str, time_zone: str = "UTC") -> None:
        """Add a user with a primary calendar of the same id."""
        self._store.add_user(email, time_zone=time_zone)

    def grant(self, email: str, client_id: str = DEFAULT_CLIENT_ID, expires_in: int | None = None) -> dict[str, Any]:
        """Consent for a user and return an "authorized user" token file (the format of google-auth).

        Args:
            email: the user.
            client_id: the OAuth client that gets the grant.
            expires_in: let the access token expire after so many seconds, 0 for at once.
        """
        answer = oauth.grant(self._store, email, client=client_id, scope=SCOPE)
        if expires_in is not None:
            kept = self._store.state["access_tokens"][answer["access_token"]]
            kept["expires_at"] += expires_in - int(answer["expires_in"])
        expiry = self._store.state["access_tokens"][answer["access_token"]]["expires_at"]
        return {
            "type": "authorized_user",
            "token": answer["access_token"],
            "refresh_token": answer["refresh_token"],
            "token_uri": f"{self._url}/token",
            "client_id": client_id,
            "client_secret": self._store.state["clients"][client_id],
            "scopes": [SCOPE],
            "expiry": f"{datetime.fromtimestamp(expiry, ZoneInfo('UTC')):%Y-%m-%dT%H:%M:%SZ}",
        }

    def expire_access_tokens(self, email: str | None = None) -> int:
        """Let every access token (of one user) expire now; return how many."""
        found = [
            kept
            for kept in self._store.state["access_tokens"].values()
            if email in {None, kept["user"]} and kept["expires_at"]
        ]
        for kept in found:
            kept["expires_at"] = 0
        return len(found)

    def revoke(self, email: str) -> int:
        """Take back all of a user's grants, as the user does at myaccount.google.com; return how many."""
        tokens = [name for name, kept in self._store.state["refresh_tokens"].items() if kept["user"] == email]
        for name in tokens:
            oauth.drop_grant(self._store, name)
        return len(tokens)

    def add_calendar(
        self,
        email: str,
        calendar_id: str,
        summary: str | None = None,
        time_zone: str = "UTC",
        role: str = "owner",
    ) -> None:
        """Put a calendar on a user's list, making it if need be."""
        self._store.add_calendar(email, calendar_id, summary=summary or calendar_id, time_zone=time_zone, role=role)

    def remove_calendar(self, email: str, calendar_id: str) -> None:
        """Take a calendar off a user's list."""
        self._store.remove_calendar(email, calendar_id)

    def put_event(self, calendar_id: str, event_id: str, fields: Resource) -> None:
        """Add or change an event by Google's own field names."""
        self._store.put_event(calendar_id, event_id, fields)

    def put_instance(self, calendar_id: str, instance_id: str, fields: Resource) -> None:
        """Change one instance of a series, or cancel it with `{"status": "cancelled"}`."""
        self._store.put_instance(calendar_id, instance_id, fields)

    def add_event(
        self,
        calendar_id: str,
        event_id: str,
        title: str,
        *,
        at: str,
        minutes: int = 60,
        days: int = 0,
        repeat: str | None = None,
        free: bool = False,
    ) -> None:
        """Add an event by the calendar's local time.

        Args:
            calendar_id: the calendar.
            event_id: the id, chosen by the caller so that it can be moved later.
            title: the summary.
            at: `2026-11-24 15:00`, or `+1d 15:00` from today; only the date for an all-day event.
            minutes: the length of a timed event.
            days: the length in days of an all-day event; 0 for a timed one.
            repeat: an RRULE such as `FREQ=WEEKLY;BYDAY=MO`.
            free: whether it does not block (`transparency: transparent`).
        """
        fields: Resource = {"summary": title, **self._span(calendar_id, at, minutes=minutes, days=days)}
        if repeat is not None:
            fields["recurrence"] = [f"RRULE:{repeat}"]
        if free:
            fields["transparency"] = "transparent"
        self._store.put_event(calendar_id, event_id, fields)

    def move_event(self, calendar_id: str, event_id: str, *, at: str, minutes: int = 60, days: int = 0) -> None:
        """Move an event to another time (as in `add_event`)."""
        if event_id not in self._store.calendar(calendar_id)["events"]:
            raise LookupError(f"no event {event_id} in {calendar_id}")
        self._store.put_event(calendar_id, event_id, self._span(calendar_id, at, minutes=minutes, days=days))

    def delete_event(self, calendar_id: str, event_id: str) -> None:
        """Delete an event, or a series whole."""
        self._store.delete_event(calendar_id, event_id)

    def list_events(self, calendar_id: str) -> list[Resource]:
        """Return the events of a calendar as they were put in (series are not expanded)."""
        return [shown(event) for event in self._store.calendar(calendar_id)["events"].values()]

    def invalidate_sync_tokens(self, calendar_id: str) -> None:
        """Answer every sync token given so far with 410 `fullSyncRequired`."""
        self._store.invalidate_sync_tokens(calendar_id)

    def set(self, **settings: Any) -> None:
        """Change `page_size`, `access_token_seconds` or `rotate_refresh_tokens`."""
        unknown = settings.keys() - self._store.state["settings"].keys()
        if unknown:
            raise LookupError(f"no setting {', '.join(sorted(unknown))}")
        self._store.state["settings"] |= settings

    def add_fault(self, **fields: Any) -> int:
        """Script a fault (fields of `faults.Fault`) and return its id."""
        return self._faults.add(**fields)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults with how often each fired."""
        return self._faults.list()

    def clear_faults(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests of Google's clients since the start or `clear_requests`."""
        return list(self._log)

    def clear_requests(self) -> None:
        """Empty the log."""
        self._log.clear()
        self.cleared_at = time.time()

    def reset(self) -> None:
        """Forget all users, calendars, tokens, faults and requests."""
        self._store.reset()
        self._faults.clear()
        self.clear_requests()

    def _span(self, calendar_id: str, at: str, *, minutes: int, days: int) -> Resource:
        zone = ZoneInfo(self._store.calendar(calendar_id)["time_zone"])
        day_text, _, time_text = at.strip().partition(" ")
        if day_text.startswith("+"):
            day = datetime.now(zone).date() + timedelta(days=int(day_text.removeprefix("+").removesuffix("d")))
        else:
            day = date.fromisoformat(day_text)
        if days:
            return {"start": {"date": day.isoformat()}, "end": {"date": (day + timedelta(days=days)).isoformat()}}
        start = datetime.fromisoformat(f"{day}T{time_text}").replace(tzinfo=zone)
        end = datetime.fromtimestamp(start.timestamp() + minutes * 60, zone)
        return {
            "start": {"dateTime": start.isoformat(), "timeZone": zone.key},
            "end": {"dateTime": end.isoformat(), "timeZone": zone.key},
        }
