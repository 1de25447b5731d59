"""Liveness and readiness.

Not alive: a loop has ended, or received nothing for minutes; a restart may help. Not ready: the API server cannot be
reached, a watch does not work, or a permission is missing; a restart would not help, but `kubectl get pods` and
`helm install --wait` show it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from catchup_operator.ops.permissions import PermissionCheck
from catchup_operator.reconcile.controller import Controller

_SILENCE_MAX_SECONDS: Final = 300
"""The silence of the queue or a watch after which the operator is not healthy."""
_CHECK_SECONDS: Final = 15.0
"""How often readiness is checked."""
_LOOK_SECONDS: Final = 0.5

logger = logging.getLogger(__name__)


class Health:
    """Checks permissions periodically, and answers probes at once with the last results."""

    def __init__(
        self, controller: Controller, permissions: PermissionCheck, sources: Sequence[Callable[[], list[str]]]
    ) -> None:
        self._controller = controller
        self._permissions = permissions
        self._sources = sources
        self._permission_problems = ["permissions were not checked yet"]
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the periodic check."""
        self._task = asyncio.create_task(self._check_periodically())

    async def stop(self) -> None:
        """Stop the periodic check."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def liveness_problems(self) -> list[str]:
        """Return why the operator is not alive; empty if it is."""
        failure = self._controller.failure()
        if failure is not None:
            return [f"a loop has died: {failure!r}"]
        if self._task is not None and self._task.done():
            return ["the loop that checks permissions has died"]
        if self._controller.silent_seconds > _SILENCE_MAX_SECONDS:
            return ["a watch is dead: no word from the API server"]
        return []

    def readiness_problems(self) -> list[str]:
        """Return why the operator is not ready; empty if it is."""
        return [*self._permission_problems, *self._other_problems()]

    def _other_problems(self) -> list[str]:
        return [*self.liveness_problems(), *(problem for source in self._sources for problem in source())]

    async def check(self) -> None:
        """Check the permissions once."""
        self._permission_problems = await self._permissions.round()

    async def _check_periodically(self) -> None:
        was_ready: bool | None = None
        check_at, others = 0.0, list[str]()
        while True:
            # Permissions cost requests; all else is known. Once the rest is well, they are asked for at once.
            before, others = others, self._other_problems()
            if time.monotonic() >= check_at or (before and not others and self._permission_problems):
                await self.check()
                check_at = time.monotonic() + _CHECK_SECONDS
            problems = self.readiness_problems()
            if (not problems) is not was_ready:
                was_ready = not problems
                if problems:
                    logger.warning("not ready: %s", "; ".join(problems))
                else:
                    logger.info("ready")
            await asyncio.sleep(_LOOK_SECONDS)
