"""The HTTP server of the exporter: `/metrics` and `/healthz`."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from catchup_contract.serving_certificate import CertificateError, ServingCertificate

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = structlog.get_logger()

Gate = Callable[[str], int]
"""Takes the `Authorization` header of a request, and returns 200, or the HTTP status that refuses it."""

_REASONS = {200: "200 OK", 401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found", 503: "503 Unavailable"}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    certificate: ServingCertificate | None = None

    def get_request(self) -> tuple[Any, Any]:
        """Return a connection; the thread that answers it shakes hands, so that a slow client delays nobody else."""
        request, address = super().get_request()
        if self.certificate is None:
            return request, address
        refresh(self.certificate)
        context = self.certificate.context
        return context.wrap_socket(request, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write no traceback where a client spoke no TLS, did not trust the certificate, or went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    """Listens on an address of IPv6, or on all addresses, those of IPv4 too: pods have either, or both."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Bind, and take IPv4 where no single address was asked for."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(self.server_address[0]))
        super().server_bind()


class _Handler(WSGIRequestHandler):
    # A client that connects and says nothing holds a thread for so long.
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write no line for each scrape."""


@contextmanager
def serving(
    registry: CollectorRegistry,
    *,
    host: str,
    port: int,
    gate: Gate | None = None,
    certificate: ServingCertificate | None = None,
) -> Iterator[int]:
    """Serve until the block ends, and yield the port.

    Args:
        host: the address to listen on; all where it is empty.
        port: 0 for any that is free.
        gate: decides who may read `/metrics`; everybody without one. `/healthz` is the kubelet's.
        certificate: serve by HTTPS with it, as it is at each connection.

    Raises:
        OSError: the port is taken.
    """
    kind = _Server6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else _Server
    with make_server(host, port, _app(make_wsgi_app(registry), gate), kind, _Handler) as server:
        server.certificate = certificate
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def refresh(certificate: ServingCertificate) -> None:
    """Take a renewed certificate; where it cannot be used, say so and keep the one before."""
    try:
        if certificate.refresh():
            _log.info("serving metrics by the certificate of now")
    except CertificateError as error:
        _log.warning("the certificate of metrics is not used", why=str(error))


def _app(metrics: WSGIApplication, gate: Gate | None) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/healthz":
                status = 200
            case "/metrics":
                status = gate(environ.get("HTTP_AUTHORIZATION", "")) if gate else 200
                if status == 200:  # noqa: PLR2004
                    return metrics(environ, start_response)
            case _:
                status = 404
        text = _REASONS[status]
        start_response(text, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return app
