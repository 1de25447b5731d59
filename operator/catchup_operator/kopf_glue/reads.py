"""Lets kopf outlast an API server that fails: whatever its reads are answered, it tries again, for ever and gently.

Left to itself kopf ends, and the operator with it, after a minute of 503, 403 or refused connections, at once of a list
that is answered 404, 409 or 410 or by somebody else's web page, of a list of resource kinds that breaks off, and of a
watch that ends with any error but 410; it opens a watch that is closed at once again and again without a pause; and it
never lists again of itself, so that an event that was lost would stay so.
(It writes nothing: see handlers.py.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final, cast
from weakref import WeakSet

import aiohttp

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL
from catchup_operator.kube import backoff
from catchup_operator.kube.transport import message_of

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 30.0
# Between the beginnings of two lists, or two watches, of the same resources.
_APART_SECONDS: Final = 1.0
# The API server ends a watch after half an hour to an hour. The next one may miss what this one did.
_RELIST_SECONDS: Final = 1800.0
_TEXT_MAX: Final = 500

_ERROR_EVENT: Final = b'{"type":"ERROR"'
_GONE: Final = 410
_TOO_MANY_REQUESTS: Final = 429
# The one error that kopf knows as the end of a watch: it lists anew.
_GONE_EVENT: Final = json.dumps({"type": "ERROR", "object": {"code": _GONE}}).encode() + b"\n"

logger = logging.getLogger(__name__)


class Backoffs(Iterable[float]):
    """The pauses between kopf's tries of a request, in seconds, without end."""

    def __iter__(self) -> Iterator[float]:
        return (backoff.delay(failures, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS) for failures in count(1))


class KopfReads:
    """Goes between kopf and the API server, and knows what is the matter with its reads."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        group = f"/apis/{API_GROUP}/{API_VERSION}"
        scopes = [f"/namespaces/{namespace}" for namespace in namespaces] or [""]
        self._troubles = {f"{group}{scope}/{PLURAL}": "not listed yet" for scope in scopes}
        self._began: dict[tuple[str, bool], float] = {}
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    def troubles(self) -> list[str]:
        """Return what could not be read when it was last tried."""
        return [f"GET {path}: {trouble}" for path, trouble in self._troubles.items()]

    def stop(self) -> None:
        """End what still tries: kopf forgets its search for kinds of resources, and then waits 5 s for it to end."""
        for task in self._tasks:
            task.cancel()

    async def outlast(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Turn every failure into one that kopf survives: a middleware of its session.

        Raises:
            aiohttp.ClientConnectionError: kopf tries the request again.
            aiohttp.ClientPayloadError: kopf lists from the beginning.
        """
        path, query = request.url.path, request.url.query
        listed = self._began.get((path, False), float("inf"))
        overdue = "watch" in query and time.monotonic() - listed > _RELIST_SECONDS
        if "watch" in query or ("limit" in query and "continue" not in query):
            await self._keep_apart(path, watch="watch" in query)
        elif not query and (task := asyncio.current_task()):
            self._tasks.add(task)
        try:
            response = await handler(request)
            answer = b"" if "watch" in query and response.ok else await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failed(path, f"{type(error).__name__}: {error}") from None
        if response.status == _GONE or (overdue and response.ok):
            logger.info("GET %s: the list or the watch is too old; listing anew", path)
            if "watch" not in query:
                raise aiohttp.ClientPayloadError("the list is too old")
            response.status = 200
            response.content = cast(aiohttp.StreamReader, _Gone(path, response.content))
        elif not response.ok:
            refused = self._failed(path, f"{response.status}: {message_of(answer)}")
            # This one may name a time to wait, which kopf keeps to.
            if response.status != _TOO_MANY_REQUESTS:
                raise refused
        elif "json" not in response.content_type:
            response.close()
            raise self._failed(path, f"not the API server's answer but {response.content_type}")
        else:
            self._troubles.pop(path, None)
            if "watch" in query:
                response.content = cast(aiohttp.StreamReader, _Events(path, response.content))
        return response

    def _failed(self, path: str, trouble: str) -> aiohttp.ClientConnectionError:
        self._troubles[path] = trouble
        return aiohttp.ClientConnectionError(trouble)

    async def _keep_apart(self, path: str, *, watch: bool) -> None:
        began = self._began.get((path, watch), 0.0)
        await asyncio.sleep(max(0.0, began + _APART_SECONDS - time.monotonic()))
        self._began[path, watch] = time.monotonic()


class _Events:
    """The body of a watch: whole lines, and any error told as the one that kopf knows."""

    def __init__(self, path: str, content: aiohttp.StreamReader) -> None:
        self._path = path
        self._content = content

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            lines += newline
            if _ERROR_EVENT in lines:
                before, mark, error = (b"\n" + lines).partition(b"\n" + _ERROR_EVENT)
                if mark:
                    logger.info(
                        "GET %s: the watch ended: %s", self._path, error[:_TEXT_MAX].decode(errors="replace").strip()
                    )
                    yield before + b"\n" + _GONE_EVENT
                    return
            yield lines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


class _Gone(_Events):
    """The body of a watch that is too old."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:  # noqa: ARG002
        yield _GONE_EVENT
