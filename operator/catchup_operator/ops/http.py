"""The HTTP server of the pod: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import socket

from aiohttp import web

from catchup_operator.ops.health import Health
from catchup_operator.ops.metrics import metrics_text
from catchup_operator.reconcile.rollout import Rollout


async def serve(listener: socket.socket, health: Health, rollout: Rollout) -> web.AppRunner:
    """Serve on a listening socket; call `cleanup` of the result to stop."""

    async def healthz(_: web.Request) -> web.Response:
        return _probe(health.liveness_problems())

    async def readyz(_: web.Request) -> web.Response:
        return _probe(health.readiness_problems())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=metrics_text(rollout))

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


def _probe(problems: list[str]) -> web.Response:
    return web.json_response({"ok": not problems, "reasons": problems}, status=503 if problems else 200)
