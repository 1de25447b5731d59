"""An HTTP answer whose head comes in time: a socket's timeout counts from packet to packet, and a drip has many."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from typing import Any


class BoundedHead(http.client.HTTPResponse):
    """A response that hangs up when its status and headers take longer than twice the socket's timeout.

    Once for the first packet, as any client may have to wait for it, and once for the rest.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self._source = sock

    def begin(self) -> None:
        """Read the head.

        Raises:
            http.client.HTTPException, OSError: it did not come whole.
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
        # Not the method of a TLS socket: it would forget its keys while another thread reads.
        with suppress(OSError):
            socket.socket.shutdown(self._source, socket.SHUT_RDWR)
