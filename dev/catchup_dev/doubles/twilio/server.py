"""The double's HTTP server: authentication, routing, delivery of answers with their scripted faults."""

from __future__ import annotations

import base64
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from catchup_dev.doubles.answers import AnsweringHandler, ScriptedServer, serving
from catchup_dev.doubles.command import run_command
from catchup_dev.doubles.faults import Faults
from catchup_dev.doubles.twilio.faults import Fault
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, Control, Messages, TwilioError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

_MESSAGES = re.compile(r"/2010-04-01/Accounts/(?P<account>[^/]+)/Messages(/(?P<sid>[^/]+))?\.json")
_CREDENTIALS = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()


class TwilioServer(ScriptedServer):
    """Serves the double.

    Attributes:
        meanwhile: called with the kind of a request that has come and was not looked at yet; a test's own.
    """

    def __init__(self, address: tuple[str, int], *, outbox: Path | None = None) -> None:
        super().__init__(address, _Handler)
        self.store = Messages(outbox)
        self.faults = Faults(Fault)
        self.log: list[dict[str, Any]] = []
        self.control = Control(self.store, self.faults, self.log)
        self.lock = threading.RLock()
        self.meanwhile: Callable[[str], object] | None = None


def running(
    *, host: str = "127.0.0.1", port: int = 0, outbox: Path | None = None
) -> AbstractContextManager[TwilioServer]:
    """Serve in a thread of this process until the block ends; port 0 picks a free one."""
    return serving(TwilioServer((host, port), outbox=outbox))


class _Handler(AnsweringHandler):
    server: TwilioServer
    content_type = "application/json"
    huge_around = (b'{"sid":"', b'"}')

    def serve(self) -> None:
        """Serve a request."""
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if url.path == "/control" and self.command == "POST":
            with self.server.lock:
                self._send(*run_command(self.server.control, body))
            return
        if url.path == "/healthz":
            self._send(200, {"status": "ok"})
            return
        query, form = dict(parse_qsl(url.query)), dict(parse_qsl(body.decode(errors="replace")))
        kind, sid = self._kind(url.path)
        to = form.get("To") or query.get("To")
        if self.server.meanwhile is not None:
            self.server.meanwhile(kind)
        with self.server.lock:
            fault = self.server.faults.take(lambda fault: fault.kind in {None, kind} and fault.to in {None, to})
        if fault is not None and fault.delay and self.server.closing.wait(fault.delay):
            self.close_connection = True
            return
        headers: dict[str, str] = {}
        try:
            if fault is not None and fault.drop:
                self.close_connection = True
                return
            status, document = self._answer(kind, sid, to, form, fault)
        except TwilioError as error:
            status, document, headers = error.status, error.body, error.headers
        self.server.log.append({"kind": kind, "status": status, "fault": fault.id if fault else None})
        self._send(status, document, headers, fault)

    def _kind(self, path: str) -> tuple[str, str | None]:
        match = _MESSAGES.fullmatch(path)
        if match is None or match["account"] != ACCOUNT_SID:
            return "unknown", None
        if match["sid"]:
            return "fetch", match["sid"]
        return ("create" if self.command == "POST" else "list"), None

    def _answer(
        self, kind: str, sid: str | None, to: str | None, form: dict[str, str], fault: Fault | None
    ) -> tuple[int, dict[str, Any]]:
        if fault is not None and fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            raise TwilioError(fault.status, fault.code or fault.status, "scripted", headers)
        if (self.headers.get("Authorization") or "").removeprefix("Basic ") != _CREDENTIALS:
            raise TwilioError(401, 20003, "Authenticate")
        with self.server.lock:
            if kind == "create":
                return 201, self.server.store.create(form)
            if kind == "fetch":
                return 200, self.server.store.fetch(sid or "")
            if kind == "list":
                found = [] if fault is not None and fault.empty else self.server.store.list(to)
                return 200, {"messages": found, "page": 0, "page_size": 50, "next_page_uri": None, "uri": self.path}
        raise TwilioError(404, 20404, "The requested resource was not found")

    def _send(
        self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None, fault: Fault | None = None
    ) -> None:
        if fault is not None and fault.accept_then_drop:
            self.close_connection = True
        else:
            self.send_document(status, document, headers, fault)
