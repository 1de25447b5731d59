"""HTTP for the `twilio` client: a configurable host, limits of time and size, and no personal data in the log.

The client itself has no setting for the base URL, no timeout, and logs recipients at INFO.
"""

from __future__ import annotations

import logging
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

from catchup_jobs.adapters.directed_session import DirectedSession
from catchup_jobs.adapters.time_limit import OverTimeError, within
from catchup_jobs.jobs.run.spans import answered, http_span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONNECT_TIMEOUT_SECONDS: Final = 5.0
"""How long a connection to Twilio may take."""
READ_TIMEOUT_SECONDS: Final = 20.0
"""The longest silence of Twilio within an answer."""
REQUEST_SECONDS: Final = 60.0
"""The longest time for a request to Twilio, from its connection to the last byte of the answer; shorter than the lease
of a claim.
"""
MAX_BODY_BYTES: Final = 4 * 2**20
"""The largest answer of Twilio that is read."""
_CHUNK: Final = 65536
_TWILIO: Final = "api.twilio.com"

# The client's log messages hold the recipient and, after a failure, a URL with the recipient.
_quiet = logging.getLogger("catchup_jobs.twilio")
_quiet.setLevel(logging.CRITICAL)
for _name in ("twilio.http_client", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class UnreadableAnswerError(Exception):
    """The answer is too long or takes too long. The request may have been carried out."""


class BoundedHttp(TwilioHttpClient):  # type: ignore[misc]  # the package has no types
    """`twilio.rest.Client`'s `http_client`.

    Attributes:
        last_headers: of the last answer. The client's exceptions do not have them, and `Retry-After` is needed.
        last_status: the HTTP status of the last answer, 0 before one came. The client's exceptions may have another
            one, from the answer's body.
        was_asked: the last request left this process, or may have.
    """

    def __init__(
        self,
        base_url: str | None,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
        seconds_left: Callable[[], float] = lambda: inf,
    ) -> None:
        """Take the limits.

        Args:
            request_seconds: of a whole request.
            seconds_left: returns how long a request may last now, at most `request_seconds`.
        """
        super().__init__(logger=_quiet)
        self.session = DirectedSession()
        self._base_url = base_url.rstrip("/") if base_url else None
        self._timeouts = (connect_timeout, read_timeout)
        self._request_seconds, self._seconds_left = request_seconds, seconds_left
        self.forget()

    def forget(self) -> None:
        """Forget the last request."""
        self.last_headers: Mapping[str, str] = {}
        self.last_status = 0
        self.was_asked = False

    def request(  # noqa: PLR0917 - the base class's signature
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the constructor's apply
        allow_redirects: bool = False,
    ) -> Response:
        """Make a request.

        Raises:
            requests.RequestException: there is no complete answer.
            UnreadableAnswerError: the answer exceeds a limit.
        """
        self.forget()
        session: requests.Session = self.session
        arguments: dict[str, Any] = {"params": params, "data": data, "headers": headers, "auth": auth}
        request = session.prepare_request(requests.Request(method.upper(), self._address(url), **arguments))
        process = session.merge_environment_settings(request.url or "", {}, stream=True, verify=None, cert=None)
        self.was_asked = True
        ask = partial(session.send, request, timeout=self._timeouts, allow_redirects=allow_redirects, **process)
        limit = min(self._request_seconds, self._seconds_left())
        with http_span(request.method or "", urlsplit(request.url or "").hostname) as traced:
            try:
                # What is known of the answer is kept here: a request that is given up may still be answered.
                self.last_status, self.last_headers, body = within(limit, lambda: _answer_to(ask))
            except OverTimeError:
                raise UnreadableAnswerError("not whole in time") from None
            answered(traced, self.last_status)
        if body is None:
            raise UnreadableAnswerError(f"longer than {MAX_BODY_BYTES // 2**20} MiB")
        return Response(self.last_status, body.decode("utf-8", "replace"), self.last_headers)

    def _address(self, url: str) -> str:
        if self._base_url is None:
            return url
        parts = urlsplit(url)
        if parts.hostname != _TWILIO:
            raise ValueError("only Twilio's messaging API can be served from elsewhere")
        return f"{self._base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def _answer_to(ask: Callable[[], requests.Response]) -> tuple[int, Mapping[str, str], bytes | None]:
    """Return an answer's status, headers and body, None in place of a body that is too long."""
    body = bytearray()
    with ask() as answer:
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return answer.status_code, answer.headers, None
        return answer.status_code, answer.headers, bytes(body)
