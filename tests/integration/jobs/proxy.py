"""A TCP proxy that loses replies."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class LossyProxy:
    """Forwards to a server on loopback; the reply to a request that holds `marker` is thrown away, once.

    The connection is closed instead, after the server has answered: the command was carried out.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.marker: bytes | None = None
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server, suppress(OSError):
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if self.marker is not None and self.marker in request:
                    self.marker = None
                    self.lost += 1
                    return
                client.sendall(reply)
