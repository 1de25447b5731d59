"""How the HTTP doubles serve and answer: JSON, by the script of a fault where there is one."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScriptedServer(ThreadingHTTPServer):
    """A server whose scripted waits end with it; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[AnsweringHandler]) -> None:
        super().__init__(address, handler)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Where the double is reached, without a slash at the end."""
        host, port = self.server_address[:2]
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else str(host)}:{port}"  # noqa: S104 - only compared

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: a test of timeouts does it all the time."""

    def shutdown(self) -> None:
        """Stop serving, and stop every scripted wait."""
        self.closing.set()
        super().shutdown()


S = TypeVar("S", bound=ScriptedServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Serve in a thread of this process until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name=type(server).__name__, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
