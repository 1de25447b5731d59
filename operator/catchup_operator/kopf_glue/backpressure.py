"""Backpressure: kopf reads a further page of a list, or further events of a watch, when it has processed most others.

kopf reads a whole list at once, and keeps a body, a queue and a coroutine for each resource: at 10,000 resources that
is most of the memory. The same holds for a watch: the first one begins at the version of the list, so that all that was
written meanwhile arrives at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from catchup_operator.kopf_glue.watch_body import WatchBody

PAGE: Final = 200
"""UserSchedules in a page of kopf's list."""
# Enough for all workers until the next page arrives.
_UNPROCESSED_MAX: Final = 50
"""UserSchedules that are read and not yet processed, before the next page or event is held back."""
_POLL_SECONDS: Final = 0.02
# After this time without progress the workers wait for something else, and holding the list back does not help.
_IDLE_SECONDS: Final = 5.0
# Shorter for a watch: kopf may merge events of one resource, and the merged ones are never processed.
_WATCH_IDLE_SECONDS: Final = 0.5
# kopf asks for a megabyte and holds it three times.
_CHUNK_BYTES: Final = 64 * 2**10
# Below kopf's own timeout of a request.
_HOLD_SECONDS: Final = 20.0
"""How long a page is held back at most."""


class Backpressure:
    """Counts the resources that were read and those that were processed."""

    def __init__(self) -> None:
        self._unprocessed = 0
        self._last_progress = 0.0

    def processed(self) -> None:
        """Record that kopf took up a resource."""
        self._unprocessed -= self._unprocessed > 0
        self._last_progress = time.monotonic()

    async def middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Delay requests for further pages, and the body of a watch (a middleware of kopf's session)."""
        query = request.url.query
        if "continue" in query:
            await self._wait(idle=_IDLE_SECONDS)
            self._unprocessed += PAGE
        elif "limit" in query:
            self._unprocessed = PAGE
        response = await handler(request)
        if "watch" in query:
            _ThrottledBody.wrap(response, self)
        return response

    async def admit(self, events: int) -> None:
        """Return when that many further events of a watch may be read."""
        await self._wait(idle=_WATCH_IDLE_SECONDS)
        self._unprocessed += events

    async def _wait(self, *, idle: float) -> None:
        now = self._last_progress = time.monotonic()
        latest = now + _HOLD_SECONDS
        while self._unprocessed > _UNPROCESSED_MAX:
            if now >= min(latest, self._last_progress + idle):
                self._unprocessed = 0
                return
            await asyncio.sleep(_POLL_SECONDS)
            now = time.monotonic()


class _ThrottledBody(WatchBody):
    """The body of a watch, read at the pace at which kopf processes events."""

    def __init__(self, content: aiohttp.StreamReader, backpressure: Backpressure) -> None:
        super().__init__(content)
        self._backpressure = backpressure

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in super().iter_chunked(min(size, _CHUNK_BYTES)):
            await self._backpressure.admit(chunk.count(b"\n"))
            yield chunk
