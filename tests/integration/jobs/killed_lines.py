"""Processes that die at a line of the code, as by SIGKILL: no handler runs, no transaction ends."""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

KILLED = 137
Line = tuple[str, int]


@cache
def _statements(path: str) -> frozenset[int]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return frozenset(node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt))


@dataclass(frozen=True)
class WatchedLines:
    """The statements of some functions of the jobs.

    Attributes:
        functions: their names, by the name of the file.
        in_threads: whether threads that begin later are watched, too.
    """

    functions: Mapping[str, Collection[str]]
    in_threads: bool = False

    def passed_by(self, act: Callable[[], object]) -> list[Line]:
        """Do it, and return the statements that it passed, each once, in order."""
        lines: dict[Line, None] = {}

        def note(frame: FrameType) -> None:
            if frame.f_lineno in _statements(frame.f_code.co_filename):
                lines[Path(frame.f_code.co_filename).name, frame.f_lineno] = None

        with self._traced(note):
            act()
        return list(lines)

    def die_at(self, line: Line, act: Callable[[], object]) -> int:
        """Do it in a process that dies when it comes to a line; return its exit code."""

        def die(frame: FrameType) -> None:
            if (Path(frame.f_code.co_filename).name, frame.f_lineno) == line:
                os._exit(KILLED)

        def traced() -> None:
            with self._traced(die):
                act()

        return exit_code_of(traced)

    @contextmanager
    def _traced(self, at_line: Callable[[FrameType], None]) -> Iterator[None]:
        def trace(frame: FrameType, event: str, _argument: Any) -> Any:
            if not self._watches(frame):
                return None
            if event == "line":
                at_line(frame)
            return trace

        if self.in_threads:
            threading.settrace(trace)
        sys.settrace(trace)
        yield
        sys.settrace(None)
        if self.in_threads:
            threading.settrace(None)

    def _watches(self, frame: FrameType) -> bool:
        code = frame.f_code
        named = self.functions.get(Path(code.co_filename).name, ())
        return "catchup_jobs" in code.co_filename and code.co_name in named


def exit_code_of(act: Callable[[], object]) -> int:
    """Do it in a process that is forked for it, and return its exit code."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
