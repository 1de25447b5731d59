"""A limit of time for a call of a client library, whatever it waits for.

A socket's timeout starts again with each packet, with each address of a host, and with each attempt that a library
makes by itself: a server that sends a byte now and then, or a proxy that does, would never exceed it.
"""

from __future__ import annotations

import contextvars
import os
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class OverTimeError(Exception):
    """A call took too long. It was left to itself, and may still be carried out."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns.

    Args:
        seconds: how long it may take. After that it goes on in a thread that keeps no process alive.

    Raises:
        OverTimeError: it took longer.
        BaseException: what the call raises.
    """
    try:
        thread = _idle.pop()
    except IndexError:
        thread = _Thread()
    bounded = _Bounded(partial(contextvars.copy_context().run, call))
    thread.calls.put(bounded)
    if not bounded.ended.acquire(timeout=max(seconds, 0.0)):
        raise OverTimeError
    if bounded.error is not None:
        try:
            raise bounded.error
        finally:
            # Its traceback leads here: what the call held, such as a connection, would wait for the garbage collector.
            del bounded
    result: T = bounded.result
    return result


class _Bounded:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        # Held until the call has ended.
        self.ended = threading.Lock()
        self.ended.acquire()


class _Thread:
    """Makes one call after the other: to start a thread for each would be dearer than most calls."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[_Bounded] = SimpleQueue()
        threading.Thread(target=self._run, name="bounded calls", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._make(self.calls.get())

    def _make(self, bounded: _Bounded) -> None:
        try:
            bounded.result = bounded.call()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            bounded.error = error
        ended = bounded.ended
        # The traceback leads here, too.
        del bounded
        _idle.append(self)
        ended.release()


# Its methods are atomic. A thread whose call was left to itself comes back when that has ended.
_idle: Final[list[_Thread]] = []
# Threads do not live on in a forked process.
os.register_at_fork(after_in_child=_idle.clear)
