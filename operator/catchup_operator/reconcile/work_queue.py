"""The work queue: keyed tasks, retried with backoff until they succeed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from catchup_operator.instruments import Instruments
from catchup_operator.kube.backoff import backoff_seconds
from catchup_operator.kube.errors import ApiError

RETRY_FIRST_SECONDS: Final = 2.0
"""The operator's first delay after a failed request; each further one is twice as long."""
RETRY_MAX_SECONDS: Final = 300.0
"""The operator's longest delay after a failed request."""

logger = logging.getLogger(__name__)

Task = Callable[[], Awaitable[None]]


class RetryAfterError(Exception):
    """A task cannot succeed until somebody changes something; it is retried after `seconds`, without backoff."""

    log_level = logging.WARNING
    result = "retry_after"
    """As `Instruments.task` counts it."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class GoneError(RetryAfterError):
    """What a task is to write to is gone, as far as is known: the queue drops the task.

    Whoever was told of the object by an event a moment ago tries again after `seconds`: it may be back.
    """

    log_level = logging.DEBUG
    result = "gone"


@dataclass(slots=True, frozen=True)
class QueueState:
    """How much waits.

    Attributes:
        due: tasks that wait for a worker.
        delayed: tasks whose time has not come.
        oldest_seconds: how long the one that waits longest for a worker has been due.
    """

    due: int
    delayed: int
    oldest_seconds: float


@dataclass(slots=True, frozen=True)
class _Waiting:
    """A task that is queued; `due` is of the loop's clock."""

    task: Task
    due: float
    timer: asyncio.TimerHandle | None


class WorkQueue:
    """Runs keyed tasks, one per key at a time, and retries each with growing delays until it succeeds.

    A key that is queued is not queued again, so that many events cost one task; of two times the sooner applies. One
    that is queued while its task runs waits for the end of that, also with several workers: an older write never ends
    after a newer one. The log names a task by its key.
    """

    def __init__(self, instruments: Instruments | None = None) -> None:
        self._instruments = instruments or Instruments()
        self._waiting: dict[str, _Waiting] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._running: set[str] = set()
        self._held_back: set[str] = set()
        self._failures: dict[str, int] = {}

    def add(self, key: str, task: Task, *, delay: float = 0.0) -> None:
        """Queue a task after a delay in seconds, unless its key is queued for this time or a sooner one."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        queued = self._waiting.get(key)
        if queued is not None:
            if queued.timer is None or queued.due <= due:
                return
            queued.timer.cancel()
        timer = loop.call_later(delay, self._due, key) if delay > 0 else None
        self._waiting[key] = _Waiting(task, due, timer)
        if timer is None:
            self._due(key)

    def state(self) -> QueueState:
        """Return how much waits."""
        now = asyncio.get_running_loop().time()
        due = [waiting.due for waiting in self._waiting.values() if waiting.due <= now]
        return QueueState(len(due), len(self._waiting) - len(due), now - min(due, default=now))

    async def work(self) -> None:
        """Run tasks until cancelled; several workers may run at once."""
        while True:
            key = await self._ready.get()
            self._running.add(key)
            task = self._waiting.pop(key).task
            try:
                with self._instruments.task(key.partition(" ")[0]):
                    await task()
            except GoneError as error:
                self._failures.pop(key, None)
                logger.debug("%s is dropped: %s", key, error)
            except RetryAfterError as error:
                logger.log(error.log_level, "%s: %s; retrying in %.0f s", key, error, error.seconds)
                self.add(key, task, delay=error.seconds)
            except ApiError as error:
                if error.namespace_ends:
                    self._failures.pop(key, None)
                    logger.debug("%s is dropped: %s", key, error)
                    continue
                level = logging.INFO if error.is_outrun and key not in self._failures else logging.WARNING
                delay = max(self._backoff(key), error.retry_after)
                logger.log(level, "%s failed, retrying in %.0f s: %s", key, delay, error)
                self.add(key, task, delay=delay)
            except Exception:
                # Perhaps not temporary, but giving up would lose a repair or a result for good.
                delay = self._backoff(key)
                logger.exception("%s failed unexpectedly, retrying in %.0f s", key, delay)
                self.add(key, task, delay=delay)
            else:
                self._failures.pop(key, None)
            finally:
                self._running.discard(key)
                if key in self._held_back:
                    self._held_back.discard(key)
                    self._ready.put_nowait(key)

    def _due(self, key: str) -> None:
        if key in self._running:
            self._held_back.add(key)
        else:
            self._ready.put_nowait(key)

    def _backoff(self, key: str) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff_seconds(failures, first=RETRY_FIRST_SECONDS, longest=RETRY_MAX_SECONDS)
