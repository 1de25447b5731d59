"""The HTTP server of the pod: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import socket

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from catchup_contract.access_review import OK
from catchup_operator.ops.access import MetricsGate
from catchup_operator.ops.health import Health


async def serve(
    listener: socket.socket, health: Health, registry: CollectorRegistry, gate: MetricsGate | None = None
) -> web.AppRunner:
    """Serve on a listening socket; call `cleanup` of the result to stop.

    `gate` decides who may read `/metrics`; without one everybody may.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _probe(health.liveness_problems())

    async def readyz(_: web.Request) -> web.Response:
        return _probe(health.readiness_problems())

    async def metrics(request: web.Request) -> web.Response:
        status = await gate.status(request.headers.get("Authorization", "")) if gate else OK
        if status != OK:
            return web.Response(status=status)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


def _probe(problems: list[str]) -> web.Response:
    return web.json_response({"ok": not problems, "reasons": problems}, status=503 if problems else 200)
