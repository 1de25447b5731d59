"""Addresses of one cluster, chosen so that clusters, the machine's own networks and VPNs never meet.

A cluster takes one number: its device's name holds it, and making that device is the claim, which the kernel gives
to one taker only.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from catchup_dev.console import Failure

_NUMBERS = range(1, 250)
_WIDE = 16  # a VPN's 10.0.0.0/8 does not stand against a /24 of ours; a narrower one does


@dataclass(frozen=True)
class Network:
    """All addresses of cluster number `number`."""

    number: int

    @property
    def device(self) -> str:
        """The machine's end of the link."""
        return f"catchup{self.number}"

    @property
    def host(self) -> str:
        """The machine's end: the API server and service doubles listen here."""
        return f"10.213.{self.number}.1"

    @property
    def node(self) -> str:
        """The node's address."""
        return f"10.213.{self.number}.2"

    @property
    def link(self) -> str:
        """The addresses of the link."""
        return f"10.213.{self.number}.0/30"

    @property
    def pods(self) -> str:
        """The addresses of pods."""
        return f"10.213.{self.number}.128/25"

    @property
    def services(self) -> str:
        """The addresses of services."""
        return f"10.214.{self.number}.0/24"

    @property
    def api_service(self) -> str:
        """The address of the API server's service."""
        return f"10.214.{self.number}.1"

    def connect(self, init_pid: int, owner: str) -> bool:
        """Make the link into the namespaces of `init_pid`; False when the number is taken."""
        made = _ip("link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", str(init_pid))
        if made.returncode != 0:
            if "exists" in made.stderr.lower():
                return False
            raise Failure(f"The network device {self.device} could not be made.", log=made.stderr, todo=_TODO)
        inside = ("nsenter", "-t", str(init_pid), "-n", "ip")
        for command in (
            ("ip", "link", "set", self.device, "alias", owner),
            ("ip", "addr", "add", f"{self.host}/30", "dev", self.device),
            ("ip", "link", "set", self.device, "up"),
            (*inside, "addr", "add", f"{self.node}/30", "dev", "eth0"),
            (*inside, "link", "set", "eth0", "up"),
            # service addresses are rewritten by kube-proxy before they leave; they only need some route
            (*inside, "route", "add", self.services, "dev", "lo", "src", self.node),
            ("ip", "route", "add", self.pods, "via", self.node),
            ("ip", "route", "add", self.services, "via", self.node),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                _ip("link", "delete", self.device)
                raise Failure(f"`{' '.join(command)}` failed.", log=done.stderr, todo=_TODO)
        return True

    def disconnect(self, owner: str) -> None:
        """Remove the link if it is the owner's: after a crash the number may have gone to another cluster."""
        try:
            alias = Path(f"/sys/class/net/{self.device}/ifalias").read_text().strip()
        except OSError:
            return
        if alias == owner:
            _ip("link", "delete", self.device)


_TODO = "look at `ip addr` and `ip route`; or start with --control-plane-only, which needs no network of its own."


def candidates(kept: Network | None) -> list[Network]:
    """Networks that meet nothing on this machine; a cluster that has a number keeps it."""
    taken = _networks_in_use()
    free = []
    for network in [kept] if kept else map(Network, _NUMBERS):
        ours = [
            ipaddress.ip_network(f"{network.host}/24", strict=False),
            ipaddress.ip_network(network.services),
        ]
        if not any(mine.overlaps(other) for mine in ours for other in taken):
            free.append(network)
    return free


def _networks_in_use() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    shown = _ip("-j", "-4", "route", "show", "table", "all")
    found = []
    for route in json.loads(shown.stdout or "[]"):
        try:
            network = ipaddress.ip_network(route.get("dst", ""), strict=False)
        except ValueError:
            continue  # "default"
        if network.prefixlen >= _WIDE:
            found.append(network)
    return found


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
