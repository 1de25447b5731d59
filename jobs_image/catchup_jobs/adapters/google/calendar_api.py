"""Google Calendar API v3 by the official client: the calendar list, and events in full or since a sync token."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from catchup_jobs.adapters.google.http import Http, retry_after_seconds
from catchup_jobs.domain.calendar.events import CalendarEvent, MalformedEventError, Tombstone, read_event, storable
from catchup_jobs.domain.calendar.oauth import ReconnectNeededError
from catchup_jobs.domain.calendar.sync_window import FullSync, IncrementalSync
from catchup_jobs.domain.vocabulary import CalendarError
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.sync.ports import (
    AccessTokens,
    CalendarFailedError,
    ListedCalendar,
    SyncedEvents,
    SyncTokenExpiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

# At DEBUG the client logs URLs with calendar ids, which are email addresses.
logging.getLogger("googleapiclient").setLevel(logging.WARNING)

DEFAULT_ENDPOINT: Final = "https://www.googleapis.com/calendar/v3/"

# These must be the same in the first request and in those with its sync token; PARAMS_HASH identifies them.
_EVENT_PARAMETERS: Final = {
    "singleEvents": True,
    "maxResults": 500,
    "fields": (
        "nextPageToken,nextSyncToken,items(id,status,etag,updated,iCalUID,recurringEventId,originalStartTime,start,end,"
        "summary,description,location,attendees(self,responseStatus),transparency,eventType)"
    ),
}
PARAMS_HASH: Final = hashlib.sha256(json.dumps(_EVENT_PARAMETERS, sort_keys=True).encode()).hexdigest()[:16]

_LIST_PARAMETERS: Final = {
    "maxResults": 250,
    "showHidden": True,
    "fields": "nextPageToken,items(id,summary,summaryOverride,primary,accessRole,deleted,timeZone)",
}

_USAGE_LIMITS: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "limitExceeded"}
)
_API_SWITCHED_OFF: Final = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_SCOPE_MISSING: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})

_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 400, 401, 403, 404, 410
_TOO_MANY, _SERVER_ERROR = 429, 500


class GoogleCalendar:
    """One user's calendars. Not thread-safe, as httplib2 is not.

    Attributes:
        requests: how many requests were made.
        pages: how many pages came, of the list and of events.
    """

    params_hash = PARAMS_HASH

    def __init__(
        self,
        tokens: AccessTokens,
        await_turn: Callable[[], None],
        *,
        now: Callable[[], datetime],
        endpoint: str | None = None,
        http: Http | None = None,
    ) -> None:
        self.requests = 0
        self.pages = 0
        self._tokens = tokens
        self._await_turn = await_turn
        self._now = now
        self._service: Any = build(
            "calendar",
            "v3",
            http=http or Http(),
            static_discovery=True,
            cache_discovery=False,
            client_options={"api_endpoint": endpoint or DEFAULT_ENDPOINT},
        )

    def calendars(self) -> Iterator[list[ListedCalendar]]:
        """Yield the pages of the user's calendar list. Hidden calendars are included: they block time if selected.

        Raises:
            ReconnectNeededError: the consent ended or does not cover calendars.
            JobError: its class says whether another attempt may succeed.
        """
        page_token: str | None = None
        while True:
            request = self._service.calendarList().list(**_LIST_PARAMETERS, pageToken=page_token)
            try:
                document = self._execute(request)
            except HttpError as error:
                raise _list_error(error) from None
            yield [_listed(entry) for entry in _items(document) if not entry.get("deleted")]
            page_token = document.get("nextPageToken")
            if not page_token:
                return

    def events(self, calendar_id: str, how: FullSync | IncrementalSync) -> Iterator[SyncedEvents]:
        """Yield the pages of a calendar's events; only the last one has the next sync token.

        Raises:
            SyncTokenExpiredError: the calendar needs a full sync.
            CalendarFailedError: this calendar cannot be read now; others may.
            ReconnectNeededError: the consent ended.
            JobError: its class says whether another attempt may succeed.
        """
        bounds: dict[str, str]
        if isinstance(how, IncrementalSync):
            bounds = {"syncToken": how.sync_token}
        else:
            bounds = {"timeMin": how.window.start.isoformat(), "timeMax": how.window.end.isoformat()}
        page_token: str | None = None
        while True:
            request = self._service.events().list(
                calendarId=calendar_id, **_EVENT_PARAMETERS, **bounds, pageToken=page_token
            )
            try:
                document = self._execute(request)
            except HttpError as error:
                raise _events_error(error, incremental=isinstance(how, IncrementalSync)) from None
            page_token = document.get("nextPageToken")
            yield SyncedEvents(_events(document), None if page_token else document.get("nextSyncToken"))
            if not page_token:
                return

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _execute(self, request: Any) -> dict[str, Any]:
        token = self._tokens.current()
        try:
            return self._send(request, token)
        except HttpError as error:
            if error.resp.status != _UNAUTHORIZED:
                raise self._classified(error) from None
        try:
            return self._send(request, self._tokens.renewed(token))
        except HttpError as error:
            if error.resp.status == _UNAUTHORIZED:
                raise TemporaryError("Google refuses an access token that it has just given") from None
            raise self._classified(error) from None

    def _send(self, request: Any, token: str) -> dict[str, Any]:
        request.headers["authorization"] = f"Bearer {token}"
        self._await_turn()
        self.requests += 1
        try:
            document = request.execute()
        except (ValueError, RecursionError) as error:
            raise TemporaryError(f"Google's answer is not JSON ({type(error).__name__})") from None
        if not isinstance(document, dict):
            raise TemporaryError("Google's answer is not a JSON object")
        self.pages += 1
        return document

    def _classified(self, error: Any) -> Exception:
        """Return the meaning of an error that means the same for every request, else the error itself."""
        status, reasons = error.resp.status, _reasons(error)
        if status == _TOO_MANY or (status == _FORBIDDEN and reasons & _USAGE_LIMITS):
            wait = retry_after_seconds(error.resp, now=self._now())
            return TemporaryError("Google's usage limit is reached", wait_seconds=wait)
        if status >= _SERVER_ERROR:
            # An outage counts as an attempt even with `Retry-After`; only the wait for a quota does not.
            return TemporaryError(f"Google Calendar answers {status}")
        if status == _FORBIDDEN and reasons & _API_SWITCHED_OFF:
            return MisconfiguredError("the Calendar API is switched off in the Google Cloud project of this client")
        if status == _FORBIDDEN and reasons & _SCOPE_MISSING:
            return ReconnectNeededError("the user's consent does not cover calendars")
        unclassified: Exception = error
        return unclassified


def _list_error(error: HttpError) -> Exception:
    status = error.resp.status
    if status == _FORBIDDEN:
        return PermanentError("Google forbids reading this user's calendar list")
    return MisconfiguredError(f"Google answers {status} to the calendar list: check CATCHUP_GOOGLE_API_ENDPOINT")


def _events_error(error: HttpError, *, incremental: bool) -> Exception:
    status = error.resp.status
    # 400 with a sync token: Google no longer accepts the token with these parameters. A full sync solves both.
    if incremental and status in {_GONE, _BAD_REQUEST}:
        return SyncTokenExpiredError("the sync token is no longer good")
    reason = {_FORBIDDEN: CalendarError.FORBIDDEN, _NOT_FOUND: CalendarError.NOT_FOUND}.get(
        status, CalendarError.BAD_DATA
    )
    return CalendarFailedError(f"Google answers {status} to a calendar's events", reason=reason)


def _events(document: dict[str, Any]) -> tuple[CalendarEvent | Tombstone, ...]:
    try:
        return tuple(read_event(item) for item in _items(document))
    except MalformedEventError as error:
        message = f"a calendar holds an event that cannot be read: {error}"
        raise CalendarFailedError(message, reason=CalendarError.BAD_DATA) from None


def _listed(entry: dict[str, Any]) -> ListedCalendar:
    google_id, summary = entry.get("id"), entry.get("summaryOverride") or entry.get("summary") or ""
    if not isinstance(google_id, str) or not google_id or not isinstance(summary, str):
        raise TemporaryError("Google's calendar list holds an entry that cannot be read")
    time_zone = entry.get("timeZone")
    return ListedCalendar(
        google_id=google_id,
        summary=storable(summary),
        primary=entry.get("primary") is True,
        access_role=str(entry.get("accessRole") or "reader"),
        time_zone=time_zone if isinstance(time_zone, str) else None,
    )


def _items(document: dict[str, Any]) -> list[dict[str, Any]]:
    items = document.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TemporaryError("Google's answer holds something else than items")
    return items


def _reasons(error: HttpError) -> frozenset[str]:
    """Return the machine-readable reasons of an error body, old style and new."""
    try:
        body = json.loads(error.content)["error"]
        details = [*body.get("errors", ()), *body.get("details", ())]
        return frozenset(str(detail["reason"]) for detail in details if "reason" in detail)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return frozenset()
