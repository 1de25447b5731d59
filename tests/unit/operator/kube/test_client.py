from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from catchup_operator.kube import transport
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CRONJOBS, LEASES, REVIEWS, SCHEDULES
from catchup_operator.kube.server_access import Access, CredentialsError


async def no_token() -> dict[str, str]:
    raise CredentialsError("/var/run/token is empty")


async def test_a_token_that_cannot_be_read_for_a_moment_is_a_request_that_failed_for_us_and_for_kopf() -> None:
    client = KubeClient(Access("https://127.0.0.1:1", ssl.create_default_context(), no_token))

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    kopfs = client.session(middleware)
    try:
        with pytest.raises(ApiError, match="the token cannot be read: /var/run/token is empty"):
            await client.get(SCHEDULES, "people", "ada")
        with pytest.raises(aiohttp.ClientConnectionError, match="the token cannot be read: /var/run/token is empty"):
            await kopfs.get("https://127.0.0.1:1/apis")
    finally:
        await kopfs.close()
        await client.close()


class Throttled:
    """An API server that refuses as scripted: each entry is the `Retry-After` of a 429, then it serves."""

    def __init__(self, *retry_after: str | None) -> None:
        self.retry_after = list(retry_after)
        self.requests = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.requests += 1
        if not self.retry_after:
            return web.json_response({"metadata": {"name": "ada"}})
        after = self.retry_after.pop(0)
        return web.json_response(
            {"message": "slowly"}, status=429, headers={} if after is None else {"Retry-After": after}
        )

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubeClient]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(app) as server:
            found = KubeClient(Access(str(server.make_url("")).rstrip("/"), ssl.create_default_context(), anonymous))
            try:
                yield found
            finally:
                await found.close()


async def anonymous() -> dict[str, str]:
    return {}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(transport, "sleep", sleep)
    return found


async def test_a_request_that_the_server_puts_off_is_sent_again_after_the_time_that_it_names(
    pauses: list[float],
) -> None:
    server = Throttled("1", "7")
    async with server.client() as client:
        assert await client.get(SCHEDULES, "people", "ada") == {"metadata": {"name": "ada"}}
    assert server.requests == 3
    assert 1 <= pauses[0] <= 2
    assert 7 <= pauses[1] <= 8


async def test_a_time_that_is_too_long_for_a_request_is_left_to_whoever_tries_again(pauses: list[float]) -> None:
    server = Throttled(*["20"] * 5)
    async with server.client() as client:
        with pytest.raises(ApiError, match="slowly") as raised:
            await client.get(SCHEDULES, "people", "ada")
    assert raised.value.retry_after == 20
    assert (server.requests, len(pauses)) == (2, 1)


@pytest.mark.parametrize("named", [None, "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-3"])
async def test_without_a_time_in_seconds_a_refusal_is_an_error_as_any_other(
    pauses: list[float], named: str | None
) -> None:
    server = Throttled(named)
    async with server.client() as client:
        with pytest.raises(ApiError) as raised:
            await client.get(SCHEDULES, "people", "ada")
    assert (raised.value.status, raised.value.retry_after, pauses) == (429, 0, [])


async def test_a_write_that_is_put_off_asks_again_before_it_is_sent_again(pauses: list[float]) -> None:
    server, asked = Throttled("7"), list[str]()

    def check(namespace: str) -> None:
        asked.append(namespace)
        if len(asked) > 1:
            raise PermissionError

    async with server.client() as client:
        client.guard_writes(check)
        with pytest.raises(PermissionError):
            await client.delete(CRONJOBS, "people", "ada")
    assert (server.requests, asked, len(pauses)) == (1, ["people", "people"], 1)


async def test_of_each_refusal_but_of_leases_it_is_asked_whether_its_namespace_ends() -> None:
    asked: list[str] = []

    async def ends(namespace: str, error: ApiError) -> bool:
        assert not error.namespace_ends
        asked.append(namespace)
        return True

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "it ends"}, status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        client = KubeClient(Access(str(server.make_url("")).rstrip("/"), ssl.create_default_context(), anonymous))
        client.ask_of_ends(ends)
        with pytest.raises(ApiError, match="it ends") as refused:
            await client.create(CRONJOBS, {"metadata": {"namespace": "people", "name": "ada"}})
        assert refused.value.namespace_ends
        with pytest.raises(ApiError, match="it ends"):
            await client.get(LEASES, "people", "ada")
        await client.close()
    assert asked == ["people"]


async def test_each_write_but_that_of_a_lease_asks_first_whether_it_may_be_sent() -> None:
    server, asked = Throttled(), []

    def check(namespace: str) -> None:
        asked.append(namespace)
        if namespace == "friends":
            raise PermissionError

    def manifest(namespace: str) -> dict[str, Any]:
        return {"metadata": {"namespace": namespace, "name": "ada", "resourceVersion": "1"}}

    async with server.client() as client:
        client.guard_writes(check)
        await client.review(REVIEWS, {})
        await client.get(SCHEDULES, "friends", "ada")
        await client.merge(LEASES, "friends", "ada", {})
        await client.create(LEASES, manifest("friends"))
        served = server.requests
        writes: list[Callable[[str], Awaitable[object]]] = [
            lambda where: client.apply(CRONJOBS, manifest(where)),
            lambda where: client.create(CRONJOBS, manifest(where)),
            lambda where: client.merge(CRONJOBS, where, "ada", {}),
            lambda where: client.patch_status(SCHEDULES, manifest(where), {}),
            lambda where: client.delete(CRONJOBS, where, "ada"),
        ]
        for write in writes:
            await write("people")
            with pytest.raises(PermissionError):
                await write("friends")
    assert asked == ["people", "friends"] * len(writes)
    assert server.requests - served == len(writes)
