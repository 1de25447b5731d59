from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from yarl import URL

from catchup_operator.kopf_glue.backpressure import PAGE, Backpressure

FIRST, FURTHER, WATCH = "https://api/x?limit=200", "https://api/x?limit=200&continue=abc", "https://api/x?watch=true"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.kopf_glue.backpressure._POLL_SECONDS", 0.001)


async def ask(backpressure: Backpressure, url: str, answer: object = None) -> asyncio.Task[Any]:
    answer = answer or SimpleNamespace(content=Content())

    async def handler(_: Any) -> Any:
        return answer

    task: asyncio.Task[Any] = asyncio.ensure_future(
        backpressure.middleware(cast(Any, SimpleNamespace(url=URL(url))), handler)
    )
    await asyncio.sleep(0.02)
    return task


async def test_a_further_page_waits_until_most_of_the_last_is_dealt_with() -> None:
    backpressure = Backpressure()
    assert (await ask(backpressure, FIRST)).done()
    further = await ask(backpressure, FURTHER)
    for _ in range(PAGE - 60):
        backpressure.processed()
    await asyncio.sleep(0.02)
    assert not further.done()
    for _ in range(20):
        backpressure.processed()
    assert await further
    assert not (await ask(backpressure, FURTHER)).done()


async def test_first_pages_and_requests_for_a_watch_never_wait() -> None:
    backpressure = Backpressure()
    for url in (FIRST, FIRST, WATCH):
        assert (await ask(backpressure, url)).done()


class Content:
    """The body of a watch: chunks of events that are there already."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


async def read(backpressure: Backpressure, *chunks: bytes) -> tuple[list[bytes], asyncio.Task[None]]:
    """Watch these chunks; return the list of those that were passed on, and the task that reads on."""
    answer = SimpleNamespace(content=Content(*chunks))
    response = await (await ask(backpressure, WATCH, answer))
    seen: list[bytes] = []

    async def follow() -> None:
        async for chunk in response.content.iter_chunked(2**20):
            seen.append(chunk)  # noqa: PERF401 - looked at while it grows

    task = asyncio.ensure_future(follow())
    await asyncio.sleep(0.02)
    return seen, task


async def test_the_events_of_a_watch_wait_until_most_of_those_before_are_dealt_with() -> None:
    backpressure = Backpressure()
    seen, reader = await read(backpressure, b"{}\n" * 60, b"{}\n" * 60, b"{}\n")
    assert len(seen) == 1
    for _ in range(10):
        backpressure.processed()
    await asyncio.sleep(0.02)
    assert len(seen) == 2
    for _ in range(60):
        backpressure.processed()
    await reader
    assert len(seen) == 3


async def test_events_that_are_dealt_with_together_hold_a_watch_back_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catchup_operator.kopf_glue.backpressure._WATCH_IDLE_SECONDS", 0.005)
    backpressure = Backpressure()
    _, reader = await read(backpressure, b"{}\n" * 1000, b"{}\n")
    await reader
    # Later events are not delayed by them.
    seen, _ = await read(backpressure, b"{}\n", b"{}\n")
    assert len(seen) == 2


@pytest.mark.parametrize("limit", ["_IDLE_SECONDS", "_HOLD_SECONDS"])
async def test_no_page_waits_without_end(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(f"catchup_operator.kopf_glue.backpressure.{limit}", 0.005)
    backpressure = Backpressure()
    await ask(backpressure, FIRST)
    assert await (await ask(backpressure, FURTHER))


async def test_a_list_that_begins_anew_is_counted_anew() -> None:
    backpressure = Backpressure()
    await ask(backpressure, FIRST)
    for _ in range(5 * PAGE):
        backpressure.processed()
    await ask(backpressure, FIRST)
    assert not (await ask(backpressure, FURTHER)).done()
