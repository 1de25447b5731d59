"""HTTP transport to the API server: one connection pool, shared with kopf, and `ApiError` for every failure."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import sleep
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from catchup_operator.instruments import Instruments
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import verb_and_resource
from catchup_operator.kube.server_access import Access, CredentialsError
from catchup_operator.manifests.names import FIELD_MANAGER

# kopf's own pool has no limit: thousands of resources at the start would open as many connections. Watches hold a
# connection for minutes and are counted in addition.
_CONNECTIONS: Final = 20
"""Connections to the API server at most, watches not counted."""
_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
"""How long a request to the API server may take."""
_TOO_MANY_REQUESTS: Final = 429
# Priority and fairness answers 429 with Retry-After where its queues are full; client-go waits and asks again, too.
_PUT_OFF_SECONDS: Final = 30.0
"""How long a request that the API server puts off (429 with Retry-After) is sent again, before it counts as failed."""
_LONGEST_PUT_OFF_SECONDS: Final = 300.0
"""The longest time until the next attempt that the operator lets the API server name."""
_CLOSE_SECONDS: Final = 0.1
# A line of a watch is a whole object, at most as large as etcd accepts. aiohttp buffers up to twice this size.
_READ_BUFFER_BYTES: Final = 2 * 2**20


@dataclass(slots=True)
class _Answer:
    status: int | None = None


class Transport:
    """A connection pool to the API server with room for `watches` open watches. Call `close` at the end."""

    def __init__(self, access: Access, *, watches: int = 0, instruments: Instruments | None = None) -> None:
        self._instruments = instruments or Instruments()
        self._access = access
        self._connector = aiohttp.TCPConnector(limit=_CONNECTIONS + watches, ssl=access.ssl)
        self._session = self.session()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._access.server

    def session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Return a session of the same pool, for kopf with its middlewares, of which the first is the outermost."""
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": FIELD_MANAGER},
            middlewares=[*middlewares, self._authorize] if middlewares else (),
            proxy=self._access.proxy,
            read_bufsize=_READ_BUFFER_BYTES,
            # With trust_env the session would read proxies and ~/.netrc for every request, in a thread.
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()
        await self._connector.close(abort_ssl=True)
        # The pool does not track connections of aborted watches; the event loop needs a moment to close them.
        await asyncio.sleep(_CLOSE_SECONDS)

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add the credentials to each request, since tokens rotate while the process runs (an aiohttp middleware)."""
        request.headers.update(await self._authorization())
        with self._counted(request.method, request.url.path, watch="watch" in request.url.query) as answer:
            response = await handler(request)
            answer.status = response.status
        return response

    @contextmanager
    def _counted(self, method: str, path: str, *, watch: bool) -> Iterator[_Answer]:
        """Count a request with the status that the caller notes of the answer."""
        answer, started = _Answer(), time.perf_counter()
        try:
            yield answer
        finally:
            seconds = time.perf_counter() - started
            self._instruments.request(*verb_and_resource(method, path, watch=watch), answer.status, seconds)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> bytes:
        response = await self._open(
            method, path, query=query, accept=accept, limits=_REQUEST_TIMEOUT, body=body, content_type=content_type
        )
        try:
            return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, f"{method} {path}: the response was cut off ({type(error).__name__})") from None

    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        accept: str,
        limits: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request, again where the server names a time for that; return the response with its body unread."""
        content = None if body is None else msgspec.json.encode(body)
        waited = 0.0
        while True:
            self._before(method, path)
            try:
                return await self._try(
                    method, path, query=query, accept=accept, limits=limits, content=content, content_type=content_type
                )
            except ApiError as error:
                await self._refused(path, error)
                # All that were put off at once do not come back at once.
                pause = error.retry_after + random.random()  # noqa: S311 - jitter, not a secret
                waited += pause
                if not error.retry_after or waited > _PUT_OFF_SECONDS:
                    raise
                await sleep(pause)

    def _before(self, method: str, path: str) -> None:
        """Raise to prevent a request; called before each attempt."""

    async def _refused(self, path: str, error: ApiError) -> None:
        """Take notice of a request that failed; called after each attempt."""

    async def _try(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        accept: str,
        limits: aiohttp.ClientTimeout,
        content: bytes | None,
        content_type: str | None,
    ) -> aiohttp.ClientResponse:
        url = URL(self._access.server + path + (f"?{urlencode(query)}" if query else ""), encoded=True)
        try:
            headers = await self._authorization() | {"Accept": accept}
            if content_type:
                headers["Content-Type"] = content_type
            with self._counted(method, path, watch="watch" in (query or ())) as answer:
                response = await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=content,
                    timeout=limits,
                    server_hostname=self._access.server_name,
                    allow_redirects=False,
                )
                answer.status = response.status
            if response.status >= 400:  # noqa: PLR2004
                raise ApiError.from_reply(
                    response.status, await response.read(), retry_after=_retry_after(response.status, response.headers)
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {type(error).__name__}: {error}") from None
        return response

    async def _authorization(self) -> dict[str, str]:
        try:
            return await self._access.authorization()
        except CredentialsError as error:
            # Both kopf and `_open` treat this error as retryable.
            raise aiohttp.ClientConnectionError(f"the token cannot be read: {error}") from None


def _retry_after(status: int, headers: Mapping[str, str]) -> float:
    """Return the seconds that a 429 names; the API server writes no dates."""
    named = headers.get("Retry-After", "")
    is_named = status == _TOO_MANY_REQUESTS and named.isdecimal()
    return min(float(named), _LONGEST_PUT_OFF_SECONDS) if is_named else 0.0
