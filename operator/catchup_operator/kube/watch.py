"""The list+watch loop of one resource: keeps an observer current, as a client-go reflector does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from catchup_operator.kube.backoff import backoff_seconds
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import POOLS, SCHEDULES, missing_definition

_OURS: Final = {SCHEDULES, POOLS}
_NOT_FOUND: Final = 404
_GONE: Final = 410
# The API server closes a watch after _WATCH_SECONDS and sends a bookmark about every minute. A longer silence means
# that the connection is dead.
_WATCH_SECONDS: Final = 300
"""The length of a watch of CronJobs and Jobs."""
_WATCH_SILENCE_SECONDS: Final = 90
"""The silence after which a watch of CronJobs and Jobs counts as dead."""
_BACKOFF_FIRST_SECONDS: Final = 1.0
"""The first delay after a failed list or watch of CronJobs and Jobs; each further one is twice as long."""
_BACKOFF_MAX_SECONDS: Final = 30.0
"""The longest delay after a failed list or watch of CronJobs and Jobs."""
_EMPTY_WATCH_SECONDS: Final = 1.0
"""The delay after a watch of CronJobs and Jobs that ended without an event."""
_RELIST_SECONDS: Final = 600.0
"""How often CronJobs and Jobs are listed anew, in case a watch lost an event."""
_PAUSED_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """What a watch calls. The methods record and enqueue; they never block."""

    def list_started(self) -> None:
        """A full list begins: objects that it does not contain are gone."""

    def observe(self, item: dict[str, Any]) -> None:
        """The object exists in this state."""

    def forget(self, item: dict[str, Any]) -> None:
        """The object was deleted; this was its last state."""

    def list_ended(self) -> None:
        """The full list is complete."""


class Watch:
    """One list+watch loop.

    Relists when the resource version has expired, after every error, and every ten minutes, which bounds how long a
    lost event can go unnoticed. Sends nothing while its namespace is gone (`is_gone`); when it is back it lists anew.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: str,
        namespace: str | None,
        observer: Observer,
        *,
        selector: str = "",
        is_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._observer = observer
        self._selector = selector
        self._is_gone = is_gone
        self._last_heard = time.monotonic()
        self._failures = 0
        self._problem: str | None = "not listed yet"

    @property
    def resource(self) -> str:
        """The resource that is watched."""
        return self._resource

    @property
    def namespace(self) -> str | None:
        """The namespace that is watched; None for all."""
        return self._namespace

    @property
    def problem(self) -> str | None:
        """Why the watch does not work at present, or None."""
        return f"watching {self._resource}: {self._problem}" if self._problem else None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the loop last received anything, including an error; the liveness probe reads it.

        A failing API server is no reason to restart the pod: the restarts would only be delayed longer each time.
        """
        return time.monotonic() - self._last_heard

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            if self._is_gone():
                await self._pause()
            try:
                await self._follow(await self._list())
            except ApiError as error:
                self._last_heard = time.monotonic()
                self._failures += 1
                is_defined = error.status != _NOT_FOUND or self._resource not in _OURS
                self._problem = str(error) if is_defined else f"{error}: {missing_definition(self._resource)}"
                backoff = backoff_seconds(self._failures, first=_BACKOFF_FIRST_SECONDS, longest=_BACKOFF_MAX_SECONDS)
                delay = max(backoff, error.retry_after)
                # A version that has expired is normal; one that expires again at once is not.
                level = logging.INFO if error.status == _GONE and self._failures == 1 else logging.WARNING
                logger.log(level, "watching %s failed, retrying in %.1f s: %s", self._resource, delay, self._problem)
                await asyncio.sleep(delay)

    async def _pause(self) -> None:
        # With the namespace everything in it is gone, and the events of that may have been refused.
        self._observer.list_started()
        self._observer.list_ended()
        while self._is_gone():
            self._last_heard, self._failures = time.monotonic(), 0
            await asyncio.sleep(_PAUSED_SECONDS)

    async def _list(self) -> str:
        self._observer.list_started()
        version = ""
        pages = self._client.list_pages(self._resource, self._namespace, selector=self._selector)
        async for items, list_version in pages:
            version = list_version
            self._last_heard = time.monotonic()
            for item in items:
                self._observer.observe(item)
        self._observer.list_ended()
        self._problem = None
        return version

    async def _follow(self, version: str) -> None:
        relist_at = time.monotonic() + _RELIST_SECONDS
        while time.monotonic() < relist_at:
            received = False
            events = self._client.watch(
                self._resource,
                self._namespace,
                version,
                selector=self._selector,
                seconds=_WATCH_SECONDS,
                silence_seconds=_WATCH_SILENCE_SECONDS,
            )
            async for kind, item in events:
                self._last_heard = time.monotonic()
                self._failures = 0
                received = True
                version = item["metadata"]["resourceVersion"]
                if kind == "DELETED":
                    self._observer.forget(item)
                elif kind != "BOOKMARK":
                    self._observer.observe(item)
            if not received:  # a server or a proxy that closes every watch at once
                await asyncio.sleep(_EMPTY_WATCH_SECONDS)
