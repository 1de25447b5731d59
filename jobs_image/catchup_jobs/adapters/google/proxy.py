"""The installation's proxy on the way to Google (`HTTPS_PROXY`, `NO_PROXY`).

`httplib2` has proxies by a package that nobody maintains any more, and without it goes past the proxy silently.
"""

from __future__ import annotations

import base64
import http.client
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from catchup_contract.proxies import proxy_for
from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    import socket


def tunnel_to(host: str, port: int, *, timeout: float) -> socket.socket | None:
    """Return a connection through the proxy of the environment (RFC 9110, 9.3.6), None where none is to be used.

    Raises:
        OSError, http.client.HTTPException: the proxy cannot be reached, or refuses.
        MisconfiguredError: the setting is not the address of an HTTP proxy.
    """
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    setting = proxy_for(SplitResult("https", server, "", "", ""), or_all=True)
    if not setting:
        return None
    proxy = http_proxy(setting)
    headers = {}
    if proxy.username is not None:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port or 80, timeout=timeout)
    connection.set_tunnel(host, port, headers)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection.sock


def http_proxy(setting: str) -> SplitResult:
    """Return the address of an HTTP proxy, with its login where it has one; it may be written without `http://`.

    Raises:
        MisconfiguredError: it is not the address of an HTTP proxy; it is not repeated, since it may hold a password.
    """
    try:
        proxy = urlsplit(setting if "://" in setting else f"http://{setting}")
        usable = proxy.scheme == "http" and bool(proxy.hostname) and proxy.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise MisconfiguredError(
            "HTTPS_PROXY must be the address of an HTTP proxy, such as http://proxy.example.com:3128"
        )
    return proxy
