"""This process's clock and signals."""

from __future__ import annotations

import os
import random
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from catchup_jobs.jobs.run.ports import Process


class _Termination:
    """Stores that a termination was requested, and ends a sleep; safe to call from a signal handler."""

    def __init__(self) -> None:
        self.requested = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def request(self, signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        if not self.requested:
            self.requested = True
            os.write(self._write, b"x")
        if signal_number == signal.SIGINT:
            # A second Ctrl-C interrupts at once.
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def sleep(self, seconds: float) -> None:
        # The byte is never read, so that every later sleep returns at once too.
        select.select([self._read], [], [], max(seconds, 0.0))

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@contextmanager
def current_process(process_id: str) -> Iterator[Process]:
    """Handle SIGTERM and SIGINT within the block: the job stops at its next safe point.

    Main thread only. A second SIGINT interrupts at once.
    """
    termination = _Termination()
    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, termination.request)
    try:
        yield Process(
            now=lambda: datetime.now(UTC),
            sleep=termination.sleep,
            random=random.random,
            stopping=lambda: termination.requested,
            process_id=process_id,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        termination.close()
