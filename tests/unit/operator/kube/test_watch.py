from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.watch import Watch


class Script:
    """An API server that answers each watch as scripted, and ends the loop after the last answer."""

    def __init__(self, *answers: list[dict[str, Any]] | ApiError) -> None:
        self.answers = list(answers)
        self.lists = 0

    async def list_pages(self, *_: Any, **__: Any) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        self.lists += 1
        yield [], "1"

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        if not self.answers:
            raise asyncio.CancelledError
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        for item in answer:
            yield "MODIFIED", item


class Notes:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.lists = 0

    def list_started(self) -> None: ...

    def observe(self, item: dict[str, Any]) -> None:
        self.seen.append(item["metadata"]["name"])

    def forget(self, item: dict[str, Any]) -> None: ...

    def list_ended(self) -> None:
        self.lists += 1


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("catchup_operator.kube.watch.asyncio.sleep", sleep)
    return found


async def follow(script: Script) -> Notes:
    notes = Notes()
    with pytest.raises(asyncio.CancelledError):
        await Watch(cast(KubeClient, script), "jobs", None, notes, selector="").run()
    return notes


def item(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": "2"}}


async def test_a_server_that_forgets_every_version_at_once_is_asked_at_growing_intervals(pauses: list[float]) -> None:
    script = Script(*[ApiError(410, "too old")] * 8)
    await follow(script)
    assert script.lists == 9
    assert len(pauses) == 8
    assert min(pauses) >= 0.5
    assert all(15 <= pause <= 30 for pause in pauses[-2:])


async def test_an_outage_of_a_night_does_not_end_the_watch(pauses: list[float]) -> None:
    await follow(Script(*[ApiError(0, "refused")] * 2000))
    assert len(pauses) == 2000


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hot_loop(pauses: list[float]) -> None:
    await follow(Script([], [], []))
    assert pauses == [1.0, 1.0, 1.0]


async def test_pauses_are_short_again_after_an_event(pauses: list[float]) -> None:
    notes = await follow(Script(*[ApiError(500, "x")] * 6, [item("a")], ApiError(500, "x")))
    assert notes.seen == ["a"]
    assert pauses[-1] <= 1.0 < pauses[-2]


async def test_nothing_is_asked_of_a_namespace_that_is_gone_and_it_is_listed_anew_when_it_is_back(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(ApiError(403, "forbidden"), [item("a")])
    looks = iter([False, True, True, True, False])  # before each list, and while it is gone
    watch = Watch(cast(KubeClient, script), "jobs", "people", notes := Notes(), is_gone=lambda: next(looks, False))
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert (script.lists, notes.seen) == (2, ["a"])
    assert notes.lists == 3  # and an empty one: with the namespace all is gone
    assert pauses[1:] == [1.0, 1.0]
    assert len(caplog.records) == 1
    assert watch.silent_seconds < 60
