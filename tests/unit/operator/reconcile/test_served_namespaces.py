from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from catchup_operator.kube.errors import ApiError
from catchup_operator.reconcile.served_namespaces import NotHeldError, ServedNamespaces
from catchup_operator.state.namespace_lease import CHECK_SECONDS, RENEW_SECONDS

OTHER = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "two/jobs", "leaseDurationSeconds": 180}}
FORBIDDEN = ApiError(403, 'cannot get resource "leases"')
NO_NAMESPACE = ApiError(404, 'namespaces "people" not found')


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
    with pytest.raises(NotHeldError, match="is gone"):
        await found.require("people")
    assert (found.is_gone("people"), found.serves("people"), found.serves("friends")) == (True, False, True)
    assert not any("people" in problem for problem in found.problems())
    assert not found.serves("strangers")


async def test_where_all_are_served_a_namespace_that_is_gone_is_forgotten() -> None:
    api = Api()
    api.write_errors = [NO_NAMESPACE]
    found = served_namespaces(api)
    await found.require("people")  # the next read says that there is nothing to write
    assert found.problems() == []
    assert not found.is_gone("people")


async def test_a_held_lease_is_renewed_every_renew_seconds_and_one_of_another_is_read_every_check_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at, sleeps = 0.0, iter(range(40))

    async def sleep(seconds: float) -> None:
        nonlocal at
        at += seconds + 0.001  # never less than was asked for
        if next(sleeps, None) is None:
            raise asyncio.CancelledError

    monkeypatch.setattr("catchup_operator.reconcile.served_namespaces.time.monotonic", lambda: at)
    monkeypatch.setattr("catchup_operator.reconcile.served_namespaces.asyncio.sleep", sleep)

    class Timed(Api):
        def __init__(self, lease: dict[str, Any] | None = None) -> None:
            super().__init__(lease)
            self.read_at: list[float] = []

        async def get(self, *_: str) -> dict[str, Any] | None:
            self.read_at.append(at)
            return await super().get(*_)

    async def gaps(lease: dict[str, Any] | None) -> set[float]:
        nonlocal at, sleeps
        at, sleeps, api = 0.0, iter(range(40)), Timed(lease)
        with contextlib.suppress(asyncio.CancelledError):
            await served_namespaces(api, "people").run()
        return {round(later - earlier, 1) for earlier, later in zip(api.read_at, api.read_at[1:], strict=False)}

    assert await gaps(None) == {RENEW_SECONDS}
    long = {"metadata": OTHER["metadata"], "spec": {"holderIdentity": "two/jobs", "leaseDurationSeconds": 10**6}}
    assert await gaps(long) == {CHECK_SECONDS}
