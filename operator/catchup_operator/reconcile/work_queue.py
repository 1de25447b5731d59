"""One queue for all that the operator does beside kopf: repairs, results of runs, second visits after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from catchup_operator.kube import backoff
from catchup_operator.kube.transport import ApiError
from catchup_operator.reconcile.reconciler import RefusedError

RETRY_FIRST_SECONDS: Final = 2.0
_RETRY_MAX_SECONDS: Final = 300.0

logger = logging.getLogger(__name__)

Task = Callable[[], Awaitable[None]]


class WorkQueue:
    """Runs keyed tasks, each key once at a time, again after a failure with growing delays, for ever.

    A key that is already waiting is not queued twice, so that a storm of events costs one visit. The log calls the task
    by it.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Task] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._failures: dict[str, int] = {}

    def add(self, key: str, task: Task, *, delay: float = 0.0) -> None:
        """Queue a task after a delay in seconds, unless its key is queued already."""
        if key in self._waiting:
            return
        self._waiting[key] = task
        if delay <= 0:
            self._ready.put_nowait(key)
        else:
            asyncio.get_running_loop().call_later(delay, self._ready.put_nowait, key)

    async def work(self) -> None:
        """Work until cancelled; several of these may run at once."""
        while True:
            key = await self._ready.get()
            task = self._waiting.pop(key)
            try:
                await task()
            except RefusedError as error:
                logger.warning("%s: %s; again in %.0f s", key, error, error.retry_seconds)
                self.add(key, task, delay=error.retry_seconds)
            except ApiError as error:
                delay = self._delay(key)
                logger.warning("%s failed, again in %.0f s: %s", key, delay, error)
                self.add(key, task, delay=delay)
            except Exception:
                # Not seen to be temporary, but giving up would lose a repair or a result for good.
                delay = self._delay(key)
                logger.exception("%s failed for an unexpected reason, again in %.0f s", key, delay)
                self.add(key, task, delay=delay)
            else:
                self._failures.pop(key, None)

    def _delay(self, key: str) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff.delay(failures, first=RETRY_FIRST_SECONDS, longest=_RETRY_MAX_SECONDS)
