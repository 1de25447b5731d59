"""Keeps the list of UserSchedules in each served namespace that has a SchedulePool, for the pods of pools.

It has the UserSchedules of all served namespaces, since all pools share one database. They are watched from the first
pool on: without pools this costs nothing. Nothing is written before all of them are listed, for a user who is not on
the list may be served as a member whom no UserSchedule names.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from catchup_contract.schedule_list import (
    INDEX_FILE,
    InvalidListError,
    ListedSchedule,
    decode,
    encode,
    order_after,
    order_of,
)
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CONFIGMAPS, SCHEDULES
from catchup_operator.kube.watch import Watch
from catchup_operator.manifests import list_configmaps as manifests
from catchup_operator.manifests.names import Key, fingerprint, key_of
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.work_queue import GoneError, RetryAfterError, WorkQueue
from catchup_operator.state.known_schedules import KnownSchedules
from catchup_operator.state.pools import Pools

_QUIET_SECONDS: Final = 1.5
"""How long no UserSchedule may change before the list is written."""
_LONGEST_SECONDS: Final = 15.0
"""How long the list waits for that at most."""
_CHECK_SECONDS: Final = 600.0
"""How often the ConfigMaps of the list are read, in case somebody has changed them."""
_REFUSED_SECONDS: Final = 20.0
"""The delay after the list of UserSchedules was refused; nothing tells that a quota was raised or a policy lifted."""

logger = logging.getLogger(__name__)


class ListWriter:
    """Watches UserSchedules and writes the ConfigMaps.

    Args:
        client: the client.
        namespaces: the served namespaces, `[None]` for all.
        digest_spread: the window in minutes over which local times are spread.
        served: where this operator may write.
        queue: repeats writes that fail.
        pools: which namespaces have a pool, and which UserSchedules their pods know.
        now: a clock, for the order of lists.

    Attributes:
        known: what the list is made of.
    """

    def __init__(
        self,
        client: KubeClient,
        namespaces: Sequence[str | None],
        *,
        digest_spread: int,
        served: ServedNamespaces,
        queue: WorkQueue,
        pools: Pools,
        now: Callable[[], datetime],
    ) -> None:
        self._now = now
        self._client = client
        self._served = served
        self._queue = queue
        self._pools = pools
        self.known = KnownSchedules(digest_spread, now=now)
        self._observers = [_Observer(self.known, namespace, self.changed) for namespace in namespaces]
        self._watches: list[Watch] = []
        self._event = asyncio.Event()
        self._lists: dict[str, tuple[Mapping[str, bytes], Mapping[str, int], Sequence[str]]] = {}
        self._written: dict[Key, str] = {}
        self._resumed: set[str] = set()
        self._checked_at = time.monotonic()

    @property
    def watches(self) -> Sequence[Watch]:
        """The watches of UserSchedules; none before the first pool."""
        return self._watches

    def changed(self) -> None:
        """Record that the list, or the set of namespaces that need it, has changed."""
        self._lists.clear()
        self._event.set()

    async def run(self) -> None:
        """Watch from the first pool on, and write after each change, until cancelled."""
        while not self._pools.namespaces():
            await self._event.wait()
            self._event.clear()
        self._watches = [
            Watch(self._client, SCHEDULES, each.namespace, each, is_gone=partial(self._served.is_gone, each.namespace))
            for each in self._observers
        ]
        async with asyncio.TaskGroup() as tasks:
            for watch in self._watches:
                tasks.create_task(watch.run())
            tasks.create_task(self._write_changes())

    async def _write_changes(self) -> None:
        while True:
            await self._wait_until_quiet()
            if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
                self._checked_at = time.monotonic()
                self._written.clear()
            if not self._is_complete():
                self._event.set()  # look again
                continue
            for namespace in self._pools.namespaces():
                self._queue.add(f"list {namespace}", partial(self.write, namespace))

    async def _wait_until_quiet(self) -> None:
        """Return after a change, once there was quiet, or when it is time to look at the ConfigMaps."""
        leaves = self.known.seconds_to_leave()
        try:
            await asyncio.wait_for(
                self._event.wait(), _CHECK_SECONDS if leaves is None else min(leaves, _CHECK_SECONDS)
            )
        except TimeoutError:
            if self.known.let_leave():
                self.changed()
                self._event.clear()
            return
        latest = time.monotonic() + _LONGEST_SECONDS
        while self._event.is_set() and time.monotonic() < latest:
            self._event.clear()
            await asyncio.sleep(_QUIET_SECONDS)
        self._event.clear()

    def _is_complete(self) -> bool:
        return all(observer.is_listed or self._served.is_gone(observer.namespace) for observer in self._observers)

    async def write(self, namespace: str) -> None:
        """Write the ConfigMaps of a namespace whose content is another.

        Raises:
            RetryAfterError: the API server refuses them, of which the resources that wait for them tell; or another
                release serves the namespace.
            GoneError: the namespace is gone.
            ApiError: for everything that a retry may solve.
        """
        try:
            await self._write(namespace)
        except ApiError as error:
            if error.namespace_ends or not error.refused:
                raise
            _, members, _ = self._lists.get(namespace, ({}, {}, ()))
            self._pools.note_refused(namespace, str(error), members)
            raise RetryAfterError(str(error), seconds=_REFUSED_SECONDS) from None

    async def _write(self, namespace: str) -> None:
        if namespace not in self._pools.namespaces():
            return
        try:
            await self._served.require(namespace)
        except GoneError:  # should it come back, it has none of them
            self._resumed.discard(namespace)
            self._written = {key: wanted for key, wanted in self._written.items() if key[0] != namespace}
            raise
        if namespace not in self._lists:
            if namespace not in self._resumed:
                await self._resume(namespace)
            stored = await self._stored(namespace, manifests.INDEX)
            # From here on without waiting, or a change could be missed.
            listed = self.known.listed(namespace, self._pools.admits)
            # Of a pool that is not there nobody is a member yet.
            known = {each.uid: each.generation for each in listed if self._pools.admits((namespace, each.pool))}
            self._lists[namespace] = self._files(listed, stored), known, self._pools.names_in(namespace)
        files, members, pools = self._lists[namespace]
        for name, file in manifests.CONFIGMAPS.items():
            await self._apply(namespace, name, file, files[file])
        self._pools.note_list(namespace, members, pools)

    async def _resume(self, namespace: str) -> None:
        """Go on with the moves that were under way when the operator ended. Raises ApiError."""
        files = {file: await self._stored(namespace, name) for name, file in manifests.CONFIGMAPS.items()}
        self._resumed.add(namespace)
        self._pools.note_stored(namespace, {})  # pods serve nobody by a list that they cannot read
        with suppress(InvalidListError):
            stored = decode(files)
            self._pools.note_stored(namespace, {each.uid: each.generation for each in stored.schedules if each.pool})
            if self.known.resume(namespace, stored.schedules, stored.order or 0):
                self._event.set()  # to wait until they have left

    async def _stored(self, namespace: str, name: str) -> bytes:
        """Return the file of a ConfigMap, empty where there is none."""
        found = await self._client.get(CONFIGMAPS, namespace, name)
        try:
            return base64.b64decode(((found or {}).get("binaryData") or {}).get(manifests.CONFIGMAPS[name]) or "")
        except ValueError:  # somebody has changed it
            return b""

    def _files(self, listed: Sequence[ListedSchedule], stored: bytes) -> dict[str, bytes]:
        """Return the files of a list: those that are stored where it is the same list, or of a larger order."""
        order = order_of(stored)
        files = encode(listed, manifests.LIST_PARTS, order=order)
        if files[INDEX_FILE] != stored:
            files = encode(listed, manifests.LIST_PARTS, order=order_after(order, self._now()))
        return files

    async def _apply(self, namespace: str, name: str, file: str, content: bytes) -> None:
        manifest = manifests.configmap(namespace, name, content)
        data = manifest["binaryData"]
        key, wanted = (namespace, name), fingerprint(data[file])
        if self._written.get(key) == wanted:
            return
        if key not in self._written:  # perhaps as it was before a restart
            found = await self._client.get(CONFIGMAPS, namespace, name)
            if found is not None and (found.get("binaryData") or {}) == data:
                self._written[key] = wanted
                return
        kept = await self._client.apply(CONFIGMAPS, manifest, force=True)
        if (kept.get("binaryData") or {}).get(file) != data[file]:
            raise ApiError(422, f"a mutating admission policy or webhook replaces the content of ConfigMap {name}")
        self._written[key] = wanted
        logger.info("%s/%s: %d bytes", namespace, name, len(content))


class _Observer:
    """Feeds the UserSchedules of a namespace (None: of all) to the list."""

    def __init__(self, known: KnownSchedules, namespace: str | None, on_change: Callable[[], None]) -> None:
        self.namespace = namespace
        self.is_listed = False
        self._known = known
        self._on_change = on_change
        self._listed: set[Key] = set()

    def list_started(self) -> None:
        self._listed = set()

    def observe(self, item: dict[str, Any]) -> None:
        self._listed.add(key_of(item))
        if self._known.observe(item) and self.is_listed:
            self._on_change()

    def forget(self, item: dict[str, Any]) -> None:
        if self._known.forget(key_of(item)):
            self._on_change()

    def list_ended(self) -> None:
        gone = [self._known.forget(key) for key in self._known.keys_in(self.namespace) - self._listed]
        if gone or not self.is_listed:
            self.is_listed = True
            self._on_change()
        self._listed = set()
