"""Retries of kopf's reads: every failure of a list or a watch becomes one after which kopf tries again.

kopf by itself ends, and the operator with it: after a minute of 503, 403 or refused connections; at once after a list
that is answered 404, 409, 410 or with a web page; after a truncated list of API resources; after a watch that ends with
any error but 410. It reopens a watch that is closed at once in a loop without a pause. And it never relists, so that a
lost event would stay lost. (kopf writes nothing: see handlers.py.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final
from weakref import WeakSet

import aiohttp

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL
from catchup_operator.kopf_glue.watch_body import WatchBody
from catchup_operator.kube.backoff import backoff_seconds
from catchup_operator.kube.errors import message_of
from catchup_operator.kube.resources import missing_definition

_FIRST_SECONDS: Final = 1.0
"""The first delay after a failed list or watch of UserSchedules; each further one is twice as long."""
_LONGEST_SECONDS: Final = 30.0
"""The longest delay after a failed list or watch of UserSchedules."""
_MIN_INTERVAL_SECONDS: Final = 1.0
"""The least time between the starts of two lists, or of two watches, of the same resources."""
# The API server closes a watch after half an hour to an hour. The next watch then relists, in case events were lost.
_RELIST_SECONDS: Final = 1800.0
"""How often the UserSchedules are listed anew, in case their watch lost an event."""
_TEXT_MAX: Final = 500

_ERROR_EVENT: Final = b'{"type":"ERROR"'
_NOT_FOUND: Final = 404
_GONE: Final = 410
# Where kopf logs each attempt of a list or a watch that failed.
_KOPFS_LOG: Final = "kopf._cogs.clients.watching"
_TOO_MANY_REQUESTS: Final = 429
# The only error of a watch that kopf handles: it relists.
_GONE_EVENT: Final = json.dumps({"type": "ERROR", "object": {"code": _GONE}}).encode() + b"\n"

logger = logging.getLogger(__name__)


class Backoffs(Iterable[float]):
    """The delays in seconds between kopf's attempts of a request, without end."""

    def __iter__(self) -> Iterator[float]:
        return (backoff_seconds(failures, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS) for failures in count(1))


class ReadRetries:
    """A middleware of kopf's session that turns failures into retryable ones, and knows which reads fail at present."""

    def __init__(self, namespaces: Sequence[str], is_gone: Callable[[str], bool] = lambda _: False) -> None:
        group = f"/apis/{API_GROUP}/{API_VERSION}"
        self._namespaces = {f"{group}/namespaces/{namespace}/{PLURAL}": namespace for namespace in namespaces}
        self._is_gone = is_gone
        self._problems = dict.fromkeys(self._namespaces or [f"{group}/{PLURAL}"], "not listed yet")
        self._started: dict[tuple[str, bool], float] = {}
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    def start(self) -> None:
        """Have kopf's log leave out what fails in namespaces that are gone."""
        logging.getLogger(_KOPFS_LOG).addFilter(self._is_news)

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Whether to log a record: of a namespace that is gone the log says so once, and every attempt fails."""
        gone = (path for path, namespace in self._namespaces.items() if self._is_gone(namespace))
        return not any(path in record.getMessage() for path in gone)

    def problems(self) -> list[str]:
        """Return the reads whose last attempt failed, but for those in namespaces that are gone."""
        return [
            f"GET {path}: {problem}"
            for path, problem in self._problems.items()
            if not (path in self._namespaces and self._is_gone(self._namespaces[path]))
        ]

    def stop(self) -> None:
        """Undo `start`. Cancel kopf's discovery of API resources, for the end of which it would wait 5 s."""
        logging.getLogger(_KOPFS_LOG).removeFilter(self._is_news)
        for task in self._tasks:
            task.cancel()

    async def middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request and turn every failure into one that kopf retries (a middleware of kopf's session).

        Raises:
            aiohttp.ClientConnectionError: kopf sends the request again.
            aiohttp.ClientPayloadError: kopf starts the list again.
        """
        path, query = request.url.path, request.url.query
        listed_at = self._started.get((path, False), float("inf"))
        relist_due = "watch" in query and time.monotonic() - listed_at > _RELIST_SECONDS
        if "watch" in query or ("limit" in query and "continue" not in query):
            await self._limit_rate(path, watch="watch" in query)
        elif not query and (task := asyncio.current_task()):
            self._tasks.add(task)
        try:
            response = await handler(request)
            body = b"" if "watch" in query and response.ok else await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failed(path, f"{type(error).__name__}: {error}") from None
        if response.status == _GONE or (relist_due and response.ok):
            logger.info("GET %s: the list or the watch has expired; relisting", path)
            if "watch" not in query:
                raise aiohttp.ClientPayloadError("the list has expired")
            response.status = 200
            _ExpiredBody.wrap(response, path)
        elif not response.ok:
            hint = f": {missing_definition(PLURAL)}" if response.status == _NOT_FOUND and path.endswith(PLURAL) else ""
            failure = self._failed(path, f"{response.status}: {message_of(body)}{hint}")
            # 429 may name a time to wait (Retry-After), which kopf respects.
            if response.status != _TOO_MANY_REQUESTS:
                raise failure
        elif "json" not in response.content_type:
            response.close()
            raise self._failed(path, f"not a response of the API server, but {response.content_type}")
        else:
            self._problems.pop(path, None)
            if "watch" in query:
                _EventsBody.wrap(response, path)
        return response

    def _failed(self, path: str, problem: str) -> aiohttp.ClientConnectionError:
        self._problems[path] = problem
        return aiohttp.ClientConnectionError(problem)

    async def _limit_rate(self, path: str, *, watch: bool) -> None:
        started = self._started.get((path, watch), 0.0)
        await asyncio.sleep(max(0.0, started + _MIN_INTERVAL_SECONDS - time.monotonic()))
        self._started[path, watch] = time.monotonic()


class _EventsBody(WatchBody):
    """The body of a watch: whole lines only, and any ERROR event replaced by the one that kopf handles."""

    def __init__(self, content: aiohttp.StreamReader, path: str) -> None:
        super().__init__(content)
        self._path = path

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in super().iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            lines += newline
            if _ERROR_EVENT in lines:
                before, mark, error = (b"\n" + lines).partition(b"\n" + _ERROR_EVENT)
                if mark:
                    text = error[:_TEXT_MAX].decode(errors="replace").strip()
                    logger.info("GET %s: the watch ended: %s", self._path, text)
                    yield before + b"\n" + _GONE_EVENT
                    return
            yield lines


class _ExpiredBody(_EventsBody):
    """The body of a watch that has expired."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:  # noqa: ARG002
        yield _GONE_EVENT
