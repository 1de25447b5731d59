"""The node's own network, mount and PID namespaces.

Whatever runs on the node, pods included, lives in them, so ending their first process ends all of it: processes,
mounts, devices and packet filter rules. Only cgroups and files remain to be removed by name.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.console import Failure
from catchup_dev.processes import identify, is_running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catchup_dev.cluster.layout import Layout

_INIT = Path(__file__).with_name("sandbox_init.py")
_READY_SECONDS = 60.0
_CGROUP_SECONDS = 3.0


class Sandbox:
    """Start, enter and end the namespaces of one cluster's node."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.daemon = layout.daemon("sandbox")
        self._ready = layout.run / "sandbox.ready"

    @property
    def init_pid(self) -> int | None:
        """The first process inside, seen from outside; None when the namespaces are gone."""
        pid = self.daemon.pid
        if pid is None:
            return None
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def is_ready(self) -> bool:
        """Return whether the namespaces are there and set up."""
        return self.init_pid is not None and self._ready.exists()

    def start(self, visible: Sequence[Path]) -> None:
        """Make the namespaces; `visible` are directories needed inside even below /run or /var/lib."""
        if self.is_ready():
            return
        self.stop()
        for directory in (self._layout.node_log, self._layout.kubelet):
            directory.mkdir(parents=True, exist_ok=True)
        self._ready.unlink(missing_ok=True)
        isolate = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"]
        arguments = map(str, [self._ready, self._layout.node_log, self._layout.kubelet, *visible])
        self.daemon.start([*isolate, sys.executable, "-I", "-S", str(_INIT), *arguments])
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_ready():
            if not self.daemon.alive() or time.monotonic() > deadline:
                raise Failure(
                    "The node's namespaces could not be made.",
                    log=self.daemon.log_tail(),
                    todo="this machine may not allow namespaces (a container without privileges?); "
                    "start with --control-plane-only to do without a node.",
                )
            time.sleep(0.005)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside; killing it kills the program inside too. Fails without a sandbox."""
        pid = self.init_pid or 0
        return ["nsenter", "-t", str(pid), "-m", "-n", "-p", "--", "setpriv", "--pdeathsig", "KILL", *argv]

    def path(self, inside: str) -> Path:
        """A path of the node as it is reached from outside."""
        return Path(f"/proc/{self.init_pid or 0}/root{inside}")

    def stop(self) -> None:
        """End everything inside and remove its cgroups."""
        init = identify(self.init_pid or 0)
        self.daemon.stop(grace=0)
        deadline = time.monotonic() + _READY_SECONDS
        while init and is_running(init) and time.monotonic() < deadline:  # it waits for all others inside
            time.sleep(0.005)
        self._ready.unlink(missing_ok=True)
        self._remove_cgroups()

    def _remove_cgroups(self) -> None:
        """Those of the containers there were; their common parent too, unless another cluster has some in it."""
        containers = self._layout.containerd / "io.containerd.runtime.v2.task" / "k8s.io"
        names = [entry.name for entry in containers.iterdir()] if containers.exists() else []
        for parent in (mount / "k8s.io" for mount in _cgroup_mounts()):
            for name in names:
                _remove_cgroup(parent / name)
            try:
                parent.rmdir()
            except OSError:
                continue


def _cgroup_mounts() -> list[Path]:
    """Every cgroup hierarchy of this machine, version 1 or 2."""
    entries = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(entry[1]) for entry in entries if entry[2] in {"cgroup", "cgroup2"}]


def _remove_cgroup(top: Path) -> None:
    """Remove a cgroup with all below; killed processes take a moment to leave it."""
    deadline = time.monotonic() + _CGROUP_SECONDS
    while top.exists():
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    return
        time.sleep(0.01)
