"""One cluster's life: brought up step by step, each step leaving alone what already is as it should be.

So `up` is the first start, the repair after a crash and the check that all is well, by the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catchup_dev import binaries
from catchup_dev.cache import cache_root, locked
from catchup_dev.cluster import addons
from catchup_dev.cluster.component import Component, await_healthy
from catchup_dev.cluster.control_plane import LOOPBACK, ControlPlane
from catchup_dev.cluster.layout import CHECKOUT, DEMO, Layout
from catchup_dev.cluster.needs import Needs
from catchup_dev.cluster.network import Network, candidates
from catchup_dev.cluster.node import Node
from catchup_dev.cluster.pki import NODE_NAME
from catchup_dev.cluster.sandbox import Sandbox
from catchup_dev.console import Console, Failure
from catchup_dev.processes import run_tool, stop_all

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.cluster.api import Api

_START_SECONDS = 240.0
_NODE_SECONDS = 240.0
_CONTROL_PLANE_DAEMONS = ("kube-controller-manager", "kube-scheduler", "kube-apiserver", "etcd")
_NODE_DAEMONS = ("coredns", "kube-proxy", "kubelet", "containerd", "sandbox")


@dataclass(frozen=True)
class Row:
    """A line of `status`."""

    name: str
    healthy: bool
    address: str
    version: str = ""


class Cluster:
    """A local Kubernetes. `node=None` is: with a node as root, the control plane alone otherwise."""

    def __init__(
        self,
        name: str = DEMO,
        root: Path = CHECKOUT,
        *,
        node: bool | None = None,
        helm: bool = False,
        console: Console | None = None,
    ) -> None:
        self.layout = Layout(name, root)
        self.name = name
        self._console = console or Console(quiet=True)
        kept = self.layout.record("cluster").get("node")
        self._kept_node = None if kept is None else bool(kept)
        wanted = node if node is not None else self._kept_node
        self.with_node = os.geteuid() == 0 if wanted is None else wanted
        self._needs = Needs(self.with_node, helm and self.with_node)
        self._sandbox = Sandbox(self.layout)
        self._plane: ControlPlane | None = None
        self._node: Node | None = None

    # -- what callers need of a running cluster

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def host_address(self) -> str:
        """Where servers on this machine listen so that pods (and this machine) reach them."""
        network = self._network()
        return network.host if network else LOOPBACK

    def exists(self) -> bool:
        """Return whether `up` was run, and no `down` since."""
        return bool(self.layout.record("cluster"))

    def images(self) -> set[str]:
        """The references of the images the node has."""
        return self._connected_node().images()

    def import_image(self, archive: Path) -> None:
        """Give the node the image in an OCI archive."""
        self._connected_node().import_archive(archive)

    def kubectl(self, *arguments: str, stdin: str | None = None, accept: tuple[int, ...] = (0,)) -> str:
        """Run kubectl on this cluster; its output, or a Failure with what it said where it did not exit as accepted."""
        program = binaries.ensure(["kubectl"])["kubectl"]
        command = [str(program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run_tool(command, shown=f"kubectl {' '.join(arguments)}", stdin=stdin, accept=accept)

    def helm(self, *arguments: str) -> str:
        """Run helm on this cluster; its output, or a Failure with what it said."""
        program = binaries.ensure(["helm"])["helm"]
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return run_tool([str(program), *arguments], shown=f"helm {' '.join(arguments)}", env=env)

    def read(self, path: str) -> dict[str, Any]:
        """Return what the API server has at a path; raises as `request`."""
        found: dict[str, Any] = json.loads(self.request("GET", path))
        return found

    def request(self, method: str, path: str, document: Any = None, **options: Any) -> str:
        """Ask the API server as administrator, at a hundredth of kubectl's price; a Failure where it refuses."""
        return self._api().request(method, path, document, **options).decode()

    def _api(self) -> Api:
        if self._plane is None:
            self._attach()
        assert self._plane is not None  # noqa: S101 - made by _attach
        return self._plane.api

    # -- up

    def up(self) -> None:
        """Start or repair it; returns when it is ready for pods (or for objects, without a node)."""
        if self.with_node and os.geteuid() != 0:
            raise Failure("A node needs root.", todo="run as root, or leave the node out: --control-plane-only.")
        with locked(self.layout.lock, self._console):
            if self._kept_node not in {None, self.with_node}:
                there = "with" if self._kept_node else "without"
                raise Failure(f"The cluster {self.name} is there already, {there} a node.", todo="run `down` first.")
            self._needs.announce(self._console)
            programs = self._needs.ensure(self._console)
            self.layout.make()
            self.layout.write_record("cluster", {"node": int(self.with_node)})
            self._start(programs)
            self._link(programs)

    def _start(self, programs: dict[str, Path]) -> None:
        network = None
        if self.with_node:
            with self._console.step("Namespaces and network of the node"):
                network = self._connect()
        plane = self._plane = ControlPlane(self.layout, network, programs)
        with self._console.step("etcd"):
            plane.etcd().ensure_started()
            if network:
                node = self._node = Node(self.layout, network, self._sandbox, programs, plane)
                node.containerd().ensure_started()
            await_healthy([plane.etcd()], _START_SECONDS)
        with self._console.step("API server"):
            plane.apiserver().ensure_started()
            if self._node:
                await_healthy([self._node.containerd()], _START_SECONDS)
                self._node.import_pause()
            await_healthy([plane.apiserver()], _START_SECONDS)
        if self._node:
            addons.apply(self.layout, plane.api)
        rest = [c for c in self._components() if c.name not in {"etcd", "kube-apiserver", "containerd"}]
        with self._console.step(", ".join(component.name for component in rest)):
            for component in rest:
                component.ensure_started()
            await_healthy(rest, _START_SECONDS)
            self._await("/api/v1/namespaces/default/serviceaccounts/default", "The default service account")
        if self._node:
            with self._console.step("Node ready"):
                self._await(f"/api/v1/nodes/{NODE_NAME}", "The node")

    def _connect(self) -> Network:
        """The sandbox and its link to this machine, both whole or made anew together."""
        kept = self._network()
        connected = self.layout.record("network").get("init")
        if kept and self._sandbox.is_ready() and connected == self._sandbox.init_pid:
            return kept
        self._sandbox.stop()
        if kept:
            kept.disconnect(self.layout.slug)
        self._sandbox.start([self.layout.directory, cache_root(), CHECKOUT])
        init = self._sandbox.init_pid or 0
        for network in candidates(kept):
            if network.connect(init, self.layout.slug):
                self.layout.write_record("network", {"number": network.number, "init": init})
                return network
        raise Failure(
            f"The addresses {kept.link} of this cluster are taken." if kept else "No addresses are free.",
            todo="see `ip route`; `down` and `up` makes a cluster with other addresses.",
        )

    def _components(self) -> list[Component]:
        """In the order they start."""
        plane, node = self._plane, self._node
        assert plane is not None  # noqa: S101 - callers come after _start or _attach
        components = [plane.etcd(), plane.apiserver(), plane.controller_manager()]
        if node:
            components += [plane.scheduler(), node.containerd(), node.kubelet(), node.proxy(), node.dns()]
        return components

    def _await(self, path: str, what: str) -> None:
        """Wait until an object is there and, where it has such a condition, Ready."""
        deadline = time.monotonic() + _NODE_SECONDS
        daemon = self.layout.daemon("kubelet" if self._node else "kube-controller-manager")
        while not self._is_ready(path):
            if not daemon.alive() or time.monotonic() > deadline:
                todo = f"see {daemon.log}; run `up` again, or `down` and `up` for a new cluster."
                raise Failure(f"{what} did not become ready.", log=daemon.log_tail(), todo=todo)
            time.sleep(0.05)

    def _is_ready(self, path: str) -> bool:
        found = self._plane.api.get(path) if self._plane else None
        if found is None:
            return False
        conditions = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions", [])}
        return bool(conditions.get("Ready", "True") == "True")

    def _link(self, programs: dict[str, Path]) -> None:
        """`.local/bin/` and, for the demo, `.local/kubeconfig`."""
        self.layout.bin.mkdir(parents=True, exist_ok=True)
        links = {self.layout.bin / tool: programs[tool] for tool in self._needs.tools}
        if self.name == DEMO:
            links[self.layout.demo_kubeconfig] = self.kubeconfig
        for link, target in links.items():
            if not (link.is_symlink() and link.readlink() == target):
                link.unlink(missing_ok=True)
                link.symlink_to(target)

    # -- status

    def status(self) -> list[Row]:
        """Every component and the node; empty when there is no cluster."""
        if not self.exists() or (self.with_node and self._network() is None):  # or its start was cut off
            return []
        self._attach()
        components = self._components()
        with ThreadPoolExecutor(max_workers=len(components)) as pool:
            health = list(pool.map(Component.healthy, components))
            versions = list(pool.map(Component.version, components))
        rows = [
            Row(component.name, ok, component.address, version)
            for component, ok, version in zip(components, health, versions, strict=True)
        ]
        if network := self._network():
            ready = self._is_ready(f"/api/v1/nodes/{NODE_NAME}") and all(health)
            rows.append(Row(NODE_NAME, ready, network.node))
        return rows

    def _network(self) -> Network | None:
        number = self.layout.record("network").get("number")
        return None if number is None else Network(int(number))

    def _attach(self) -> None:
        """Know the parts of a cluster without starting any."""
        programs = self._needs.programs()
        network = self._network()
        self._plane = ControlPlane(self.layout, network, programs)
        if network:
            self._node = Node(self.layout, network, self._sandbox, programs, self._plane)

    def _connected_node(self) -> Node:
        if self._node is None and self.exists() and self.with_node:
            self._attach()
        if self._node is None:
            raise Failure(f"The cluster {self.name} has no node.", todo="run `up` as root.")
        return self._node

    # -- down

    def down(self) -> None:
        """End every process and remove every trace. Nothing is asked to end in peace: its data goes with it."""
        with locked(self.layout.lock, self._console):
            self._sandbox.stop()
            stop_all([self.layout.daemon(name) for name in (*_CONTROL_PLANE_DAEMONS, *_NODE_DAEMONS)], grace=0)
            if network := self._network():
                network.disconnect(self.layout.slug)
            self._remove_files()

    def _remove_files(self) -> None:
        layout = self.layout
        if layout.demo_kubeconfig.is_symlink() and layout.demo_kubeconfig.readlink() == layout.kubeconfig:
            layout.demo_kubeconfig.unlink()
        if layout.directory.exists():
            # out of the way first: a removal cut off half-way must not look like a cluster
            grave = layout.directory.with_name(f".{layout.name}.removing")
            shutil.rmtree(grave, ignore_errors=True)
            layout.directory.rename(grave)
        for grave in layout.lock.parent.glob(f".{layout.name}.removing"):
            shutil.rmtree(grave)
        layout.lock.unlink(missing_ok=True)
        if not any(layout.lock.parent.iterdir()):
            layout.lock.parent.rmdir()
            shutil.rmtree(layout.bin, ignore_errors=True)
            if not any(layout.local.iterdir()):
                layout.local.rmdir()
