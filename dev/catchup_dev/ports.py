"""Ports for servers that start a moment later."""

from __future__ import annotations

import random
import socket
from itertools import islice
from pathlib import Path
from typing import Final

_LOCAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PRIVILEGED: Final = 1024
_LAST: Final = 65_535
_BELOW: Final = 12_000


def free_port(host: str) -> int:
    """Return a port of an address as `free_ports` does."""
    return free_ports(host, 1)[0]


def free_ports(host: str, number: int) -> list[int]:
    """Return ports of an address on which nothing listens.

    None of those that the kernel gives to outgoing connections (ip(7), `ip_local_port_range`): on a busy machine one of
    them would take it before the server starts.

    Raises:
        OSError: the address is not one of this machine, or too few ports are free.
    """
    first, last = outgoing()
    others = [*range(max(_PRIVILEGED, first - _BELOW), first), *range(last + 1, _LAST + 1)] or range(first, last + 1)
    free = (port for port in random.sample(others, len(others)) if is_free(host, port))
    found = list(islice(free, number))
    if len(found) < number:
        raise OSError(f"no {number} free ports at {host}: is it an address of this machine?")
    return found


def outgoing() -> tuple[int, int]:
    """Return the first and the last of the ports that the kernel gives to outgoing connections."""
    try:
        first, last = map(int, _LOCAL_RANGE.read_text(encoding="ascii").split())
    except FileNotFoundError:  # another kernel; those of macOS begin later
        return 32_768, 60_999
    return first, last


def is_free(host: str, port: int) -> bool:
    """Return whether a server may listen there. Raises nothing."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
