"""The double's HTTP server: routing, delivery (and its scripted faults), the log of requests."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from catchup_dev.doubles.answers import AnsweringHandler, ScriptedServer, serving
from catchup_dev.doubles.command import run_command
from catchup_dev.doubles.faults import Faults
from catchup_dev.doubles.google import calendars, fields, oauth
from catchup_dev.doubles.google.control import Control
from catchup_dev.doubles.google.errors import GoogleError, OAuthError, bad_request, not_found
from catchup_dev.doubles.google.faults import Fault, Request
from catchup_dev.doubles.google.store import Store

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

API_PATH = "/calendar/v3/"
CONTROL_PATH = "/control"
MAX_LOG = 100_000


class GoogleServer(ScriptedServer):
    """Serves the double."""

    def __init__(self, address: tuple[str, int], *, state: Path | None = None) -> None:
        super().__init__(address, _Handler)
        self.store = Store(state)
        self.faults = Faults(Fault)
        self.log: list[dict[str, Any]] = []
        self.control = Control(self.store, self.faults, self.log, self.url)


def running(
    *, host: str = "127.0.0.1", port: int = 0, state: Path | None = None
) -> AbstractContextManager[GoogleServer]:
    """Serve in a thread of this process until the block ends; port 0 picks a free one."""
    return serving(GoogleServer((host, port), state=state))


class _Handler(AnsweringHandler):
    server: GoogleServer
    content_type = "application/json; charset=UTF-8"
    huge_around = (b'{"items":[],"padding":"', b'"}')

    def serve(self) -> None:
        """Serve a request."""
        self._arrived_at = time.time()
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if url.path == CONTROL_PATH and self.command == "POST":
            self._control(body)
            return
        if url.path == "/healthz":
            self._send(200, {"status": "ok"})
            return
        form = self._form(body)
        try:
            request = self._describe(url.path, query, form)
        except (GoogleError, OAuthError) as error:
            self._record(Request(kind="refused"), error.status, None)
            self._send(error.status, error.body, error.headers)
            return
        with self.server.store.lock:
            fault = self.server.faults.take(lambda fault: fault.matches(request))
        if fault is not None and fault.delay and self.server.closing.wait(fault.delay):
            self.close_connection = True
            return
        answer = fault.answer() if fault else None
        headers: dict[str, str] = {}
        document: dict[str, Any] = {}
        try:
            if answer is not None:
                raise answer
            document, headers = self._answer(request, query, form)
            status = 302 if "Location" in headers else 200
        except (GoogleError, OAuthError) as error:
            status, document, headers = error.status, error.body, error.headers
        self._record(request, status, fault)
        self._send(status, document, headers, fault)

    def _form(self, body: bytes) -> dict[str, str]:
        if self.command != "POST":
            return {}
        form = dict(parse_qsl(body.decode(errors="replace")))
        scheme, _, credentials = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            # The client's other way to name itself (RFC 6749, section 2.3.1).
            client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
            form |= {"client_id": unquote(client_id), "client_secret": unquote(secret)}
        return form

    def _describe(self, path: str, query: dict[str, str], form: dict[str, str]) -> Request:
        store = self.server.store
        if path == "/token":
            return Request("token", user=oauth.user_of_refresh_token(store, form))
        if path == "/revoke":
            return Request("revoke")
        if path == "/o/oauth2/v2/auth":
            return Request("authorize", user=query.get("login_hint"))
        user = oauth.user_of(store, self.headers.get("Authorization"))
        page = calendars.page_number(query)
        parts = path.removeprefix(API_PATH).split("/")
        if parts == ["users", "me", "calendarList"]:
            return Request("calendarList", user=user, page=page)
        if path.startswith(API_PATH) and len(parts) == 3 and (parts[0], parts[2]) == ("calendars", "events"):  # noqa: PLR2004
            sync = "incremental" if "syncToken" in query else "full"
            return Request("events", user=user, calendar=unquote(parts[1]), page=page, sync=sync)
        raise not_found()

    def _answer(
        self, request: Request, query: dict[str, str], form: dict[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        store = self.server.store
        if request.kind == "authorize":
            location = oauth.authorize(store, query)
            store.save()
            return {}, {"Location": location}
        if request.kind == "token":
            answer = oauth.token(store, form)
            store.save()
            return answer, {}
        if request.kind == "revoke":
            oauth.revoke(store, form)
            store.save()
            return {}, {}
        assert request.user is not None  # noqa: S101 - _describe saw to it
        with store.lock:
            if request.kind == "calendarList":
                document = calendars.list_calendars(store, request.user, query)
            else:
                document = calendars.list_events(store, request.user, request.calendar or "", query)
        try:
            return fields.apply(document, fields.parse(query["fields"]) if "fields" in query else {}), {}
        except fields.InvalidFieldsError:
            raise bad_request("Invalid field selection") from None

    def _control(self, body: bytes) -> None:
        with self.server.store.lock:
            answer = run_command(self.server.control, body)
            self.server.store.save()
        self._send(*answer)

    def _record(self, request: Request, status: int, fault: Fault | None) -> None:
        # A request that a scripted delay held until after `clear_requests` is none of the next test's.
        if self._arrived_at >= self.server.control.cleared_at and len(self.server.log) < MAX_LOG:
            entry = {"kind": request.kind, "user": request.user, "calendar": request.calendar, "page": request.page}
            entry |= {"sync": request.sync, "status": status, "fault": fault.id if fault else None}
            self.server.log.append({**entry, "at": self._arrived_at})

    def _send(
        self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None, fault: Fault | None = None
    ) -> None:
        if fault is not None and fault.drop:
            self.close_connection = True
        else:
            self.send_document(status, document, headers, fault)
