"""A call of a client library has a limit of time, whatever it waits for."""

from __future__ import annotations

import threading

import pytest

from catchup_jobs.adapters.time_limit import OverTimeError, within


def test_what_a_call_returns_or_raises_is_the_callers() -> None:
    assert within(60, lambda: "x") == "x"
    assert within(60, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


@pytest.mark.parametrize("seconds", [0.05, 0, -5])
def test_a_call_that_takes_too_long_is_left_to_itself_and_keeps_no_process_alive(seconds: float) -> None:
    over = threading.Event()
    with pytest.raises(OverTimeError):
        within(seconds, over.wait)
    (left,) = (thread for thread in threading.enumerate() if thread.name == "bounded call")
    assert left.daemon
    over.set()
    left.join(60)
    assert not left.is_alive()
