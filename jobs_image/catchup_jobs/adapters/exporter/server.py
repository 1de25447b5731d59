"""The HTTP server of the exporter: `/metrics` and `/healthz`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Gate = Callable[[str], int]
"""Takes the `Authorization` header of a request, and returns 200, or the HTTP status that refuses it."""

_REASONS = {200: "200 OK", 401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found", 503: "503 Unavailable"}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    # A client that connects and says nothing holds a thread for so long.
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write no line for each scrape."""


@contextmanager
def serving(registry: CollectorRegistry, *, host: str, port: int, gate: Gate | None = None) -> Iterator[int]:
    """Serve until the block ends, and yield the port.

    Args:
        port: 0 for any that is free.
        gate: decides who may read `/metrics`; everybody without one. `/healthz` is the kubelet's.

    Raises:
        OSError: the port is taken.
    """
    with make_server(host, port, _app(make_wsgi_app(registry), gate), _Server, _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


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
