"""Writes a status, and announces what changed in it by Events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import EVENTS
from catchup_operator.kube.transport import ApiError
from catchup_operator.state.drift import key_of
from catchup_operator.status.events import announcements, event
from catchup_operator.status.validation import readable, replacing

_UNPROCESSABLE: Final = 422

logger = logging.getLogger(__name__)


class Teller:
    """Tells of UserSchedules, each as it was read and stored."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._now = now

    async def tell(self, stored: Mapping[str, Any], patch: Mapping[str, Any] | None, *, first: bool = False) -> None:
        """Write a status patch, if any, and then announce it: what cannot be written is not announced with every try.

        Raises:
            ApiError: the status was not written.
        """
        if not patch:
            return
        body = readable(stored)
        try:
            # Nothing may stay of a status that could not be read.
            written = patch if body is stored else replacing(stored["status"], patch)
            await self._cluster.patch_status(stored, written)
        except ApiError as error:
            # No status is taken for an object of types that its schema's rules do not expect: an Event tells, once.
            if first and error.status == _UNPROCESSABLE:
                await self._announce(body, patch)
            raise
        await self._announce(body, patch)

    async def _announce(self, body: Mapping[str, Any], patch: Mapping[str, Any]) -> None:
        for each in announcements(body, patch):
            try:
                await self._cluster.create(EVENTS, event(body, each, self._now()))
            except ApiError as error:
                logger.warning("%s/%s: cannot post an Event: %s", *key_of(body), error)
