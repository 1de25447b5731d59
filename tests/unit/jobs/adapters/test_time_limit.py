"""A call of a client library has a limit of time, whatever it waits for."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

import pytest

from catchup_jobs.adapters.time_limit import OverTimeError, within


def test_what_a_call_returns_or_raises_is_the_callers() -> None:
    assert within(60, lambda: "x") == "x"
    assert within(60, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


_FORKED = """
import os
from catchup_jobs.adapters.time_limit import within
within(60, lambda: None)
child = os.fork()
if child == 0:
    os._exit(within(60, lambda: 7))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKED], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )
    assert done.returncode == 7


@pytest.mark.parametrize("seconds", [0.05, 0, -5])
def test_a_call_that_takes_too_long_is_left_to_itself_and_keeps_no_process_alive(seconds: float) -> None:
    over = threading.Event()
    with pytest.raises(OverTimeError):
        within(seconds, over.wait)
    assert within(60, lambda: "x") == "x"
    assert all(thread.daemon for thread in _threads())
    over.set()


def test_a_call_that_raised_holds_nothing_any_more() -> None:
    class Connection:
        pass

    def fail() -> None:
        connection = Connection()
        held.append(weakref.ref(connection))
        raise ConnectionError

    held: list[weakref.ref[Connection]] = []
    gc.disable()
    try:
        with suppress(ConnectionError):
            within(60, fail)
        assert held[0]() is None
    finally:
        gc.enable()


def test_calls_one_after_the_other_share_a_thread() -> None:
    within(60, lambda: "x")
    before = set(_threads())
    for _ in range(10):
        within(60, lambda: "x")
    assert set(_threads()) == before


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bounded calls"]
