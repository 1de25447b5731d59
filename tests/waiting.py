"""Waiting for what a cluster does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from catchup_dev.cluster import Cluster

T = TypeVar("T")
# Asking may cost more than what is waited for: a kubectl is a fifth of a second of CPU.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5


# Of a machine with many times more to do than it can: a test that passes waits no longer for that.
_PATIENCE_SECONDS = 180.0


def eventually(probe: Callable[[], T | None], *, seconds: float = _PATIENCE_SECONDS) -> T:
    """Return the first truthy value of the probe; fail with the last value, or its error, after the time."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
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
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)


def await_established(cluster: Cluster, *definitions: str) -> None:
    """Wait until the API server serves definitions, by name; `kubectl wait` fails while one has no conditions."""
    for name in definitions:
        eventually(partial(_is_established, cluster, name))


def _is_established(cluster: Cluster, name: str) -> bool:
    definition = cluster.read(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
