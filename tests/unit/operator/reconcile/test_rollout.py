from __future__ import annotations

import asyncio
import logging

import pytest

from catchup_operator.manifests.names import Key
from catchup_operator.reconcile.rollout import Rollout


async def rolled(
    rollout: Rollout[Key], monkeypatch: pytest.MonkeyPatch, *, pauses: int
) -> tuple[list[Key], list[float]]:
    """Run until that many pauses have passed."""
    visited: list[Key] = []
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == pauses:
            raise asyncio.CancelledError

    monkeypatch.setattr("catchup_operator.reconcile.rollout.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await rollout.run(visited.append)
    return visited, waited


async def test_each_is_visited_once_and_never_faster_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = Rollout[Key](per_second=4)
    for number in range(3):
        rollout.add(("people", f"u{number}"))
        rollout.add(("people", "u0"))
    assert rollout.progress == (0, 3)
    visited, waited = await rolled(rollout, monkeypatch, pauses=3)
    assert visited == [("people", "u0"), ("people", "u1"), ("people", "u2")]
    assert waited == [0.25] * 3
    assert rollout.progress == (3, 0)


async def test_progress_is_logged_now_and_then_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rollout = Rollout[Key](per_second=100)
    for number in range(50):
        rollout.add(("people", f"u{number}"))
    with caplog.at_level(logging.INFO):
        await rolled(rollout, monkeypatch, pauses=50)
    assert len(caplog.messages) == 2
    assert "50 resources taken up, 0 to go" in caplog.messages[-1]
