"""A changed job template reaches every CronJob once, at a bounded rate, so that an upgrade is no storm of writes.

Nothing is kept but the keys: each status names the template that its CronJobs were made from, and a new start of the
operator goes on with those that still name another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from catchup_operator.state.drift import Key

_REPORT_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


class Roll:
    """Hands on the UserSchedules that await the new template, one after the other."""

    def __init__(self, per_second: float) -> None:
        self._pause = 1 / per_second
        self._waiting: dict[Key, None] = {}
        self._some = asyncio.Event()
        self._done = 0
        self._reported = 0.0

    def add(self, schedule: Key) -> None:
        """Note a UserSchedule whose CronJobs were made from another template."""
        self._waiting[schedule] = None
        self._some.set()

    @property
    def progress(self) -> tuple[int, int]:
        """How many were handed on since the start, and how many are still waiting."""
        return self._done, len(self._waiting)

    async def run(self, visit: Callable[[Key], None]) -> None:
        """Call `visit` for each of them, at most as often as the rate allows, until cancelled."""
        while True:
            await self._some.wait()
            schedule = next(iter(self._waiting))
            del self._waiting[schedule]
            visit(schedule)
            self._done += 1
            self._report()
            if not self._waiting:
                self._some.clear()
            await asyncio.sleep(self._pause)

    def _report(self) -> None:
        now = time.monotonic()
        if self._waiting and now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        logger.info("the job template has changed: %d UserSchedules rolled, %d to go", self._done, len(self._waiting))
