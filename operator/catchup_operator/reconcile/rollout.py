"""The rollout of a change to all resources that it concerns, at a bounded rate: of the job template, or of a pool.

Only the keys are kept: each status names the hash of the template by which its CronJobs were applied, and the next
start of the operator continues with those that name another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_LOG_SECONDS: Final = 30.0
"""How often a rollout logs its progress."""

logger = logging.getLogger(__name__)


T = TypeVar("T")


class Rollout(Generic[T]):
    """Hands out the resources whose CronJobs are of another template, at most `per_second`."""

    def __init__(self, per_second: float) -> None:
        self._pause = 1 / per_second
        self._waiting: dict[T, None] = {}
        self._not_empty = asyncio.Event()
        self._done = 0
        self._logged_at = 0.0

    def add(self, owner: T) -> None:
        """Add a resource whose CronJobs are of another template."""
        self._waiting[owner] = None
        self._not_empty.set()

    @property
    def progress(self) -> tuple[int, int]:
        """The numbers of resources that were handed out since the start and that are waiting."""
        return self._done, len(self._waiting)

    async def run(self, reconcile: Callable[[T], None]) -> None:
        """Call `reconcile` for each of them at the bounded rate, until cancelled."""
        while True:
            await self._not_empty.wait()
            owner = next(iter(self._waiting))
            del self._waiting[owner]
            reconcile(owner)
            self._done += 1
            self._log_progress()
            if not self._waiting:
                self._not_empty.clear()
            await asyncio.sleep(self._pause)

    def _log_progress(self) -> None:
        now = time.monotonic()
        if self._waiting and now - self._logged_at < _LOG_SECONDS:
            return
        self._logged_at = now
        logger.info(
            "a change of the job template or a pool: %d resources taken up, %d to go", self._done, len(self._waiting)
        )
