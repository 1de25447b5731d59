from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from yarl import URL

from catchup_operator.pace import PAGE, Pace

FIRST, FURTHER, WATCH = "https://api/x?limit=200", "https://api/x?limit=200&continue=abc", "https://api/x?watch=true"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.pace._LOOK_SECONDS", 0.001)


async def ask(pace: Pace, url: str) -> asyncio.Task[Any]:
    async def handler(_: Any) -> Any:
        return "answer"

    task: asyncio.Task[Any] = asyncio.ensure_future(pace.hold(cast(Any, SimpleNamespace(url=URL(url))), handler))
    await asyncio.sleep(0.02)
    return task


async def test_a_further_page_waits_until_most_of_the_last_is_dealt_with() -> None:
    pace = Pace()
    assert (await ask(pace, FIRST)).done()
    further = await ask(pace, FURTHER)
    for _ in range(PAGE - 60):
        pace.dealt_with()
    await asyncio.sleep(0.02)
    assert not further.done()
    for _ in range(20):
        pace.dealt_with()
    assert await further == "answer"
    assert not (await ask(pace, FURTHER)).done()


async def test_first_pages_and_watches_never_wait() -> None:
    pace = Pace()
    for url in (FIRST, FIRST, WATCH):
        assert (await ask(pace, url)).done()


@pytest.mark.parametrize("limit", ["_IDLE_SECONDS", "_HOLD_SECONDS", "_LIST_SECONDS"])
async def test_no_page_waits_without_end(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(f"catchup_operator.pace.{limit}", 0.005)
    pace = Pace()
    await ask(pace, FIRST)
    assert await (await ask(pace, FURTHER)) == "answer"


async def test_a_list_that_begins_anew_is_counted_anew() -> None:
    pace = Pace()
    await ask(pace, FIRST)
    for _ in range(5 * PAGE):
        pace.dealt_with()
    await ask(pace, FIRST)
    assert not (await ask(pace, FURTHER)).done()
