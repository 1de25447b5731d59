"""HTTP to Google by httplib2, bounded in time and size: a slow, truncated or huge response is a temporary error."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any, Final

import httplib2
from httplib2.decode import DecodeLimitError, DecodeRatioError

from catchup_jobs.adapters.bounded_http import BoundedHead
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET_TIMEOUT_SECONDS: Final = 20.0
"""The longest silence of Google within an answer."""
BODY_TIMEOUT_SECONDS: Final = 60.0
"""The longest time for an answer of Google, from its first byte to its last."""
# A full page of events is about 1 MB. Parsed, this limit still fits into a pod's memory.
MAX_BODY_BYTES: Final = 16 * 2**20
"""The largest answer of Google that is read."""

_CHUNK: Final = 65536


class _LimitExceededError(Exception):
    """A body exceeds its limit of size or time."""


class _BoundedResponse(BoundedHead):
    """Reads a body in chunks, and stops when it is too long or takes too long."""

    def read(self, amt: int | None = None) -> bytes:
        """Return the whole body.

        Raises:
            _LimitExceededError: a limit is exceeded.
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
        size, started = 0, time.monotonic()
        while piece := self.read1(_CHUNK):
            size += len(piece)
            if size > MAX_BODY_BYTES or time.monotonic() - started > BODY_TIMEOUT_SECONDS:
                raise _LimitExceededError
            yield piece
        if self.length:
            # `read1` does not distinguish a truncated body from a complete one.
            raise http.client.IncompleteRead(b"", self.length)


class _HttpConnection(httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
    response_class = _BoundedResponse


class _HttpsConnection(httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
    response_class = _BoundedResponse


class Http(httplib2.Http):  # type: ignore[misc]
    """One thread's connections (httplib2 is not thread-safe). Redirects are not followed: they could leak the token."""

    def __init__(self, *, timeout: float = SOCKET_TIMEOUT_SECONDS) -> None:
        # httplib2 looks for HTTPLIB2_CA_CERTS when it is imported, which may be before it is set.
        super().__init__(timeout=timeout, decode_limit_hard=MAX_BODY_BYTES, ca_certs=httplib2.certs.where())
        self.follow_redirects = False

    def request(self, uri: str, method: str = "GET", **named: Any) -> tuple[httplib2.Response, bytes]:
        """Make a request.

        Raises:
            TemporaryError: no complete response arrived; the message has the class of the error only.
        """
        named["connection_type"] = _HttpsConnection if uri.startswith("https:") else _HttpConnection
        try:
            response, content = super().request(uri, method, **named)
        except (_LimitExceededError, DecodeLimitError, DecodeRatioError):
            self.close()
            raise TemporaryError("Google's answer is too large or too slow") from None
        except (OSError, http.client.HTTPException, httplib2.HttpLib2Error) as error:
            self.close()
            raise TemporaryError(f"no answer from Google ({type(error).__name__})") from None
        return response, content
