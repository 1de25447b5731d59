"""Writes status patches and posts the Events that announce them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import EVENTS
from catchup_operator.manifests.names import Key, Owner, key_of
from catchup_operator.reconcile.served_namespaces import NotHeldError, ServedNamespaces
from catchup_operator.status.events import events
from catchup_operator.status.validation import replacement_patch, with_valid_status

_UNPROCESSABLE: Final = 422

logger = logging.getLogger(__name__)


class StatusWriter:
    """The one writer of the statuses of a kind of owners. Whoever reads one to write its status holds its lock
    meanwhile.
    """

    def __init__(self, client: KubeClient, owner: Owner, served: ServedNamespaces, now: Callable[[], datetime]) -> None:
        self._client = client
        self._owner = owner
        self._served = served
        self._now = now
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def lock(self, key: Key) -> AsyncIterator[None]:
        """Hold the lock of a resource.

        Raises:
            NotHeldError: another release serves the namespace; nothing may be written there.
            GoneError: the namespace is gone.
            ApiError: it is not known which release does.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            await self._served.require(key[0])
            yield

    async def write(
        self, stored: Mapping[str, Any], patch: Mapping[str, Any] | None, *, announce_rejected: bool = False
    ) -> None:
        """Write a patch, if any, and then post its Events: a failing write does not repeat them with every retry.

        Args:
            stored: the resource as the API server stores it, even if its status is invalid.
            patch: a merge patch of the status, or None.
            announce_rejected: whether to post the Events also where the API server rejects the status as invalid,
                which it does for an object whose spec violates the types of the schema.

        Raises:
            ApiError: the status was not written.
        """
        if not patch:
            return
        body = with_valid_status(stored)
        patch = {**patch, "servedBy": self._served.identity}
        try:
            # An invalid status is replaced as a whole.
            written = patch if body is stored else replacement_patch(stored["status"], patch)
            await self._client.patch_status(self._owner.plural, stored, written)
        except ApiError as error:
            if announce_rejected and error.status == _UNPROCESSABLE:
                await self._post_events(body, patch)
            raise
        await self._post_events(body, patch)

    async def _post_events(self, body: Mapping[str, Any], patch: Mapping[str, Any]) -> None:
        for event in events(self._owner, body, patch, self._now()):
            try:
                await self._client.create(EVENTS, event)
            except NotHeldError:
                return  # another release writes here by now
            except ApiError as error:
                level = logging.DEBUG if error.namespace_ends else logging.WARNING
                logger.log(level, "%s/%s: cannot post an Event: %s", *key_of(body), error)
