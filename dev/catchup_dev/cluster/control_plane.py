"""etcd, API server, controller manager and scheduler: run on the machine itself, on addresses only it (and the
node) can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchup_dev.cluster import api
from catchup_dev.cluster.component import Component
from catchup_dev.cluster.layout import write
from catchup_dev.cluster.pki import ADMIN, Pki

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from catchup_dev.cluster.layout import Layout
    from catchup_dev.cluster.network import Network

LOOPBACK = "127.0.0.1"
_SERVICES_WITHOUT_NODE = ("10.96.0.0/24", "10.96.0.1")
# Who asked for what, of what runs in pods: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
"""


class ControlPlane:
    """Knows the components, their addresses and the API client; `network` is None without a node."""

    def __init__(self, layout: Layout, network: Network | None, programs: Mapping[str, Path]) -> None:
        self._layout = layout
        self._network = network
        self._programs = programs
        self.pki = Pki(layout.pki)
        self.host = network.host if network else LOOPBACK
        services, api_service = (network.services, network.api_service) if network else _SERVICES_WITHOUT_NODE
        self._services = services
        self.pki.ensure([LOOPBACK, self.host, api_service], network.node if network else None)
        self._ports = {
            name: layout.port(name, host, in_use=layout.daemon(name).alive())
            for name, host in (
                ("etcd", LOOPBACK),
                ("kube-apiserver", self.host),
                ("kube-controller-manager", LOOPBACK),
                ("kube-scheduler", LOOPBACK),
            )
        }
        self.server = f"https://{self.host}:{self._ports['kube-apiserver']}"
        self.api = api.Api(self.server, self.pki.ca, self.pki.token(ADMIN))
        self.pki.kubeconfig(layout.kubeconfig, ADMIN, self.server, f"catchup-{layout.name}")

    def kubeconfig(self, who: str) -> Path:
        """The kubeconfig of a component."""
        path = self._layout.pki / f"{who}.kubeconfig"
        return self.pki.kubeconfig(path, who, self.server, "local")

    def etcd(self) -> Component:
        """Return the store of the API server."""
        url = f"https://{LOOPBACK}:{self._ports['etcd']}"
        certificate, key = self.pki.certificate("etcd"), self.pki.key("etcd")
        context = api.trusting(self.pki.ca, certificate, key)
        argv = [
            str(self._programs["etcd"]),
            f"--data-dir={self._layout.etcd}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls=http://{LOOPBACK}:0",  # there are no peers; any free port will do
            f"--cert-file={certificate}",
            f"--key-file={key}",
            f"--trusted-ca-file={self.pki.ca}",
            "--client-cert-auth",
            "--unsafe-no-fsync",  # survives the end of every process, only not of the machine
            "--logger=zap",
            "--log-level=warn",
        ]
        return self._component("etcd", argv, lambda: api.healthy(f"{url}/health", context), [certificate])

    def apiserver(self) -> Component:
        """Return the API server, with an audit log of what service accounts ask for."""
        pki, port = self.pki, self._ports["kube-apiserver"]
        policy = write(self._layout.directory / "audit-policy.yaml", _AUDIT_POLICY)
        argv = [
            str(self._programs["kube-apiserver"]),
            f"--bind-address={self.host}",
            f"--secure-port={port}",
            f"--advertise-address={self.host}",
            f"--tls-cert-file={pki.certificate('apiserver')}",
            f"--tls-private-key-file={pki.key('apiserver')}",
            f"--etcd-servers=https://{LOOPBACK}:{self._ports['etcd']}",
            f"--etcd-cafile={pki.ca}",
            f"--etcd-certfile={pki.certificate('etcd')}",
            f"--etcd-keyfile={pki.key('etcd')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki.service_accounts}",
            f"--service-account-key-file={pki.service_accounts}",
            # these two make the record by which the other parts of the control plane know callers
            f"--client-ca-file={pki.ca}",
            f"--requestheader-client-ca-file={pki.ca}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--token-auth-file={pki.tokens}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",  # beside the default ones
            f"--service-cluster-ip-range={self._services}",
            "--allow-privileged=true",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._layout.audit_log}",
            "--audit-log-maxsize=50",  # megabytes
            "--audit-log-maxbackup=1",
        ]
        if self._network:
            argv += [
                "--kubelet-preferred-address-types=InternalIP",
                f"--kubelet-certificate-authority={pki.ca}",
                f"--kubelet-client-certificate={pki.certificate('apiserver-kubelet')}",
                f"--kubelet-client-key={pki.key('apiserver-kubelet')}",
            ]
        else:
            argv.append("--endpoint-reconciler-type=none")  # a loopback address can't be an endpoint
        return self._component(
            "kube-apiserver", argv, self.api.ready, [pki.certificate("apiserver"), pki.tokens, policy], self.host
        )

    def controller_manager(self) -> Component:
        """Return the controllers."""
        argv = [
            f"--service-account-private-key-file={self.pki.service_accounts}",
            f"--root-ca-file={self.pki.ca}",
        ]
        return self._client("kube-controller-manager", argv)

    def scheduler(self) -> Component:
        """Return the scheduler."""
        return self._client("kube-scheduler", [])

    def _client(self, name: str, more: list[str]) -> Component:
        """A program that works on the API server and serves nothing but its health."""
        kubeconfig, port = self.kubeconfig(name), self._ports[name]
        argv = [
            str(self._programs[name]),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={port}",
            "--leader-elect=false",
            *more,
        ]
        context = api.unverified()
        return self._component(
            name, argv, lambda: api.healthy(f"https://{LOOPBACK}:{port}/healthz", context), [kubeconfig]
        )

    def _component(
        self, name: str, argv: list[str], probe: Callable[[], bool], configs: list[Path], host: str = LOOPBACK
    ) -> Component:
        return Component(self._layout.daemon(name), argv, f"{host}:{self._ports[name]}", probe, configs)
