"""Whether the operator lives and whether it can work, told to the kubelet: `/healthz` and `/readyz`; `/metrics`.

Not alive: a loop has died, or heard nothing for minutes; a new start may help. Not ready: the API server cannot be
reached, a watch does not work, or a permission is missing; a new start would not help, but `kubectl get pods` and
`helm install --wait` show that somebody should look.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import Final

from aiohttp import web

from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import CRONJOBS, EVENTS, JOBS, PODS, SCHEDULES
from catchup_operator.kube.transport import ApiError
from catchup_operator.reconcile.controller import Background
from catchup_operator.reconcile.rollout import Roll

# What the operator does, and so what its Role must allow; no more.
PERMISSIONS: Final = {
    SCHEDULES: ("get", "list", "watch"),
    f"{SCHEDULES}/status": ("patch",),
    CRONJOBS: ("get", "list", "watch", "create", "patch"),
    JOBS: ("list", "watch"),
    PODS: ("list",),
    EVENTS: ("create",),
}

_SILENCE_MAX_SECONDS: Final = 300
_LOOK_SECONDS: Final = 15.0
# A namespace is a dozen questions. More namespaces than these are looked at in turn.
_NAMESPACES_A_LOOK: Final = 5
_FORBIDDEN: Final = 403

logger = logging.getLogger(__name__)


class Health:
    """Looks now and then, and answers at once with what was found."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Sequence[str],
        background: Background,
        roll: Roll,
        troubles: Sequence[Callable[[], list[str]]],
    ) -> None:
        self._cluster = cluster
        self._namespaces = [*namespaces] or [""]
        self._background = background
        self._roll = roll
        self._troubles = troubles
        self._found = ["not looked yet"]
        self._missing: dict[str, list[str]] = {}
        self._turn = cycle(self._namespaces)
        self._task: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve there and begin to look."""
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._task = asyncio.create_task(self._look_again_and_again())

    async def stop(self) -> None:
        """End what `start` began."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def ills(self) -> list[str]:
        """Return why the operator is not alive; empty if it is."""
        died = self._background.died()
        if died is not None:
            return [f"a loop has died: {died!r}"]
        if self._task is not None and self._task.done():
            return ["the loop that asks for our permissions has died"]
        if self._background.silent_seconds > _SILENCE_MAX_SECONDS:
            return ["a watch is dead: no word from the API server"]
        return []

    def obstacles(self) -> list[str]:
        """Return why the operator cannot work; empty if it can."""
        return [*self.ills(), *self._found, *(trouble for each in self._troubles for trouble in each())]

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self.ills())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self.obstacles())

    async def _metrics(self, _: web.Request) -> web.Response:
        rolled, waiting = self._roll.progress
        lines = (
            "# HELP catchup_rolled_total UserSchedules whose CronJobs were made anew for a changed job template.",
            "# TYPE catchup_rolled_total counter",
            f"catchup_rolled_total {rolled}",
            "# HELP catchup_roll_waiting UserSchedules that still await it.",
            "# TYPE catchup_roll_waiting gauge",
            f"catchup_roll_waiting {waiting}",
        )
        return web.Response(text="\n".join([*lines, ""]))

    async def _look_again_and_again(self) -> None:
        was_ready: bool | None = None
        while True:
            self._found = await self._look()
            obstacles = self.obstacles()
            if (not obstacles) is not was_ready:
                was_ready = not obstacles
                if obstacles:
                    logger.warning("not ready: %s", "; ".join(obstacles))
                else:
                    logger.info("ready")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> list[str]:
        """Ask the API server what we may do, since a watch that runs hears nothing of a permission that is gone."""
        for namespace in self._due():
            try:
                self._missing[namespace] = await self._missing_in(namespace)
            except ApiError as error:
                if error.status != _FORBIDDEN:
                    return [f"the API server does not answer: {error}"]
                self._missing[namespace] = []  # who may not even ask is told by the requests themselves
        return [each for namespace in self._namespaces for each in self._missing[namespace]]

    def _due(self) -> Iterable[str]:
        """Return the namespaces to ask about now: all at first, then those in trouble and the next in turn."""
        unasked = [namespace for namespace in self._namespaces if namespace not in self._missing]
        troubled = [namespace for namespace, missing in self._missing.items() if missing][:_NAMESPACES_A_LOOK]
        return dict.fromkeys((*unasked, *troubled, *islice(self._turn, _NAMESPACES_A_LOOK)))

    async def _missing_in(self, namespace: str) -> list[str]:
        where = f"namespace {namespace}" if namespace else "the cluster"
        return [
            f"may not {verb} {resource} in {where}"
            for resource, verbs in PERMISSIONS.items()
            for verb in verbs
            if not await self._cluster.may(verb, resource, namespace)
        ]


def _answer(ills: list[str]) -> web.Response:
    return web.json_response({"ok": not ills, "reasons": ills}, status=503 if ills else 200)
