"""A TCP proxy that loses replies, cuts connections, and leads elsewhere."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class LossyProxy:
    """Forwards to a server on loopback.

    The reply to a request that holds `marker` is thrown away, once: the connection is closed instead, after the server
    has answered, so that the command was carried out.

    Attributes:
        server_port: where new connections lead; may be changed.
        lost: how many replies were thrown away.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.marker: bytes | None = None
        self.lost = 0
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections, and cut those there are."""
        # A thread that waits in `accept` is not woken by `close` alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Cut all connections; return how many."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()
        return len(connections)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                client.close()
                continue
            connection = _Connection(client, server)
            with self._lock:
                self._connections.add(connection)
            for pump in (self._requests, self._replies):
                threading.Thread(target=pump, args=(connection,), daemon=True).start()

    def _requests(self, connection: _Connection) -> None:
        with suppress(OSError):
            while request := connection.client.recv(65536):
                with self._lock:
                    if self.marker is not None and self.marker in request:
                        self.marker = None
                        connection.loses_reply = True
                connection.server.sendall(request)
        self._end(connection)

    def _replies(self, connection: _Connection) -> None:
        with suppress(OSError):
            while reply := connection.server.recv(65536):
                if connection.loses_reply:
                    self.lost += 1
                    break
                connection.client.sendall(reply)
        self._end(connection)

    def _end(self, connection: _Connection) -> None:
        connection.cut()
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loses_reply = False

    def cut(self) -> None:
        for end in (self.client, self.server):
            # Shut down first: closing alone would not wake the other thread.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
