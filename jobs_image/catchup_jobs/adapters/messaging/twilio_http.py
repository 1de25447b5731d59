"""HTTP for the `twilio` client: a configurable host, limits of time and size, and no personal data in the log.

The client itself has no setting for the base URL, no timeout, and logs recipients at INFO.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from catchup_jobs.adapters.bounded_http import BoundedHead

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_TIMEOUT_SECONDS: Final = 5.0
"""How long a connection to Twilio may take."""
READ_TIMEOUT_SECONDS: Final = 20.0
"""The longest silence of Twilio within an answer."""
ANSWER_TIMEOUT_SECONDS: Final = 40.0
"""The longest time for an answer of Twilio, shorter than the lease of a claim."""
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


class _Connection(HTTPConnection):
    response_class = BoundedHead


class _TlsConnection(HTTPSConnection):
    response_class = BoundedHead


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """Makes connections that limit the heads of answers, directly and through a proxy."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager


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
        answer_timeout: float = ANSWER_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(logger=_quiet)
        self.session.mount("https://", _Adapter())
        self.session.mount("http://", _Adapter())
        self._base_url = base_url.rstrip("/") if base_url else None
        self._timeouts = (connect_timeout, read_timeout)
        self._answer_timeout = answer_timeout
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
        with session.send(request, timeout=self._timeouts, allow_redirects=allow_redirects, **process) as answer:
            self.last_headers, self.last_status = answer.headers, answer.status_code
            return Response(answer.status_code, self._body(answer).decode("utf-8", "replace"), answer.headers)

    def _address(self, url: str) -> str:
        if self._base_url is None:
            return url
        parts = urlsplit(url)
        if parts.hostname != _TWILIO:
            raise ValueError("only Twilio's messaging API can be served from elsewhere")
        return f"{self._base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def _body(self, answer: requests.Response) -> bytes:
        give_up = time.monotonic() + self._answer_timeout
        body = bytearray()
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise UnreadableAnswerError("longer than 4 MiB")
            if time.monotonic() > give_up:
                raise UnreadableAnswerError("not whole in time")
        return bytes(body)
