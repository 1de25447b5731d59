"""Waiting for what a cluster does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], *, seconds: float = 15.0) -> T:
    """Return the first truthy value of the probe; fail with the last value, or its error, after the time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = probe()
            if found:
                return found
            trouble: object = found
        except Exception as error:  # noqa: BLE001 - told below
            trouble = error
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s; last: {trouble!r}")
        time.sleep(0.1)
