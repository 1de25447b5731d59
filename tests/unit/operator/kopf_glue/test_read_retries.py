from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from kopf._cogs.clients import watching as kopf_watching
from yarl import URL

from catchup_operator.kopf_glue.read_retries import _KOPFS_LOG, Backoffs, ReadRetries

PATH = "/apis/catchup.dev/v1alpha1/namespaces/people/userschedules"
LIST, FURTHER, WATCH = (f"https://api{PATH}?{query}" for query in ("limit=200", "limit=200&continue=abc", "watch=true"))
KINDS = "https://api/apis/catchup.dev/v1alpha1"
GONE = b'{"type": "ERROR", "object": {"code": 410}}\n'


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("catchup_operator.kopf_glue.read_retries.asyncio.sleep", sleep)
    return found


class Answer:
    """A response of the API server, or of something else in its place."""

    def __init__(self, status: int = 200, body: bytes = b"{}", *chunks: bytes, kind: str = "application/json") -> None:
        self.status = status
        self.content_type = kind
        self.body = body
        self.content = self
        self.chunks = chunks or (body,)

    @property
    def ok(self) -> bool:
        return self.status < 400

    async def read(self) -> bytes:
        return self.body

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    def close(self) -> None:
        pass


async def ask(reads: ReadRetries, url: str, answer: Answer | Exception) -> Any:
    async def handler(_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await reads.middleware(cast(Any, SimpleNamespace(url=URL(url))), handler)


async def events(response: Any) -> bytes:
    """What kopf takes from a watch: it skips empty lines."""
    lines = b"".join([chunk async for chunk in response.content.iter_chunked(100)]).splitlines(keepends=True)
    return b"".join(line for line in lines if line.strip())


@pytest.mark.parametrize("url", [LIST, FURTHER, WATCH, KINDS])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500, 503])
async def test_whatever_is_refused_is_tried_again_and_known_until_it_is_granted(url: str, status: int) -> None:
    reads = ReadRetries([])
    await ask(reads, f"https://api{reads.problems()[0].split()[1].rstrip(':')}?limit=200", Answer())
    assert reads.problems() == []
    with pytest.raises(aiohttp.ClientConnectionError, match=f"{status}: why"):
        await ask(reads, url, Answer(status, b"why"))
    (problem,) = reads.problems()
    assert problem.startswith(f"GET {URL(url).path}: {status}: why")
    is_undefined = status == 404 and URL(url).name == "userschedules"
    assert ("install their definition: kubectl apply" in problem) is is_undefined
    await ask(reads, url, Answer())
    assert reads.problems() == []


async def test_a_server_that_names_a_time_to_wait_is_left_to_kopf() -> None:
    reads = ReadRetries(["people"])
    assert (await ask(reads, LIST, Answer(429, b"slowly"))).status == 429
    assert reads.problems() == [f"GET {PATH}: 429: slowly"]


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientPayloadError("cut"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientResponseError(cast(Any, SimpleNamespace(real_url="x")), (), message="not HTTP"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_reply_that_does_not_come_whole_is_asked_for_again(error: Exception) -> None:
    reads = ReadRetries(["people"])
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(reads, KINDS, error)
    assert [problem for problem in reads.problems() if KINDS.removeprefix("https://api") + ":" in problem]


async def test_a_page_of_somebody_else_is_not_taken_for_the_api_servers_answer() -> None:
    with pytest.raises(aiohttp.ClientConnectionError, match="text/html"):
        await ask(ReadRetries([]), LIST, Answer(200, b"<html>", kind="text/html"))


async def test_a_list_that_is_too_old_is_begun_anew_and_so_is_a_watch() -> None:
    reads = ReadRetries([])
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(reads, FURTHER, Answer(410))
    response = await ask(reads, WATCH, Answer(410))
    assert (response.status, await events(response)) == (200, GONE)


async def test_a_watch_that_is_continued_long_after_the_list_is_told_to_list_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = ReadRetries([])
    await ask(reads, LIST, Answer())
    line = b'{"type":"ADDED"}\n'
    assert await events(await ask(reads, WATCH, Answer(200, line))) == line
    monkeypatch.setattr("catchup_operator.kopf_glue.read_retries._RELIST_SECONDS", -1.0)
    assert await events(await ask(reads, WATCH, Answer(200, line))) == GONE


@pytest.mark.parametrize("error", [b'{"type":"ERROR","object":{"code":%d}}\n' % code for code in (410, 500)])
@pytest.mark.parametrize(
    ("before", "after"),
    [([], []), ([b'{"type":"ADDED"}\n'], []), ([b'{"type":"ADD', b'ED"}\n'], [b'{"type":"ADDED"}\n'])],
)
async def test_any_error_of_a_watch_is_the_one_that_kopf_knows_and_its_last(
    error: bytes, before: list[bytes], after: list[bytes]
) -> None:
    told = b"".join(before) + GONE
    for chunks in ([*before, error, *after], [b"".join([*before, error, *after])]):
        response = await ask(ReadRetries([]), WATCH, Answer(200, b"", *chunks))
        assert await events(response) == told


async def test_an_error_within_a_resource_is_none_of_the_watch() -> None:
    line = b'{"type":"ADDED","object":{"metadata":{"labels":{"type":"ERROR"}},"spec":{"x":{"type":"ERROR"}}}}\n'
    assert await events(await ask(ReadRetries([]), WATCH, Answer(200, line))) == line


async def test_half_an_event_is_not_passed_on() -> None:
    response = await ask(ReadRetries([]), WATCH, Answer(200, b"", b'{"type":"ADDED"}\n{"typ', b'e":"MODI'))
    assert await events(response) == b'{"type":"ADDED"}\n'


@pytest.mark.parametrize("url", [LIST, WATCH])
async def test_lists_and_watches_that_end_at_once_are_kept_a_second_apart(url: str, pauses: list[float]) -> None:
    reads = ReadRetries([])
    for _ in range(3):
        await ask(reads, url, Answer())
    await ask(reads, FURTHER, Answer())
    assert [round(pause) for pause in pauses] == [0, 1, 1]


def test_the_pauses_grow_to_half_a_minute_and_never_end() -> None:
    pauses = list(islice(Backoffs(), 2000))
    assert 0.5 <= pauses[0] <= 1
    assert all(15 <= pause <= 30 for pause in pauses[6:])
    assert len(set(pauses[6:])) > 1000


async def test_until_the_first_list_all_served_namespaces_are_known_not_to_be() -> None:
    reads = ReadRetries(["people", "friends"])
    assert len(reads.problems()) == 2
    await ask(reads, LIST, Answer())
    assert [problem.split("/")[5] for problem in reads.problems()] == ["friends"]


async def test_kopfs_log_says_nothing_of_reads_in_a_namespace_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    gone = {"people"}
    reads = ReadRetries(["people", "friends"], gone.__contains__)
    log = logging.getLogger(_KOPFS_LOG)
    texts = [
        f"Request attempt #3 failed; will retry: GET {url} -> why" for url in (LIST, LIST.replace("people", "friends"))
    ]
    reads.start()
    try:
        for text in texts:
            log.error(text)
        gone.clear()
        log.error("%s", texts[0])
    finally:
        reads.stop()
    gone.add("people")
    log.error("%s", texts[0])
    assert [record.getMessage() for record in caplog.records] == [texts[1], texts[0], texts[0]]


def test_that_log_is_kopfs_log_of_failed_reads() -> None:
    assert kopf_watching.logger.name == _KOPFS_LOG
