"""Google Calendar API v3 by the official client: the calendar list, and events in full or since a sync token."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from googleapiclient.discovery import build

from catchup_jobs.adapters.google.answers import Refusal, json_object, meaning_everywhere, read_refusal
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.google.pages import is_deleted, items_of, listed_calendar, require_page, token_of
from catchup_jobs.domain.calendar.event_resource import read_event
from catchup_jobs.domain.calendar.sync_window import FullSync, IncrementalSync
from catchup_jobs.domain.stored_enums import CalendarError
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
        "kind,nextPageToken,nextSyncToken,items(id,status,etag,updated,iCalUID,recurringEventId,originalStartTime,start,end,"
        "summary,description,location,attendees(self,responseStatus),transparency,eventType,hangoutLink,"
        "conferenceData(entryPoints(entryPointType)))"
    ),
}
PARAMS_HASH: Final = hashlib.sha256(json.dumps(_EVENT_PARAMETERS, sort_keys=True).encode()).hexdigest()[:16]

_LIST_PARAMETERS: Final = {
    "maxResults": 250,
    "showHidden": True,
    "fields": "kind,nextPageToken,items(id,summary,summaryOverride,primary,accessRole,deleted,timeZone)",
}

MOST_PAGES: Final = 200
"""The most pages of Google that are read of one list: 100,000 events of six weeks, or 50,000 calendars. Google's
documents name no limit, and a page may hold fewer than were asked for.
"""

_LIST_KIND, _EVENTS_KIND = "calendar#calendarList", "calendar#events"

_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 200, 400, 401, 403, 404, 410


class _RefusedError(Exception):
    """Google answered with another status than 200."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"Google answers {refusal.status}")
        self.refusal = refusal


class _Methods(NamedTuple):
    """The methods that make requests of keyword arguments."""

    list_calendars: Any
    list_events: Any


@cache
def _build_methods(endpoint: str) -> _Methods:
    client = build(
        "calendar",
        "v3",
        http=Http(),
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": endpoint},
    )
    # Each call of `events()` would make the methods of all its requests anew.
    return _Methods(client.calendarList().list, client.events().list)


_building: Final = threading.Lock()


def _methods(endpoint: str) -> _Methods:
    """Return the methods of Google's client, which sends no request here: any number of threads may use it.

    It takes some 40 ms and some MB to read its description of the API.
    """
    with _building:
        return _build_methods(endpoint)


class CalendarService:
    """The connections to Google of one thread, for any number of users. Not thread-safe, as httplib2 is not."""

    def __init__(self, endpoint: str | None = None, *, http: Http | None = None) -> None:
        self.http = http or Http()
        self.methods = _methods(endpoint or DEFAULT_ENDPOINT)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


class GoogleCalendar:
    """One user's calendars.

    Attributes:
        requests: how many requests were made.
        pages: how many pages came, of the list and of events.
    """

    params_hash = PARAMS_HASH

    def __init__(
        self,
        service: CalendarService,
        tokens: AccessTokens,
        await_turn: Callable[[], None],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self.requests = 0
        self.pages = 0
        self._tokens = tokens
        self._await_turn = await_turn
        self._now = now
        self._http = service.http
        self._methods = service.methods

    def calendars(self) -> Iterator[list[ListedCalendar | None]]:
        """Yield the pages of the user's calendar list, with None for an entry that cannot be read.

        Hidden calendars are included: they block time if selected.

        Raises:
            ReconnectNeededError: the consent ended or does not cover calendars.
            JobError: its class says whether another attempt may succeed.
        """
        has_primary = False
        endless = PermanentError(f"Google's calendar list has more than {MOST_PAGES} pages")
        for document in self._pages(self._methods.list_calendars, _LIST_PARAMETERS, _LIST_KIND, _list_error, endless):
            page = [listed_calendar(entry) for entry in items_of(document) if not is_deleted(entry)]
            has_primary = has_primary or any(calendar is not None and calendar.primary for calendar in page)
            yield page
        if not has_primary:
            raise TemporaryError("Google's calendar list lacks the primary calendar, which every account has")

    def events(
        self, calendar_id: str, how: FullSync | IncrementalSync, *, first_page: str | None = None
    ) -> Iterator[SyncedEvents]:
        """Yield the pages of a calendar's events; only the last one has the next sync token.

        Args:
            calendar_id: the calendar.
            how: all of it, or what changed; with `first_page` the same as when that was named.
            first_page: the page to begin with, None for the first one.

        Raises:
            SyncTokenExpiredError: the calendar needs a full sync.
            CalendarFailedError: this calendar cannot be read now; others may.
            ReconnectNeededError: the consent ended.
            JobError: its class says whether another attempt may succeed.
        """
        incremental = isinstance(how, IncrementalSync)
        bounds: dict[str, str]
        if isinstance(how, IncrementalSync):
            bounds = {"syncToken": how.sync_token}
        else:
            bounds = {"timeMin": how.window.start.isoformat(), "timeMax": how.window.end.isoformat()}
        parameters = {"calendarId": calendar_id, **_EVENT_PARAMETERS, **bounds}
        meaning = partial(_events_error, incremental=incremental)
        endless = CalendarFailedError(
            f"a calendar's events have more than {MOST_PAGES} pages", reason=CalendarError.BAD_DATA
        )
        for document in self._pages(
            self._methods.list_events, parameters, _EVENTS_KIND, meaning, endless, first_page=first_page
        ):
            next_page = token_of(document, "nextPageToken")
            sync_token = token_of(document, "nextSyncToken") if next_page is None else None
            if next_page is None and sync_token is None:
                raise TemporaryError("the last page of a calendar's events has no sync token")
            yield SyncedEvents(tuple(read_event(item) for item in items_of(document)), sync_token, next_page)

    def _pages(
        self,
        method: Any,
        parameters: dict[str, Any],
        kind: str,
        meaning: Callable[[Refusal], Exception],
        endless: Exception,
        *,
        first_page: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list.

        Args:
            method: makes a request of keyword arguments.
            kind: what a page calls itself.
            meaning: what a refusal means that does not mean the same everywhere.
            endless: what it means that more than `MOST_PAGES` come.
            first_page: the page to begin with, None for the first one.
        """
        page_token = first_page
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            try:
                document = self._execute(method(**parameters, pageToken=page_token))
            except _RefusedError as error:
                raise meaning(error.refusal) from None
            require_page(document, kind)
            self.pages += 1
            yield document
            page_token = token_of(document, "nextPageToken")
            if page_token is None:
                return
            if page_token in seen:
                raise TemporaryError("Google's pages name each other as the next one")
            seen.add(page_token)
        raise endless

    def _execute(self, request: Any) -> dict[str, Any]:
        token = self._tokens.current()
        try:
            return self._send(request, token)
        except _RefusedError as error:
            if error.refusal.status != _UNAUTHORIZED:
                raise
        try:
            return self._send(request, self._tokens.renewed(token))
        except _RefusedError as error:
            if error.refusal.status == _UNAUTHORIZED:
                raise TemporaryError("Google refuses an access token that it has just given") from None
            raise

    def _send(self, request: Any, token: str) -> dict[str, Any]:
        request.headers["authorization"] = f"Bearer {token}"
        self._await_turn()
        self.requests += 1
        # Not `request.execute()`, which fails on bodies of another shape than Google's.
        response, content = self._http.request(request.uri, request.method, headers=request.headers)
        if response.status == _OK:
            return json_object(content)
        refusal = read_refusal(response.status, response, content, now=self._now())
        known = meaning_everywhere(refusal) if refusal.status != _UNAUTHORIZED else None
        raise known or _RefusedError(refusal)


def _list_error(refusal: Refusal) -> Exception:
    if refusal.status == _FORBIDDEN and refusal.is_json:
        return PermanentError("Google forbids reading this user's calendar list")
    # Google's own front end answers 404 in HTML where the address is not the API's.
    if refusal.status == _NOT_FOUND or refusal.is_googles:
        return MisconfiguredError(
            f"Google answers {refusal.status} to the calendar list: check CATCHUP_GOOGLE_API_ENDPOINT"
        )
    return TemporaryError(f"the calendar list is answered with {refusal.status}, and not by Google")


def _events_error(refusal: Refusal, *, incremental: bool) -> Exception:
    status = refusal.status
    message = f"Google answers {status} to a calendar's events"
    # 400 with a sync token: Google no longer accepts the token with these parameters. A full sync solves both.
    if incremental and status in {_GONE, _BAD_REQUEST}:
        return SyncTokenExpiredError("the sync token is no longer good")
    if status == _FORBIDDEN and refusal.is_json:
        return CalendarFailedError(message, reason=CalendarError.FORBIDDEN)
    if not refusal.is_googles:
        return TemporaryError(f"a calendar's events are answered with {status}, and not by Google")
    return CalendarFailedError(
        message, reason=CalendarError.NOT_FOUND if status == _NOT_FOUND else CalendarError.BAD_DATA
    )
