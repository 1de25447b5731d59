"""Lets kopf read no further ahead than it works: what follows waits until what was read is mostly dealt with.

kopf takes in a whole list at once, and each resource waits with its body, a queue and a coroutine of its own: at 10,000
resources that is most of the memory. The server keeps the rest of the list as well as we do. The same holds for a
watch: the first one begins where the list began, so that all that was written meanwhile comes at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import aiohttp

PAGE: Final = 200
# Enough for all workers until the next page is there.
_LEFT: Final = 50
_LOOK_SECONDS: Final = 0.02
# Then the workers wait for something else, and holding back the list does not help them.
_IDLE_SECONDS: Final = 5.0
# An event may also be one of those that kopf takes together, and is then never dealt with by itself.
_WATCH_IDLE_SECONDS: Final = 0.5
# kopf asks for a megabyte, and has it three times.
_CHUNK_BYTES: Final = 64 * 2**10
# Within kopf's own limit for a request.
_HOLD_SECONDS: Final = 20.0


class Pace:
    """Counts what was read and what was dealt with."""

    def __init__(self) -> None:
        self._ahead = 0
        self._last_dealt_with = 0.0

    def dealt_with(self) -> None:
        """Note that a resource was taken up."""
        self._ahead -= self._ahead > 0
        self._last_dealt_with = time.monotonic()

    async def hold(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Hold back a request for a further page, and what a watch brings: a middleware of kopf's session."""
        query = request.url.query
        if "continue" in query:
            await self._catch_up(idle=_IDLE_SECONDS)
            self._ahead += PAGE
        elif "limit" in query:
            self._ahead = PAGE
        response = await handler(request)
        if "watch" in query:
            response.content = cast(aiohttp.StreamReader, _Held(response.content, self))
        return response

    async def take(self, events: int) -> None:
        """Return when so many more events of a watch may be read."""
        await self._catch_up(idle=_WATCH_IDLE_SECONDS)
        self._ahead += events

    async def _catch_up(self, *, idle: float) -> None:
        now = self._last_dealt_with = time.monotonic()
        latest = now + _HOLD_SECONDS
        while self._ahead > _LEFT:
            if now >= min(latest, self._last_dealt_with + idle):
                self._ahead = 0
                return
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()


class _Held:
    """The body of a watch, which is read by the pace."""

    def __init__(self, content: aiohttp.StreamReader, pace: Pace) -> None:
        self._content = content
        self._pace = pace

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(min(size, _CHUNK_BYTES)):
            await self._pace.take(chunk.count(b"\n"))
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
