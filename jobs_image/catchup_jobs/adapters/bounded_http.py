"""HTTP responses whose status and headers must arrive in time.

A socket's timeout starts again with each packet, so that a server which sends byte by byte would never exceed it.
"""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from typing import Any


class BoundedHead(http.client.HTTPResponse):
    """A response that closes the connection if its status and headers take longer than twice the socket's timeout.

    The first timeout is for the first packet, the second for the rest.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self._source = sock

    def begin(self) -> None:
        """Read the status and the headers.

        Raises:
            http.client.HTTPException, OSError: they are incomplete.
        """
        timeout = self._source.gettimeout()
        if timeout is None:
            raise ValueError("a connection without a timeout")
        watch = threading.Timer(2 * timeout, self._hang_up)
        watch.daemon = True
        watch.start()
        try:
            super().begin()
        finally:
            watch.cancel()

    def _hang_up(self) -> None:
        # Not `SSLSocket.shutdown`: it drops the TLS state while another thread reads.
        with suppress(OSError):
            socket.socket.shutdown(self._source, socket.SHUT_RDWR)
