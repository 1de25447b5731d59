"""What the developer sees: one line a step with its time, and errors that say what to do.

Long steps (a build of minutes) must not look like a hang, neither on a terminal nor in a CI log, so a step shows
a running clock on a terminal and a sign of life every half minute elsewhere.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEARTBEAT_SECONDS: Final = 30.0
"""A long step tells every so often that it goes on."""
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Failure(Exception):  # noqa: N818 - reads as what it is where it is raised
    """Something a developer can do something about: shown without a traceback."""

    def __init__(self, what: str, *, todo: str = "", log: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.log = log

    def __str__(self) -> str:
        parts = [self.what]
        if self.log:
            parts.append("Last lines of its log:\n" + "\n".join(f"    {line}" for line in self.log.splitlines()))
        if self.todo:
            parts.append(f"What to do: {self.todo}")
        return "\n".join(parts)


def exit_code_of(command: Callable[[], int], *, interrupted: str) -> int:
    """Run a command as a person started it: a failure is told without a traceback, and Ctrl-C by what it leaves.

    Returns:
        The command's own exit code, 1 after a Failure, 130 after Ctrl-C.
    """
    try:
        return command()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"\ninterrupted; {interrupted}", file=sys.stderr)
        return EXIT_INTERRUPTED


class Console:
    """Progress for people; `quiet` for tests and for callers that have their own output."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._stream = stream

    @property
    def _out(self) -> TextIO:
        return self._stream or sys.stderr

    def say(self, text: str) -> None:
        """Print a line, unless quiet."""
        if not self._quiet:
            print(text, file=self._out, flush=True)

    @contextmanager
    def step(self, title: str, progress: Callable[[], str] | None = None) -> Iterator[None]:
        """Time a step and print its line when it is over (or failed); meanwhile, what `progress` returns."""
        if self._quiet:
            yield
            return
        started = time.monotonic()
        over = threading.Event()
        clock = threading.Thread(target=self._tick, args=(title, started, over, progress or str), daemon=True)
        clock.start()
        outcome = "FAILED"
        try:
            yield
            outcome = ""
        finally:
            over.set()
            clock.join()
            self._line(title, time.monotonic() - started, outcome)

    def _tick(self, title: str, started: float, over: threading.Event, progress: Callable[[], str]) -> None:
        terminal = self._out.isatty()
        while not over.wait(0.2 if terminal else HEARTBEAT_SECONDS):
            seconds = time.monotonic() - started
            if terminal:
                self._out.write(f"\r  {title:<58} {seconds:6.1f} s ... {progress()}\033[K")
                self._out.flush()
            else:
                self.say(f"  {title} ... {seconds:.0f} s so far {progress()}".rstrip())

    def _line(self, title: str, seconds: float, outcome: str) -> None:
        start = "\r\033[K" if self._out.isatty() else ""
        self.say(f"{start}  {title:<58} {seconds:6.1f} s {outcome}".rstrip())
