"""Waits at the start until the API server serves UserSchedules: kopf discovers API resources only once."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Final

from catchup_operator.kube.backoff import backoff_seconds
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import SCHEDULES, missing_definition

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 15.0
"""The longest delay after the definition of UserSchedules was not found."""

logger = logging.getLogger(__name__)


class Discovery:
    """Polls the API server's discovery and reports what is missing."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._problem: str | None = "the API server was not asked yet"

    def problems(self) -> list[str]:
        """Return why UserSchedules cannot be served yet; empty once they can."""
        return [self._problem] if self._problem else []

    async def wait(self) -> None:
        """Return when the API server serves UserSchedules."""
        for failures in count(1):
            self._problem = await self._check()
            if not self._problem:
                return
            delay = backoff_seconds(failures, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS)
            logger.warning("waiting: %s; retrying in %.0f s", self._problem, delay)
            await asyncio.sleep(delay)

    async def _check(self) -> str | None:
        server = f"the API server at {self._client.server}"
        try:
            return None if await self._client.serves(SCHEDULES) else f"{server} has {missing_definition(SCHEDULES)}"
        except ApiError as error:
            return f"{server} does not answer as expected; see that it runs and can be reached from here: {error}"
