"""What the statuses say once no operator serves them: an uninstall, or a namespace that is no longer served."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import POOLS, SCHEDULES
from catchup_operator.ops.at_once import for_each
from catchup_operator.state.deletion import is_deleted
from catchup_operator.status import patches
from catchup_operator.status.validation import with_valid_status

_WRITE_SECONDS: Final = 60.0
"""How long the preparation of an uninstall goes on writing statuses at most."""
_AT_ONCE: Final = 4
"""Statuses that the preparation of an uninstall writes at the same time."""


class UnservedStatuses:
    """Writes into statuses that nobody serves the resources any more; `unwritten` counts those that do not say so."""

    def __init__(self, client: KubeClient, release: str, now: Callable[[], datetime]) -> None:
        self.unwritten = 0
        self._client = client
        self._release = release
        self._now = now
        self._ends_at = time.monotonic() + _WRITE_SECONDS

    async def write(self, namespaces: Sequence[str], *, spare: Collection[str]) -> None:
        """Write it in namespaces (none: in all), but not in those to spare, for a minute at most.

        No error ends an uninstall: what is not written is counted. Only what this release has written is changed.
        """
        scopes: Sequence[str | None] = namespaces or (None,)
        for scope in scopes:
            for resource in (SCHEDULES, POOLS):
                try:
                    async for page, _ in self._client.list_pages(resource, scope, selector=""):
                        ours = [body for body in page if self._is_ours(body, spare)]
                        await for_each(ours, partial(self._write_one, resource), at_once=_AT_ONCE)
                except ApiError as error:
                    if error.status != 404:  # noqa: PLR2004 - there is no such definition, and so nothing of it
                        self.unwritten += 1

    def _is_ours(self, body: Mapping[str, Any], spare: Collection[str]) -> bool:
        status = with_valid_status(body).get("status") or {}
        is_here = body["metadata"]["namespace"] not in spare
        return is_here and not is_deleted(body) and bool(status) and status.get("servedBy", "") == self._release

    async def _write_one(self, resource: str, body: Mapping[str, Any]) -> None:
        patch = patches.unserved(body, now=self._now())
        if patch is None:
            return
        if time.monotonic() > self._ends_at:
            self.unwritten += 1
            return
        try:
            await self._client.patch_status(resource, body, patch)
        except ApiError:
            self.unwritten += 1
