from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from catchup_operator.kopf_glue.discovery import Discovery
from catchup_operator.kube.errors import ApiError


async def test_it_waits_at_growing_intervals_and_says_for_what(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[bool | ApiError] = [ApiError(0, "refused")] * 8 + [False, True]
    pauses: list[float] = []
    problems: list[list[str]] = []

    async def serves(resource: str) -> bool:
        assert resource == "userschedules"
        answer = answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        problems.append(discovery.problems())

    monkeypatch.setattr("catchup_operator.kopf_glue.discovery.asyncio.sleep", sleep)
    discovery = Discovery(cast(Any, SimpleNamespace(server="https://api.test", serves=serves)))
    assert discovery.problems() == ["the API server was not asked yet"]
    with caplog.at_level(logging.WARNING):
        await discovery.wait()
    assert discovery.problems() == []
    assert len(caplog.records) == len(pauses) == 9
    assert all(7.5 <= pause <= 15 for pause in pauses[-3:])
    assert "the API server at https://api.test does not answer" in problems[0][0]
    assert "refused" in problems[0][0]
    assert "kubectl apply -f crds/" in problems[8][0]
