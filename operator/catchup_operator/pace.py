"""Lets kopf read no further ahead than it works: the next page of a list waits until the last is mostly dealt with.

kopf takes in a whole list at once, and each resource waits with its body, a queue and a coroutine of its own: at 10,000
resources that is most of the memory. The server keeps the rest of the list as well as we do.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aiohttp

PAGE: Final = 200
# Enough for all workers until the next page is there.
_LEFT: Final = 50
_LOOK_SECONDS: Final = 0.02
# Then the workers wait for something else, and holding back the list does not help them.
_IDLE_SECONDS: Final = 5.0
# Within kopf's own limit for a request.
_HOLD_SECONDS: Final = 20.0
# The server forgets a list that was begun five minutes ago, and a kopf that is told so ends.
_LIST_SECONDS: Final = 120.0


class Pace:
    """Counts what was listed and what was dealt with."""

    def __init__(self) -> None:
        self._ahead = 0
        self._list_began = 0.0
        self._last_dealt_with = 0.0

    def dealt_with(self) -> None:
        """Note that a resource was taken up."""
        self._ahead -= self._ahead > 0
        self._last_dealt_with = time.monotonic()

    async def hold(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Hold back a request for a further page: a middleware of kopf's session."""
        query = request.url.query
        if "continue" in query:
            await self._catch_up()
            self._ahead += PAGE
        elif "limit" in query:
            self._list_began = time.monotonic()
            self._ahead = PAGE
        return await handler(request)

    async def _catch_up(self) -> None:
        now = self._last_dealt_with = time.monotonic()
        latest = min(now + _HOLD_SECONDS, self._list_began + _LIST_SECONDS)
        while self._ahead > _LEFT and now < min(latest, self._last_dealt_with + _IDLE_SECONDS):
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
