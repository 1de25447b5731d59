"""HTTP to Google by httplib2, bounded in time and size: a slow, truncated or huge response is a temporary error."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httplib2
from httplib2.decode import DecodeLimitError, DecodeRatioError

from catchup_jobs.adapters.google.proxy import tunnel_to
from catchup_jobs.adapters.time_limit import OverTimeError, within
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.run.spans import answered, http_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SOCKET_TIMEOUT_SECONDS: Final = 20.0
"""The longest silence of Google within an answer."""
REQUEST_SECONDS: Final = 60.0
"""The longest time for a request to Google, from its connection to the last byte of the answer."""
# A full page of events is about 1 MB. Parsed, this limit still fits into a pod's memory.
MAX_BODY_BYTES: Final = 16 * 2**20
"""The largest answer of Google that is read."""

_CHUNK: Final = 65536


class _LimitExceededError(Exception):
    """A body exceeds its limit of size."""


class _BoundedResponse(http.client.HTTPResponse):
    """Reads a body in chunks, and stops when it is too long."""

    def read(self, amt: int | None = None) -> bytes:
        """Return the whole body.

        Raises:
            _LimitExceededError: the limit is exceeded.
            http.client.IncompleteRead: the connection ended before the body did.
        """
        if amt is not None:
            return super().read(amt)
        try:
            return b"".join(self._pieces())
        finally:
            # `read1` does not close a finished response, whose connection could then not be reused.
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        size = 0
        while piece := self.read1(_CHUNK):
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise _LimitExceededError
            yield piece
        if self.length:
            # `read1` does not distinguish a truncated body from a complete one.
            raise http.client.IncompleteRead(b"", self.length)


class _HttpConnection(httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
    response_class = _BoundedResponse


class _HttpsConnection(httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
    response_class = _BoundedResponse

    def connect(self) -> None:
        """Connect, through the proxy of the environment where there is one."""
        tunnel = tunnel_to(self.host, self.port, timeout=self.timeout)
        if tunnel is None:
            super().connect()
            return
        try:
            # The context verifies, as httplib2 made it.
            self.sock = self._context.wrap_socket(tunnel, server_hostname=self.host)
        except OSError:
            tunnel.close()
            raise


class Http(httplib2.Http):  # type: ignore[misc]
    """Connections for one request at a time. Redirects are not followed: they could leak the token.

    Attributes:
        seconds_left: returns how long a request may last now, at most `REQUEST_SECONDS`; another run sets its own.
    """

    connections: dict[str, Any]

    def __init__(
        self, *, timeout: float = SOCKET_TIMEOUT_SECONDS, seconds_left: Callable[[], float] = lambda: inf
    ) -> None:
        """Take the limits.

        Args:
            timeout: of a silence.
            seconds_left: see the class.
        """
        # httplib2 looks for HTTPLIB2_CA_CERTS when it is imported, which may be before it is set.
        super().__init__(
            timeout=timeout, decode_limit_hard=MAX_BODY_BYTES, ca_certs=httplib2.certs.where(), proxy_info=None
        )
        self.follow_redirects = False
        self.seconds_left = seconds_left

    def _auth_from_challenge(self, *_: Any) -> Iterator[Any]:
        """Offer no login: a challenge (RFC 9110, 11.6.1) that httplib2 cannot parse would hide the answer."""
        return iter(())

    def request(self, uri: str, method: str = "GET", **named: Any) -> tuple[httplib2.Response, bytes]:
        """Make a request.

        Raises:
            TemporaryError: no complete response arrived; the message has the class of the error only.
        """
        named["connection_type"] = _HttpsConnection if uri.startswith("https:") else _HttpConnection
        with http_span(method, urlsplit(uri).hostname) as traced:
            response, content = self._bounded(uri, method, named)
            answered(traced, response.status)
        return response, content

    def _bounded(self, uri: str, method: str, named: dict[str, Any]) -> tuple[httplib2.Response, bytes]:
        ask, connections = super().request, self.connections

        def asked() -> tuple[httplib2.Response, bytes]:
            try:
                return ask(uri, method, **named)  # type: ignore[no-any-return]
            finally:
                if connections is not self.connections:
                    _close(connections)

        try:
            return within(min(REQUEST_SECONDS, self.seconds_left()), asked)
        except OverTimeError:
            # What goes on in the other thread ends with its connection; the next request makes a new one.
            self.connections = {}
            _hang_up(connections)
            raise TemporaryError("Google's answer is too slow") from None
        except (_LimitExceededError, DecodeLimitError, DecodeRatioError):
            self.close()
            raise TemporaryError("Google's answer is too large") from None
        except (OSError, http.client.HTTPException, httplib2.HttpLib2Error) as error:
            # httplib2's frame holds the error and the connection: they would wait for the garbage collector.
            error.__traceback__ = None
            self.close()
            raise TemporaryError(f"no answer from Google ({type(error).__name__})") from None


def _hang_up(connections: Mapping[str, Any]) -> None:
    for connection in list(connections.values()):
        with suppress(OSError, AttributeError, TypeError):
            # Not `SSLSocket.shutdown`: it drops the TLS state while the other thread reads.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _close(connections: Mapping[str, Any]) -> None:
    for connection in list(connections.values()):
        connection.close()
