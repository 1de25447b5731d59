from __future__ import annotations

import asyncio
import selectors
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from catchup_operator.kube.errors import ApiError
from catchup_operator.reconcile import served_namespaces as module
from catchup_operator.reconcile.served_namespaces import NotHeldError, ServedNamespaces
from catchup_operator.reconcile.work_queue import GoneError
from catchup_operator.state.namespace_lease import CHECK_SECONDS, RENEW_SECONDS

OTHER = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "two/jobs", "leaseDurationSeconds": 180}}
FORBIDDEN = ApiError(403, 'cannot get resource "leases"')
NO_NAMESPACE = ApiError(404, 'namespaces "people" not found')
ENDS = ApiError(403, "unable to create new content in namespace people", causes=["NamespaceTerminating"])


class Api:
    """The API server's one Lease; `failures` are raised in turn by reads or writes."""

    def __init__(self, lease: dict[str, Any] | None = None, *, gone: bool = False) -> None:
        self.lease = lease
        self.gone = gone
        self.read_error: ApiError | None = None
        self.write_errors: list[ApiError] = []
        self.writes: list[dict[str, Any]] = []
        self.reads = 0

    async def get(self, *_: str) -> dict[str, Any] | None:
        self.reads += 1
        if self.read_error is not None:
            raise self.read_error
        return self.lease

    async def is_gone(self, _: str) -> bool:
        return self.gone

    async def create(self, _: str, manifest: dict[str, Any]) -> None:
        await self.merge("", "", "", manifest)

    async def merge(self, _resource: str, _namespace: str, _name: str, patch: dict[str, Any]) -> None:
        if self.write_errors:
            raise self.write_errors.pop(0)
        self.writes.append(patch)


def served_namespaces(api: Api, *namespaces: str) -> ServedNamespaces:
    return ServedNamespaces(
        cast(Any, api), namespaces, identity="one/jobs", now=lambda: datetime(2026, 11, 24, tzinfo=UTC)
    )


async def test_a_lease_is_taken_once_for_many_writes() -> None:
    api = Api()
    found = served_namespaces(api, "people")
    assert "not held yet" in found.problems()[0]
    for _ in range(100):
        await found.require("people")
    assert (api.reads, len(api.writes), found.problems()) == (1, 1, [])


async def test_a_lease_of_another_release_is_asked_for_once_by_many_writes_and_never_written() -> None:
    api = Api(OTHER)
    found = served_namespaces(api, "people")
    for _ in range(100):
        with pytest.raises(NotHeldError, match="served by the release two/jobs"):
            await found.require("people")
    assert (api.reads, api.writes) == (1, [])


async def test_two_that_take_a_lease_at_once_both_read_who_did() -> None:
    api = Api()
    api.write_errors = [ApiError(409, "exists")]
    found = served_namespaces(api, "people")
    await found.require("people")  # nobody after all
    assert (api.reads, len(api.writes)) == (2, 1)


async def test_a_lease_that_cannot_be_read_lets_nothing_be_written() -> None:
    api = Api()
    api.read_error = FORBIDDEN
    found = served_namespaces(api, "people")
    with pytest.raises(ApiError, match="cannot get"):
        await found.require("people")
    assert found.serves("people")
    assert "cannot get" in found.problems()[0]


async def test_a_namespace_that_is_gone_is_no_problem_and_not_served() -> None:
    api = Api(gone=True)
    api.read_error = FORBIDDEN  # its Role went with it
    found = served_namespaces(api, "people", "friends")
    with pytest.raises(GoneError, match="is gone"):
        await found.require("people")
    assert (found.is_gone("people"), found.serves("people"), found.serves("friends")) == (True, False, True)
    assert not any("people" in problem for problem in found.problems())
    assert not found.serves("strangers")


async def test_that_a_namespace_is_gone_is_told_once_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    api, told, at = Api(gone=True), list[str](), [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: at[0]))
    found = served_namespaces(api, "people", "friends")
    found.subscribe(told.append)
    for gone in (True, True, False, True):
        at[0] += 1000
        api.read_error = FORBIDDEN if gone else None
        with suppress(GoneError):
            await found.require("people")
    assert told == ["people", "people"]


async def test_a_namespace_in_which_nothing_can_be_made_any_more_is_gone_too() -> None:
    api = Api()
    api.write_errors = [ENDS]
    found = served_namespaces(api, "people")
    with pytest.raises(GoneError, match="is being deleted"):
        await found.require("people")
    assert (found.is_gone("people"), found.problems()) == (True, [])


@pytest.mark.parametrize("error", [NO_NAMESPACE, ENDS], ids=["gone", "ends"])
async def test_where_all_are_served_a_namespace_that_is_gone_is_forgotten(
    error: ApiError, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api()
    api.write_errors = [error]
    found = served_namespaces(api)
    with suppress(GoneError):
        await found.require("people")
    api.write_errors = [NO_NAMESPACE]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 1000))
    await found.require("people")  # the next read says that there is nothing to write
    assert found.problems() == []
    assert not found.is_gone("people")


@pytest.mark.parametrize("served", [("people", "friends"), ()], ids=["named", "all"])
async def test_what_is_refused_first_in_a_namespace_that_ends_ends_all_else_there_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, served: tuple[str, ...]
) -> None:
    api, told, at = Api(), list[str](), [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: at[0]))
    found = served_namespaces(api, *served)
    found.subscribe(told.append)
    for namespace in ("people", "friends"):
        await found.require(namespace)
    api.lease = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "one/jobs"}}
    assert await found.ends("people", ENDS)
    assert not await found.ends("friends", ApiError(403, "exceeded quota"))
    for _ in range(20):  # the Lease is still there, and can be renewed
        at[0] += CHECK_SECONDS + 1
        assert await found.ends("people", ENDS)
        api.write_errors = [ENDS]
        with pytest.raises(GoneError):
            await found.require("people")
        with pytest.raises(NotHeldError):
            found.check("people")
    assert (found.is_gone("people"), found.is_gone("friends")) == (True, False)
    assert len([line for line in caplog.messages if "namespace people" in line]) == 1
    assert told == (["people"] if served else [])
    api.write_errors = [ApiError(409, "it is there", reason="AlreadyExists")]
    at[0] += CHECK_SECONDS + 1
    await found.require("people")  # another one of that name
    assert not found.is_gone("people")


async def test_a_permission_that_is_missing_has_it_asked_once_whether_the_namespace_is_gone_with_its_role(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, at = list[str](), [0.0]

    class Asked(Api):
        async def is_gone(self, namespace: str) -> bool:
            asked.append(namespace)
            await asyncio.sleep(0)
            return self.gone

    api = Asked()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: at[0]))
    found = served_namespaces(api, "people", "friends")
    await found.require("people")
    denied = ApiError(403, 'cannot patch resource "cronjobs"')

    async def answers() -> set[bool]:
        return set(await asyncio.gather(*(found.ends("people", denied) for _ in range(20))))

    assert (await answers(), await answers(), asked) == ({False}, {False}, ["people"])
    at[0] += CHECK_SECONDS + 1
    api.gone = True
    assert (await answers(), await answers(), asked) == ({True}, {True}, ["people"] * 2)
    assert found.is_gone("people")
    assert len([line for line in caplog.messages if "namespace people is gone" in line]) == 1


async def test_a_renewal_that_was_under_way_when_a_namespace_was_found_to_end_does_not_bring_it_back() -> None:
    class Slow(Api):
        async def merge(self, *arguments: Any) -> None:
            await found.ends("people", ENDS)
            await super().merge(*arguments)

    api = Slow()
    found = served_namespaces(api, "people")
    with pytest.raises(GoneError):
        await found.require("people")
    assert found.is_gone("people")


class Skipping(selectors.DefaultSelector):
    """Lets an event loop skip its pauses: `now` is its clock (seconds)."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


@pytest.fixture
def skipping(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[asyncio.AbstractEventLoop, Skipping]]:
    selector = Skipping()
    loop = asyncio.SelectorEventLoop(selector)
    monkeypatch.setattr(loop, "time", lambda: selector.now)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: selector.now))
    yield loop, selector
    loop.close()


class Slow:
    """An API server that takes half a second for each request, and a minute for those about one namespace."""

    def __init__(self, clock: Skipping, hanging: str = "") -> None:
        self._clock = clock
        self._hanging = hanging
        self.renewed: defaultdict[str, list[float]] = defaultdict(list)

    async def get(self, _resource: str, namespace: str, _name: str) -> None:
        await asyncio.sleep(60 if namespace == self._hanging else 0.5)

    async def create(self, _: str, manifest: dict[str, Any]) -> None:
        await asyncio.sleep(0.5)
        self.renewed[manifest["metadata"]["namespace"]].append(self._clock.now)


def test_the_leases_of_several_hundred_namespaces_are_renewed_once_a_minute_each(
    skipping: tuple[asyncio.AbstractEventLoop, Skipping],
) -> None:
    loop, clock = skipping
    served = [f"n-{number}" for number in range(400)]
    api = Slow(clock, hanging="n-0")
    found = served_namespaces(cast(Any, api), *served)

    async def run() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(found.run(), 600)

    loop.run_until_complete(run())
    assert sorted(api.renewed) == sorted(served)
    for namespace in served[1:]:
        times = api.renewed[namespace]
        pauses = [after - before for before, after in pairwise(times)]
        assert times[0] <= 60, namespace
        assert 600 - times[-1] <= 130, namespace
        # More often than once a minute would be wasted; rarer than every 150 s the Lease would not be held.
        assert all(59 <= pause <= 130 for pause in pauses), (namespace, pauses)


async def test_a_write_is_prevented_where_the_lease_could_not_be_renewed_since_it_was_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, at = Api(), [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: at[0]))
    found = served_namespaces(api, "people")
    with pytest.raises(NotHeldError, match="not held yet"):
        found.check("people")
    await found.require("people")
    at[0] += 149
    found.check("people")
    at[0] += 2
    with pytest.raises(NotHeldError):
        found.check("people")
    found.check("of nobody that asks for Leases")


@pytest.mark.parametrize("lease", [None, "another's"])
def test_a_held_lease_is_renewed_every_renew_seconds_and_one_of_another_is_read_every_check_seconds(
    skipping: tuple[asyncio.AbstractEventLoop, Skipping], lease: str | None
) -> None:
    loop, clock = skipping
    read_at: list[float] = []

    class Timed(Api):
        async def get(self, *_: str) -> dict[str, Any] | None:
            read_at.append(clock.now)
            return await super().get(*_)

    long = {"metadata": OTHER["metadata"], "spec": {"holderIdentity": "two/jobs", "leaseDurationSeconds": 10**6}}

    async def run() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(served_namespaces(Timed(long if lease else None), "people").run(), 600)

    loop.run_until_complete(run())
    gaps = {round(later - earlier, 1) for earlier, later in pairwise(read_at)}
    assert gaps == {CHECK_SECONDS if lease else RENEW_SECONDS}
