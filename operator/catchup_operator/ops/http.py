"""The HTTP servers of the pod: `/healthz`, `/readyz` and `/metrics`, which over TLS has a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from catchup_contract.access_review import OK
from catchup_contract.serving_certificate import LOOK_SECONDS, CertificateError, ServingCertificate
from catchup_operator.ops.health import Health
from catchup_operator.ops.metrics_access import MetricsGate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """A listening socket of its own for `/metrics`, and the certificate."""

    listener: socket.socket
    certificate: ServingCertificate


class PodServer:
    """Serves until `cleanup`."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []
        self._renewal: asyncio.Task[None] | None = None

    async def start(
        self,
        listener: socket.socket,
        health: Health,
        registry: CollectorRegistry,
        gate: MetricsGate | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Serve on a listening socket.

        Args:
            gate: decides who may read `/metrics`; without one everybody may.
            tls: where `/metrics` is served instead. A certificate that is not there yet, or is no good, is waited for.
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

        probes = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
        if tls is None:
            await self._serve(listener, None, *probes, web.get("/metrics", metrics))
            return
        await self._serve(listener, None, *probes)
        _refresh(tls.certificate)
        self._renewal = asyncio.create_task(_keep_fresh(tls.certificate))
        await self._serve(tls.listener, tls.certificate, web.get("/metrics", metrics))

    async def _serve(
        self, listener: socket.socket, certificate: ServingCertificate | None, *routes: web.RouteDef
    ) -> None:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._runners.append(runner)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=certificate.context if certificate else None).start()

    async def cleanup(self) -> None:
        """Stop."""
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        for runner in self._runners:
            await runner.cleanup()


async def _keep_fresh(certificate: ServingCertificate) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        _refresh(certificate)


def _refresh(certificate: ServingCertificate) -> None:
    try:
        if certificate.refresh():
            logger.info("serving metrics by the certificate of now")
    except CertificateError as error:
        logger.warning("the certificate of metrics is not used: %s", error)


def _probe(problems: list[str]) -> web.Response:
    return web.json_response({"ok": not problems, "reasons": problems}, status=503 if problems else 200)
