"""Where a cluster keeps its files, and the ports it keeps for itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

from catchup_dev.cache import digest
from catchup_dev.console import Failure
from catchup_dev.ports import free_port, is_free
from catchup_dev.processes import Daemon

CHECKOUT = Path(__file__).resolve().parents[3]
DEMO = "demo"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Layout:
    """The paths of one cluster; `.local/clusters/<name>/` holds all of it."""

    def __init__(self, name: str, root: Path) -> None:
        if not _NAME.fullmatch(name):
            raise Failure(f"{name!r} can't name a cluster.", todo="use 1 to 32 of a-z, 0-9 and '-'.")
        self.name = name
        self.local = root.resolve() / ".local"
        self.directory = self.local / "clusters" / name
        self.lock = self.local / "clusters" / f"{name}.lock"
        self.kubeconfig = self.directory / "kubeconfig"
        self.demo_kubeconfig = self.local / "kubeconfig"
        self.bin = self.local / "bin"
        self.run = self.directory / "run"
        self.audit_log = self.directory / "audit.log"
        self.pki = self.directory / "pki"
        self.etcd = self.directory / "etcd"
        self.node = self.directory / "node"
        self.containerd = self.node / "containerd"
        # HOST:PORT/hosts.toml says how to reach a registry: https://github.com/containerd/containerd/blob/main/docs/hosts.md
        self.registries = self.node / "registries"
        self.volumes = self.node / "volumes"
        self.node_log = self.node / "log"
        self.kubelet = self.node / "kubelet"
        # what has a name outside of the directory (a network device) is told apart by the directory's path
        self.slug = f"catchup-{digest([str(self.directory)])[:10]}"

    def daemon(self, name: str) -> Daemon:
        """Return the process of that name."""
        return Daemon(name, self.run)

    def make(self) -> None:
        """The directories; private, since there are keys and tokens in them."""
        for directory in (self.run, self.pki, self.etcd):
            directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)

    def record(self, name: str) -> dict[str, int | str]:
        """A small record kept between runs; empty where there is none or a crash cut it off."""
        try:
            loaded = json.loads((self.directory / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def write_record(self, name: str, content: dict[str, int | str]) -> None:
        """Write what `record` reads."""
        write(self.directory / f"{name}.json", json.dumps(content, indent=2) + "\n")

    def port(self, name: str, host: str, *, in_use: bool) -> int:
        """The port kept for `name`: the same one every time, unless somebody else took it while it was free."""
        ports = self.record("ports")
        kept = ports.get(name)
        if isinstance(kept, int) and (in_use or is_free(host, kept)):
            return kept
        ports[name] = port = free_port(host)
        self.write_record("ports", ports)
        return port


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    """Write a file in one go, never readable by others for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.new")
    scratch.touch(mode=mode)
    scratch.chmod(mode)
    scratch.write_text(content)
    return scratch.replace(path)
