"""How the API server is reached, and with which credentials."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


class CredentialsError(Exception):
    """The credentials cannot be read at present, e.g. while a token is being replaced; a retry may solve it."""


@dataclass(frozen=True, slots=True)
class Access:
    """Access to an API server.

    Attributes:
        server: its URL, without a path at its end.
        ssl: what is trusted, and the client's certificate, if it has one.
        authorization: returns the headers with the credentials of a request; raises CredentialsError.
        proxy: the proxy's URL, or None.
        server_name: the name in the server's certificate where it is not that of the URL, or None.
    """

    server: str
    ssl: tls.SSLContext
    authorization: Callable[[], Awaitable[dict[str, str]]]
    proxy: str | None = None
    server_name: str | None = None
