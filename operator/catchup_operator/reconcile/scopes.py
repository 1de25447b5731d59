"""Scopes: the namespaces in which this operator may write. Each has a Lease, which one release holds at a time.

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
from catchup_operator.state.namespace_lease import NamespaceLease, renewal

_CHECK_SECONDS: Final = 15.0
"""How often the Lease of a namespace is looked at that another release holds."""
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
class _Scope:
    namespace: str
    lease: NamespaceLease
    error: ApiError | None = None
    gone: bool = False
    asked_at: float = float("-inf")
    is_in_turn: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Scopes:
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
        self._scopes = {namespace: self._new(namespace) for namespace in namespaces}

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
        scope = self._scopes.get(namespace) or self._scopes.setdefault(namespace, self._new(namespace))
        if scope.lease.is_held(time.monotonic()):
            return
        async with scope.lock:
            if time.monotonic() - scope.asked_at > (_CHECK_SECONDS if scope.lease.holder else _PAUSE_SECONDS):
                await self._renew(scope)
        if scope.gone and self._all:
            return  # there is nothing to write, as the next read says
        if scope.gone:
            raise GoneError(self._problem(scope), seconds=_CHECK_SECONDS)
        if scope.error is not None:
            raise scope.error
        if not scope.lease.is_held(time.monotonic()):
            raise NotHeldError(self._problem(scope), seconds=_CHECK_SECONDS)

    def check(self, namespace: str) -> None:
        """Return if a write that follows `require` may still be sent: a reconciliation may outlast a Lease.

        Raises:
            NotHeldError: the Lease could not be renewed meanwhile.
        """
        scope = self._scopes.get(namespace)
        if scope is not None and not scope.lease.is_held(time.monotonic()):
            raise NotHeldError(self._problem(scope), seconds=_CHECK_SECONDS)

    def serves(self, namespace: str) -> bool:
        """Whether a namespace is to be served and, as far as is known, is there."""
        return self._all or (namespace in self._scopes and not self.is_gone(namespace))

    def is_gone(self, namespace: str | None) -> bool:
        """Whether a served namespace was deleted, or is being deleted: no reason not to be ready for the others."""
        return namespace in self._scopes and self._scopes[namespace].gone

    def problems(self) -> list[str]:
        """Return why this operator may not write in namespaces that it is to serve; empty if it may in all."""
        at = time.monotonic()
        return [self._problem(scope) for scope in self._scopes.values() if not (scope.gone or scope.lease.is_held(at))]

    def counts(self) -> dict[str, int]:
        """Return how many namespaces are `held`, held by `another` release, `gone`, or `unknown` so far."""
        at, counts = time.monotonic(), {"held": 0, "another": 0, "gone": 0, "unknown": 0}
        for scope in self._scopes.values():
            if scope.gone:
                counts["gone"] += 1
            elif scope.lease.is_held(at):
                counts["held"] += 1
            else:
                counts["another" if scope.lease.holder else "unknown"] += 1
        return counts

    async def run(self) -> None:
        """Take, renew and watch the Leases, until cancelled."""
        # One that hangs holds up no other: several hundred, one after the other, would outlast their Leases.
        async with asyncio.TaskGroup() as tasks:
            while True:
                for scope in self._scopes.values():
                    if scope.lease.renewal_is_due(time.monotonic()) and not scope.is_in_turn:
                        scope.is_in_turn = True
                        tasks.create_task(self._renew_in_turn(scope))
                await asyncio.sleep(_CHECK_SECONDS)

    async def _renew_in_turn(self, scope: _Scope) -> None:
        try:
            async with self._slots, scope.lock:
                await self._renew(scope)
        finally:
            scope.is_in_turn = False

    def _new(self, namespace: str) -> _Scope:
        return _Scope(namespace, NamespaceLease(self._identity))

    def _problem(self, scope: _Scope) -> str:
        if scope.gone:
            return (
                f"namespace {scope.namespace} is gone, or is being deleted; should it come back, `helm upgrade` makes "
                "the permissions there"
            )
        if scope.error is not None:
            return f"the Lease {LEASE_NAME} in namespace {scope.namespace}: {scope.error}"
        return self._held_by_another(scope)

    def _held_by_another(self, scope: _Scope) -> str:
        if scope.lease.holder is None:
            return f"the Lease {LEASE_NAME} in namespace {scope.namespace} is not held yet"
        return (
            f"namespace {scope.namespace} is served by the release {scope.lease.holder} (Lease {LEASE_NAME}), and so "
            f"not by this one, {self._identity}; let only one of them serve it (operator.namespaces)"
        )

    async def _renew(self, scope: _Scope) -> None:
        scope.asked_at = at = time.monotonic()
        was_held, holder = scope.lease.is_held(at), scope.lease.holder
        try:
            try:
                await self._take(scope, at)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
                await self._take(scope, at)  # another operator came between; see which
        except ApiError as error:
            await self._fail(scope, error)
            return
        scope.error, scope.gone = None, False
        if scope.lease.holder is not None and (was_held or scope.lease.holder != holder):
            logger.warning("%s", self._held_by_another(scope))
        elif holder is not None and scope.lease.holder is None:
            logger.info("namespace %s is served by this release now; it was by %s", scope.namespace, holder)

    async def _fail(self, scope: _Scope, error: ApiError) -> None:
        was_gone, scope.gone = scope.gone, await self._is_gone(scope, error)
        scope.error = None if scope.gone else error
        if scope.gone:
            scope.lease.lost()
            if self._all:
                self._scopes.pop(scope.namespace, None)
            elif not was_gone:
                self._on_gone(scope.namespace)
        if not (was_gone and scope.gone):
            logger.warning("%s", self._problem(scope))

    async def _is_gone(self, scope: _Scope, error: ApiError) -> bool:
        if error.namespace_ends:
            return True
        if self._all:
            return error.status == _NOT_FOUND
        try:
            return error.status in _PERHAPS_GONE and await self._client.is_gone(scope.namespace)
        except ApiError:
            return False

    async def _take(self, scope: _Scope, at: float) -> None:
        """Take or renew the Lease, if it may be. Raises ApiError: 409 where another operator came between."""
        lease = await self._client.get(LEASES, scope.namespace, LEASE_NAME)
        before: dict[str, Any] = (lease or {}).get("spec") or {}
        scope.lease.observe(before, at)
        if not scope.lease.may_take(at):
            return
        spec = renewal(before, self._identity, self._now())
        if lease is None:
            metadata = {"namespace": scope.namespace, "name": LEASE_NAME}
            manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(LEASES, manifest)
        else:
            version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
            await self._client.merge(LEASES, scope.namespace, LEASE_NAME, {"metadata": version, "spec": spec})
        scope.lease.renewed(at)
