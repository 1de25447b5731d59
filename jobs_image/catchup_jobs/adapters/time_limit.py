"""A limit of time for a call of a client library, whatever it waits for.

A socket's timeout starts again with each packet, with each address of a host, and with each attempt that a library
makes by itself: a server that sends a byte now and then, or a proxy that does, would never exceed it.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, TypeVar

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
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="bounded call", daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if errors:
        raise errors[0]
    if not results:
        raise OverTimeError
    return results[0]
