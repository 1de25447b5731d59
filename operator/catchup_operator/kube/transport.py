"""The way to the API server: one pool of connections, for kopf too, and errors of one kind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import kopf
import msgspec
from kubernetes.aio import client, config

from catchup_operator.kube import resources as objects
from catchup_operator.manifests.names import FIELD_MANAGER

# One pool for kopf and for us: kopf's own has no limit, and thousands of resources at start would open as many
# connections. Watches keep theirs for long and have them beside these.
_CONNECTIONS: Final = 20
_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
_CLOSE_SECONDS: Final = 0.1
# A line of a watch is a whole object, which may be as large as etcd takes; a reader takes twice this.
_READ_AHEAD: Final = 2 * 2**20

# RBAC's own words; a quota or an admission policy, which are 403 too, has others.
_FORBIDDEN: Final = re.compile(r'cannot (\w+) resource "([\w/]+)"')


class ApiError(Exception):
    """The API server refused a request, or could not be reached (status 0). The text is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing_permission(self) -> str | None:
        """What the operator is not allowed to do, e.g. `patch cronjobs`; None where that is not the trouble."""
        found = _FORBIDDEN.search(str(self)) if self.status == 403 else None  # noqa: PLR2004
        return f"{found[1]} {found[2]}" if found else None

    @property
    def refused(self) -> bool:
        """Whether the server will say the same until somebody changes something (quota, policy, permission)."""
        return self.status in {400, 403, 422}


class Transport:
    """A connection to the API server, with room for so many watches; `close` it."""

    def __init__(self, api: client.ApiClient, *, watches: int = 0) -> None:
        self._api = api
        self._connector = aiohttp.TCPConnector(limit=_CONNECTIONS + watches, ssl=api.rest_client.ssl_context)
        # Left to the session, proxies and ~/.netrc are read anew for every request, each time in another thread.
        kwargs = {"connector": self._connector, "read_bufsize": _READ_AHEAD, "trust_env": False}
        api.configuration.client_session_kwargs = kwargs

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    def login(self, *middlewares: aiohttp.ClientMiddlewareType) -> kopf.AiohttpSession:
        """Return a session for kopf over the same pool; the first middleware is the outermost."""
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
        # Connections of watches that were broken off are no longer the pool's; the loop must still see them closed.
        await asyncio.sleep(_CLOSE_SECONDS)

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add who we are to each request, since tokens are replaced while we run (a middleware)."""
        request.headers.update(await self._headers({}))
        return await handler(request)

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
            raise ApiError(0, f"{method} {path}: the reply broke off ({type(error).__name__})") from None

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
        kind = {"Content-Type": content_type} if content_type else {}
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            headers = await self._headers({"Accept": accept, **kind})
            reply = await self._api.call_api(method, url, headers, body=body, _request_timeout=limits)
            response: aiohttp.ClientResponse = reply.response
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
            # The file of a token that is being replaced; kopf and we try again after such an error.
            raise aiohttp.ClientConnectionError(f"the token cannot be read: {error}") from None
        return headers


def message_of(body: bytes) -> str:
    """Return the API server's own words in the body of a refusal, or else the beginning of it."""
    try:
        words = objects.STATUS.decode(body).message
    except msgspec.DecodeError:
        words = ""
    return words or body[:500].decode(errors="replace")
