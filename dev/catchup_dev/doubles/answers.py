"""How the HTTP doubles answer: JSON, by the script of a fault where there is one."""

from __future__ import annotations

import json
from abc import abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import threading


class ScriptedServer(ThreadingHTTPServer):
    """A server whose scripted waits end with it."""

    closing: threading.Event


class ScriptedAnswer(Protocol):
    """What a double's fault says of the answer itself (see each double's `Fault`)."""

    body: str | None
    huge: int
    drip: float
    drip_head: float
    truncate: bool
    fired: int


class AnsweringHandler(BaseHTTPRequestHandler):
    """Sends answers; a double's own handler decides which.

    Attributes:
        content_type: of every answer.
        huge_around: what is before and after the padding of a huge one.
    """

    server: ScriptedServer
    content_type: ClassVar[str]
    huge_around: ClassVar[tuple[bytes, bytes]]
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one packet; two would wait for the client's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Keep the terminal quiet; `requests` shows the log."""

    def do_GET(self) -> None:
        """Serve a GET."""
        self.serve()

    def do_POST(self) -> None:
        """Serve a POST."""
        self.serve()

    @abstractmethod
    def serve(self) -> None:
        """Serve a request of any method."""

    def send_document(
        self,
        status: int,
        document: dict[str, Any],
        headers: dict[str, str] | None = None,
        fault: ScriptedAnswer | None = None,
    ) -> None:
        """Answer with a document, or with what the fault makes of it."""
        body = json.dumps(document).encode()
        if fault is not None and fault.body is not None:
            body = fault.body.replace("{fired}", str(fault.fired)).encode()
        if fault is not None and fault.huge:
            before, after = self.huge_around
            body = before + b"x" * fault.huge + after
        try:
            if fault is not None and fault.drip_head:
                self._drip(f"HTTP/1.1 {status} \r\n".encode(), fault.drip_head)
            else:
                self.send_response(status)
            self.send_header("Content-Type", self.content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self._write(body, fault)
        except ConnectionError:
            self.close_connection = True

    def _write(self, body: bytes, fault: ScriptedAnswer | None) -> None:
        if fault is not None and fault.truncate:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault is not None and fault.drip:
            self._drip(body, fault.drip)
        else:
            self.wfile.write(body)
        self.wfile.flush()

    def _drip(self, data: bytes, seconds: float) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.closing.wait(seconds):
                return
