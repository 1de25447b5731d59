"""The served namespaces: where this operator may write. Each has a Lease, which one release holds at a time.

Two releases that serve one namespace would undo each other's writes without end. Where all namespaces are served, the
Lease of one is taken when its first UserSchedule is to be written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import LEASE_NAME, LEASES
from catchup_operator.reconcile.work_queue import GoneError, RetryAfterError
from catchup_operator.state.namespace_lease import CHECK_SECONDS, NamespaceLease, renewal

_AT_ONCE: Final = 8
"""Leases that are taken or renewed at the same time."""
# The requests of many resources for one Lease are one.
_PAUSE_SECONDS: Final = 2.0
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
# A Role goes with its namespace.
_PERHAPS_GONE: Final = {403, _NOT_FOUND}

logger = logging.getLogger(__name__)


class NotHeldError(RetryAfterError):
    """Another release holds the Lease. The loop says so; what waits for it says nothing."""

    log_level = logging.DEBUG
    result = "not_held"


@dataclass(slots=True)
class _Namespace:
    namespace: str
    lease: NamespaceLease
    error: ApiError | None = None
    gone: bool = False
    ends: bool = False
    asked_at: float = float("-inf")
    is_in_turn: bool = False
    looked_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class ServedNamespaces:
    """Takes and renews the Leases of the served namespaces.

    Args:
        client: the client.
        namespaces: the served namespaces; none stands for all.
        identity: the release.
        now: the time (aware) that a Lease names.
    """

    def __init__(
        self, client: KubeClient, namespaces: Sequence[str], *, identity: str, now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._all = not namespaces
        self._identity = identity
        self._now = now
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._on_gone: Callable[[str], None] = lambda _: None
        self._known = {namespace: self._new(namespace) for namespace in namespaces}

    @property
    def identity(self) -> str:
        """The release by which this operator holds Leases."""
        return self._identity

    def subscribe(self, on_gone: Callable[[str], None]) -> None:
        """Call `on_gone` with each of the named namespaces that is found gone from now on."""
        self._on_gone = on_gone

    async def require(self, namespace: str) -> None:
        """Return if this operator may write in a namespace.

        Raises:
            NotHeldError: another release serves it.
            GoneError: it is gone; it may come back.
            ApiError: the Lease cannot be read or written.
        """
        served = self._known.get(namespace) or self._known.setdefault(namespace, self._new(namespace))
        if served.lease.is_held(time.monotonic()):
            return
        async with served.lock:
            if time.monotonic() - served.asked_at > (CHECK_SECONDS if served.lease.holder else _PAUSE_SECONDS):
                await self._renew(served)
        if served.gone and self._all and not served.ends:
            return  # there is nothing to write, as the next read says
        if served.gone:
            raise GoneError(self._problem(served), seconds=CHECK_SECONDS)
        if served.error is not None:
            raise served.error
        if not served.lease.is_held(time.monotonic()):
            raise NotHeldError(self._problem(served), seconds=CHECK_SECONDS)

    def check(self, namespace: str) -> None:
        """Return if a write that follows `require` may still be sent: a reconciliation may outlast a Lease.

        Raises:
            NotHeldError: the Lease could not be renewed meanwhile.
        """
        served = self._known.get(namespace)
        if served is not None and not served.lease.is_held(time.monotonic()):
            raise NotHeldError(self._problem(served), seconds=CHECK_SECONDS)

    async def ends(self, namespace: str, error: ApiError) -> bool:
        """Whether the namespace of a request that failed is deleted: whatever else is to be written there is dropped.

        The server says so of what is to be made, or denies a permission, since the Role goes with its namespace.
        """
        served = self._known.get(namespace)
        if served is None or served.gone:
            return error.namespace_ends or (served is not None and error.missing_permission is not None)
        if error.namespace_ends or (error.missing_permission and await self._is_known_gone(served)):
            self._note_gone(served)
            served.ends = True
        return served.gone

    async def _is_known_gone(self, served: _Namespace) -> bool:
        """Ask about the namespace, at most once in `CHECK_SECONDS`; those who ask meanwhile wait for the answer."""
        async with served.asking:
            if self._all or served.gone or time.monotonic() - served.looked_at < CHECK_SECONDS:
                return served.gone
            served.looked_at = time.monotonic()
            try:
                return await self._client.is_gone(served.namespace)
            except ApiError:
                return False

    def serves(self, namespace: str) -> bool:
        """Whether a namespace is to be served and, as far as is known, is there."""
        return self._all or (namespace in self._known and not self.is_gone(namespace))

    def is_gone(self, namespace: str | None) -> bool:
        """Whether a served namespace was deleted, or is being deleted: no reason not to be ready for the others."""
        return namespace in self._known and self._known[namespace].gone

    def problems(self) -> list[str]:
        """Return why this operator may not write in namespaces that it is to serve; empty if it may in all."""
        at = time.monotonic()
        return [self._problem(one) for one in self._known.values() if not (one.gone or one.lease.is_held(at))]

    def counts(self) -> dict[str, int]:
        """Return how many namespaces are `held`, held by `another` release, `gone`, or `unknown` so far."""
        at, counts = time.monotonic(), {"held": 0, "another": 0, "gone": 0, "unknown": 0}
        for served in self._known.values():
            if served.gone:
                counts["gone"] += 1
            elif served.lease.is_held(at):
                counts["held"] += 1
            else:
                counts["another" if served.lease.holder else "unknown"] += 1
        return counts

    async def run(self) -> None:
        """Take, renew and watch the Leases, until cancelled."""
        # One that hangs holds up no other: several hundred, one after the other, would outlast their Leases.
        async with asyncio.TaskGroup() as tasks:
            while True:
                for served in self._known.values():
                    if served.lease.renewal_is_due(time.monotonic()) and not served.is_in_turn:
                        served.is_in_turn = True
                        tasks.create_task(self._renew_in_turn(served))
                await asyncio.sleep(CHECK_SECONDS)

    async def _renew_in_turn(self, served: _Namespace) -> None:
        try:
            async with self._slots, served.lock:
                await self._renew(served)
        finally:
            served.is_in_turn = False

    def _new(self, namespace: str) -> _Namespace:
        return _Namespace(namespace, NamespaceLease(self._identity))

    def _problem(self, served: _Namespace) -> str:
        if served.gone:
            return (
                f"namespace {served.namespace} is gone, or is being deleted; should it come back, `helm upgrade` makes "
                "the permissions there"
            )
        if served.error is not None:
            return f"the Lease {LEASE_NAME} in namespace {served.namespace}: {served.error}"
        return self._held_by_another(served)

    def _held_by_another(self, served: _Namespace) -> str:
        if served.lease.holder is None:
            return f"the Lease {LEASE_NAME} in namespace {served.namespace} is not held yet"
        return (
            f"namespace {served.namespace} is served by the release {served.lease.holder} (Lease {LEASE_NAME}), and so "
            f"not by this one, {self._identity}; let only one of them serve it (operator.namespaces)"
        )

    async def _renew(self, served: _Namespace) -> None:
        served.asked_at = at = time.monotonic()
        was_held, holder, ended = served.lease.is_held(at), served.lease.holder, served.ends
        try:
            try:
                await self._take(served, at)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
                await self._take(served, at)  # another operator came between; see which
        except ApiError as error:
            await self._fail(served, error)
            return
        if served.ends and not ended:
            served.lease.lost()  # another request has found out meanwhile
            return
        served.error, served.gone, served.ends = None, False, False
        if served.lease.holder is not None and (was_held or served.lease.holder != holder):
            logger.warning("%s", self._held_by_another(served))
        elif holder is not None and served.lease.holder is None:
            logger.info("namespace %s is served by this release now; it was by %s", served.namespace, holder)

    async def _fail(self, served: _Namespace, error: ApiError) -> None:
        if not await self._is_gone(served, error):
            served.error, served.gone, served.ends = error, False, False
            logger.warning("%s", self._problem(served))
            return
        self._note_gone(served)
        served.ends = error.namespace_ends and error.status != _NOT_FOUND
        if self._all and not served.ends:
            self._known.pop(served.namespace, None)

    def _note_gone(self, served: _Namespace) -> None:
        if served.gone:
            return
        was_held = served.lease.is_held(time.monotonic())
        served.gone, served.error = True, None
        served.lease.lost()
        if not self._all:
            self._on_gone(served.namespace)
        if was_held or not self._all:  # where all are served, one that is gone is asked for anew each time
            logger.warning("%s", self._problem(served))

    async def _is_gone(self, served: _Namespace, error: ApiError) -> bool:
        if error.namespace_ends:
            return True
        if self._all:
            return error.status == _NOT_FOUND
        try:
            return error.status in _PERHAPS_GONE and await self._client.is_gone(served.namespace)
        except ApiError:
            return False

    async def _take(self, served: _Namespace, at: float) -> None:
        """Take or renew the Lease, if it may be. Raises ApiError: 409 where another operator came between."""
        lease = await self._client.get(LEASES, served.namespace, LEASE_NAME)
        before: dict[str, Any] = (lease or {}).get("spec") or {}
        served.lease.observe(before, at)
        if not served.lease.may_take(at):
            return
        spec = renewal(before, self._identity, self._now())
        metadata = {"namespace": served.namespace, "name": LEASE_NAME}
        manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if lease is None:
            await self._client.create(LEASES, manifest)
        else:
            if served.ends:  # there it can still be renewed, but not be made
                await self._try_to_create(manifest)
            version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
            await self._client.merge(LEASES, served.namespace, LEASE_NAME, {"metadata": version, "spec": spec})
        served.lease.renewed(at)

    async def _try_to_create(self, manifest: dict[str, Any]) -> None:
        """Return if objects can be made in a namespace again, by a Lease that is there. Raises ApiError."""
        try:
            await self._client.create(LEASES, manifest)
        except ApiError as error:
            if not error.already_exists:
                raise
