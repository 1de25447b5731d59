"""Which server is reached without the proxy: `NO_PROXY` as kubectl and every other Go program reads it.

Names, `.suffixes`, addresses and CIDRs, each with an optional port, or `*`
(https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config). Python's own reading knows no CIDR, and the address of the
API server in a pod is that of a Service.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult
from urllib.request import getproxies

_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(server: SplitResult, *, or_all: bool = False) -> str | None:
    """Return the proxy to a server by the environment's variables, in either case of letters; None for none.

    Args:
        server: with `http` or `https`.
        or_all: use `ALL_PROXY` where there is no `HTTPS_PROXY` or `HTTP_PROXY`. Go programs do not read it.
    """
    host, port = server.hostname or "", server.port or _PORTS.get(server.scheme, 0)
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if bypasses(host, port, no_proxy):
        return None
    proxies = getproxies()
    return proxies.get(server.scheme) or (proxies.get("all") if or_all else None)


def bypasses(host: str, port: int, no_proxy: str) -> bool:
    """Whether a server is reached without a proxy; always so on this machine."""
    address = _address_of(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host.lower(), port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if entry in {"", "*"}:
        return entry == "*"
    address = _address_of(host)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port not in {"", str(port)}:
        return False
    if (wanted := _address_of(name)) is not None:
        return address == wanted
    suffix = name.removeprefix("*")
    return host.endswith(suffix) if suffix.startswith(".") else host == suffix or host.endswith(f".{suffix}")


def _split_port(entry: str) -> tuple[str, str]:
    if _address_of(entry) is not None:  # an IPv6 address has colons of its own
        return entry, ""
    name, _, port = entry.rpartition(":")
    if not name:
        return entry, ""
    return name.removeprefix("[").removesuffix("]"), port


def _address_of(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
