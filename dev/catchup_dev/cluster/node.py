"""The node: containerd, kubelet, kube-proxy and CoreDNS inside the sandbox, with what they are told."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from catchup_dev import oci
from catchup_dev.cache import cached_directory, digest
from catchup_dev.cluster import api
from catchup_dev.cluster.component import Component
from catchup_dev.cluster.layout import write
from catchup_dev.cluster.pki import NODE_NAME
from catchup_dev.console import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from catchup_dev.cluster.control_plane import ControlPlane
    from catchup_dev.cluster.layout import Layout
    from catchup_dev.cluster.network import Network
    from catchup_dev.cluster.sandbox import Sandbox

SOCKET = "/run/containerd/containerd.sock"  # below the sandbox's own /run
KUBELET_ROOT = "/var/lib/kubelet"  # the sandbox's own
HOST_NAME = "host.catchup.internal"  # the machine, as pods call it
_CNI_PLUGINS = "/usr/lib/cni"
_KUBELET_HEALTH, _PROXY_HEALTH, _DNS_READY = 10248, 10256, 8181


class Node:
    """Knows the node's components and its image store."""

    def __init__(
        self,
        layout: Layout,
        network: Network,
        sandbox: Sandbox,
        programs: Mapping[str, Path],
        plane: ControlPlane,
    ) -> None:
        self._layout = layout
        self._network = network
        self._sandbox = sandbox
        self._programs = programs
        self._plane = plane
        self._config = layout.node / "config"
        pause = programs["pause"]
        self._pause = f"localhost/catchup/pause:{digest([pause.read_bytes()])}"

    def containerd(self) -> Component:
        """Return what runs containers."""
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        config = f"""\
version = 2
root = {json.dumps(str(self._layout.containerd))}
state = "/run/containerd"
# "opt" would make a directory in the machine's /opt
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{SOCKET}"
[{cri}]
sandbox_image = "{self._pause}"
restrict_oom_score_adj = true
[{cri}.containerd]
snapshotter = "{self._snapshotter()}"
[{cri}.registry]
config_path = {json.dumps(str(self._layout.registries))}
[{cri}.cni]
bin_dir = "{_CNI_PLUGINS}"
conf_dir = {json.dumps(str(self._config / "cni"))}
"""
        path = write(self._config / "containerd.toml", config)
        # every pod has a routed link of its own: unlike on a bridge, traffic between pods always passes kube-proxy
        ipam = {
            "type": "host-local",
            "subnet": self._network.pods,
            "dataDir": "/var/lib/cni/networks",
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins: list[dict[str, Any]] = [{"type": "ptp", "ipMasq": False, "ipam": ipam}]
        network = {"cniVersion": "0.4.0", "name": "catchup", "plugins": plugins}
        write(self._config / "cni" / "10-catchup.conflist", json.dumps(network, indent=2))
        return self._component("containerd", ["containerd", f"--config={path}"], SOCKET, self._answers, [path])

    def kubelet(self) -> Component:
        """Return what runs the node's pods."""
        pki, node = self._plane.pki, self._network.node
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node,
            "healthzBindAddress": node,
            "healthzPort": _KUBELET_HEALTH,
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "clusterDNS": [node],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "tlsCertFile": str(pki.certificate("kubelet")),
            "tlsPrivateKeyFile": str(pki.key("kubelet")),
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(pki.ca)}},
            # each container has one cgroup, /k8s.io/ID; works with version 1 and 2, with or without systemd
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            # the machine's kernel settings and disk are not the node's to judge
            "featureGates": {"KubeletInUserNamespace": True},
            "localStorageCapacityIsolation": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "volumePluginDir": str(self._layout.node / "volume-plugins"),
        }
        path = write(self._config / "kubelet.json", json.dumps(config, indent=2))
        kubeconfig = self._plane.kubeconfig("kubelet")
        argv = [
            str(self._programs["kubelet"]),
            f"--config={path}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={node}",
            f"--root-dir={KUBELET_ROOT}",
            f"--cert-dir={KUBELET_ROOT}/pki",
        ]
        health = f"http://{node}:{_KUBELET_HEALTH}/healthz"
        configs = [path, kubeconfig, pki.certificate("kubelet")]
        return self._component("kubelet", argv, f"{node}:10250", lambda: api.healthy(health), configs)

    def proxy(self) -> Component:
        """Return what leads services' addresses to pods."""
        node, kubeconfig = self._network.node, self._plane.kubeconfig("kube-proxy")
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": self._network.pods,
            "hostnameOverride": NODE_NAME,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "healthzBindAddress": f"{node}:{_PROXY_HEALTH}",
            "metricsBindAddress": "127.0.0.1:10249",
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
        path = write(self._config / "kube-proxy.json", json.dumps(config, indent=2))
        health = f"http://{node}:{_PROXY_HEALTH}/livez"
        argv = [str(self._programs["kube-proxy"]), f"--config={path}"]
        address = f"{node}:{_PROXY_HEALTH}"
        return self._component("kube-proxy", argv, address, lambda: api.healthy(health), [path, kubeconfig])

    def dns(self) -> Component:
        """Return the cluster's DNS."""
        node, kubeconfig = self._network.node, self._plane.kubeconfig("coredns")
        # three zones: services, the machine's name, and a quick "no" to all else, since pods reach nothing outside
        corefile = f"""\
cluster.local in-addr.arpa {{
    bind {node}
    errors
    ready {node}:{_DNS_READY}
    kubernetes {{
        kubeconfig {kubeconfig} local
        pods insecure
        ttl 5
    }}
}}
{HOST_NAME} {{
    bind {node}
    hosts {{
        {self._network.host} {HOST_NAME}
    }}
}}
. {{
    bind {node}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
        path = write(self._config / "Corefile", corefile)
        ready = f"http://{node}:{_DNS_READY}/ready"
        argv = [str(self._programs["coredns"]), f"-conf={path}"]
        return self._component("coredns", argv, f"{node}:53", lambda: api.healthy(ready), [path, kubeconfig])

    def import_pause(self) -> None:
        """Give containerd the image that holds a pod's namespaces."""
        if self._pause in self.images():
            return

        def make(scratch: Path) -> None:
            oci.write_archive(scratch / "image.tar", self._programs["pause"], self._pause)

        self.import_archive(cached_directory(f"image-pause-{self._pause.rsplit(':', 1)[1]}", make) / "image.tar")

    def images(self) -> set[str]:
        """The references of the images the node has."""
        return set(self._ctr("images", "ls", "-q").splitlines())

    def import_archive(self, archive: Path) -> None:
        """Give the node the image in an OCI archive."""
        with archive.open("rb") as stream:  # by stream: the archive need not be visible inside
            self._ctr("images", "import", "--snapshotter", self._snapshotter(), "-", stdin=stream.fileno())

    def _ctr(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> str:
        command = self._sandbox.enter(["ctr", "--address", SOCKET, "--namespace", "k8s.io", *arguments])
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"`ctr {arguments[0]} {arguments[1]}` failed.", log=done.stderr, todo="run `up` again.")
        return done.stdout

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._sandbox.path(SOCKET)))
            except OSError:
                return False
        return True

    def _snapshotter(self) -> str:
        """Layers by overlayfs, or by copying where the files already lie on one (a checkout in a container)."""
        kept = self._layout.record("snapshotter").get("name")
        if isinstance(kept, str):
            return kept
        done = subprocess.run(
            ["stat", "-f", "-c", "%T", str(self._layout.directory)],
            capture_output=True,
            text=True,
            check=True,
        )
        name = "native" if done.stdout.strip() == "overlayfs" else "overlayfs"
        self._layout.write_record("snapshotter", {"name": name})
        return name

    def _component(
        self, name: str, argv: list[str], address: str, probe: Callable[[], bool], configs: list[Path]
    ) -> Component:
        return Component(self._layout.daemon(name), self._sandbox.enter(argv), address, probe, configs)
