"""HTTP transport to the API server: one connection pool, shared with kopf, and `ApiError` for every failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import kopf
from kubernetes.aio import client, config

from catchup_operator.instruments import Instruments
from catchup_operator.kube.errors import ApiError, message_of
from catchup_operator.kube.resources import verb_and_resource
from catchup_operator.manifests.names import FIELD_MANAGER

# kopf's own pool has no limit: thousands of resources at the start would open as many connections. Watches hold a
# connection for minutes and are counted in addition.
_CONNECTIONS: Final = 20
"""Connections to the API server at most, watches not counted."""
_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
"""How long a request to the API server may take."""
_CLOSE_SECONDS: Final = 0.1
# A line of a watch is a whole object, at most as large as etcd accepts. aiohttp buffers up to twice this size.
_READ_BUFFER_BYTES: Final = 2 * 2**20


@dataclass(slots=True)
class _Answer:
    status: int | None = None


class Transport:
    """A connection pool to the API server with room for `watches` open watches. Call `close` at the end."""

    def __init__(self, api: client.ApiClient, *, watches: int = 0, instruments: Instruments | None = None) -> None:
        self._api = api
        self._instruments = instruments or Instruments()
        self._connector = aiohttp.TCPConnector(limit=_CONNECTIONS + watches, ssl=api.rest_client.ssl_context)
        # With trust_env the session would read proxies and ~/.netrc for every request, in a thread.
        kwargs = {"connector": self._connector, "read_bufsize": _READ_BUFFER_BYTES, "trust_env": False}
        api.configuration.client_session_kwargs = kwargs

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    def login(self, *middlewares: aiohttp.ClientMiddlewareType) -> kopf.AiohttpSession:
        """Return a kopf session that uses the same pool; the first middleware is the outermost."""
        configuration = self._api.configuration
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            proxy=configuration.proxy,
            middlewares=[*middlewares, self._authorize],
        )
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    async def close(self) -> None:
        """Close the pool."""
        await self._api.close()  # type: ignore[no-untyped-call]
        await self._connector.close(abort_ssl=True)
        # The pool does not track connections of aborted watches; the event loop needs a moment to close them.
        await asyncio.sleep(_CLOSE_SECONDS)

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add the credentials to each request, since tokens rotate while the process runs (an aiohttp middleware)."""
        request.headers.update(await self._headers({}))
        named = verb_and_resource(request.method, request.url.path, watch="watch" in request.url.query)
        with self._counted(*named) as answer:
            response = await handler(request)
            answer.status = response.status
        return response

    @contextmanager
    def _counted(self, verb: str, resource: str) -> Iterator[_Answer]:
        """Count a request with the status that the caller notes of the answer."""
        answer, started = _Answer(), time.perf_counter()
        try:
            yield answer
        finally:
            self._instruments.request(verb, resource, answer.status, time.perf_counter() - started)

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
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            headers = await self._headers({"Accept": accept} | ({"Content-Type": content_type} if content_type else {}))
            with self._counted(*verb_and_resource(method, path, watch="watch" in (query or ()))) as answer:
                reply = await self._api.call_api(method, url, headers, body=body, _request_timeout=limits)
                response: aiohttp.ClientResponse = reply.response
                answer.status = response.status
            if response.status >= 400:  # noqa: PLR2004
                raise ApiError(response.status, message_of(await response.read()))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {type(error).__name__}: {error}") from None
        return response

    async def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        headers["User-Agent"] = FIELD_MANAGER
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        except (config.ConfigException, OSError) as error:
            # The token file is being replaced. Both kopf and `_open` treat this error as retryable.
            raise aiohttp.ClientConnectionError(f"the token cannot be read: {error}") from None
        return headers
