"""List, then watch, for ever: keeps an observer's view of one kind of object current."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, Protocol

from catchup_operator.kube import backoff
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.transport import ApiError

_GONE: Final = 410
_BACKOFF_FIRST_SECONDS: Final = 1.0
_BACKOFF_MAX_SECONDS: Final = 30.0
_EMPTY_WATCH_SECONDS: Final = 1.0
_RELIST_SECONDS: Final = 600.0

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """What a watch tells. The methods only note and enqueue; they never wait."""

    def listing(self) -> None:
        """A full list begins: what it does not name is gone."""

    def observe(self, item: dict[str, Any]) -> None:
        """The object exists, in this state."""

    def forget(self, item: dict[str, Any]) -> None:
        """The object was deleted; this was its last state."""

    def listed(self) -> None:
        """The full list has ended."""


class Watch:
    """One list+watch loop.

    Lists anew when the server says that it has forgotten our version, after every error, and every ten minutes, so
    that a lost event cannot hide for longer than that.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: str,
        namespace: str | None,
        observer: Observer,
        *,
        selector: str,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._namespace = namespace
        self._observer = observer
        self._selector = selector
        self._sign_of_life = time.monotonic()
        self._failures = 0
        self._trouble: str | None = "not listed yet"

    @property
    def trouble(self) -> str | None:
        """Why the watch shows nothing at present, or None."""
        return f"watching {self._resource}: {self._trouble}" if self._trouble else None

    @property
    def silent_seconds(self) -> float:
        """The time since the loop last heard anything, if only a failure, in seconds: what a liveness probe asks.

        A server that does not answer is no reason for a new start, which would only be delayed longer each time.
        """
        return time.monotonic() - self._sign_of_life

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self._follow(await self._list())
            except ApiError as error:
                self._sign_of_life = time.monotonic()
                self._failures += 1
                self._trouble = str(error)
                delay = backoff.delay(self._failures, first=_BACKOFF_FIRST_SECONDS, longest=_BACKOFF_MAX_SECONDS)
                # That the server has forgotten a version is its normal way; that it does so at once every time is not.
                level = logging.INFO if error.status == _GONE and self._failures == 1 else logging.WARNING
                logger.log(level, "watching %s failed, again in %.1f s: %s", self._resource, delay, error)
                await asyncio.sleep(delay)

    async def _list(self) -> str:
        self._observer.listing()
        version = ""
        pages = self._cluster.list_pages(self._resource, self._namespace, selector=self._selector)
        async for items, listed_version in pages:
            version = listed_version
            self._sign_of_life = time.monotonic()
            for item in items:
                self._observer.observe(item)
        self._observer.listed()
        self._trouble = None
        return version

    async def _follow(self, version: str) -> None:
        relist_at = time.monotonic() + _RELIST_SECONDS
        while time.monotonic() < relist_at:
            heard = False
            events = self._cluster.watch(
                self._resource,
                self._namespace,
                version,
                selector=self._selector,
            )
            async for kind, item in events:
                self._sign_of_life = time.monotonic()
                self._failures = 0
                heard = True
                version = item["metadata"]["resourceVersion"]
                if kind == "DELETED":
                    self._observer.forget(item)
                elif kind != "BOOKMARK":
                    self._observer.observe(item)
            if not heard:  # a server or a proxy that ends every watch at once
                await asyncio.sleep(_EMPTY_WATCH_SECONDS)
