"""Waits at the start until the API server answers and knows UserSchedules: kopf looks for them once and never again."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Final

from catchup_operator.kube import backoff
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import SCHEDULES
from catchup_operator.kube.transport import ApiError

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 15.0
_NO_DEFINITION: Final = (
    "has no UserSchedules; install their definition: kubectl apply -f crds/, or the chart with crds.enabled=true"
)

logger = logging.getLogger(__name__)


class Arrival:
    """Asks again and again, and knows what it waits for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._trouble: str | None = "the API server was not asked yet"

    def troubles(self) -> list[str]:
        """Return why the operator has not begun; empty once it has."""
        return [self._trouble] if self._trouble else []

    async def wait(self) -> None:
        """Return when there is something to serve."""
        for failures in count(1):
            self._trouble = await self._look()
            if not self._trouble:
                return
            delay = backoff.delay(failures, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS)
            logger.warning("waiting: %s; again in %.0f s", self._trouble, delay)
            await asyncio.sleep(delay)

    async def _look(self) -> str | None:
        server = f"the API server at {self._cluster.server}"
        try:
            return None if await self._cluster.knows(SCHEDULES) else f"{server} {_NO_DEFINITION}"
        except ApiError as error:
            return f"{server} does not answer as it should; see that it runs and can be reached from here: {error}"
