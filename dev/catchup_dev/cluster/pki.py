"""Keys, certificates and tokens of one cluster: every component has an identity of its own, as in a real one."""

from __future__ import annotations

import base64
import secrets
import subprocess
from typing import TYPE_CHECKING

from catchup_dev.cluster.layout import write
from catchup_dev.console import Failure

if TYPE_CHECKING:
    from pathlib import Path

NODE_NAME = "node1"
ADMIN = "admin"
# who -> (user name, groups); the API server's own roles are bound to these names
_USERS = {
    ADMIN: (ADMIN, "system:masters"),
    # one identity for all controllers: making one for each takes 4 of 9 seconds of a start
    "kube-controller-manager": ("system:kube-controller-manager", "system:masters"),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "coredns": ("system:coredns", ""),
}
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")


class Pki:
    """Files below one directory, made when missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca = directory / "ca.crt"
        self.service_accounts = directory / "service-accounts.key"
        self.tokens = directory / "tokens.csv"

    def ensure(self, api_addresses: list[str], node_address: str | None) -> None:
        """Make what is missing; the serving certificates anew when their addresses changed."""
        if not self.ca.exists():
            # Python 3.13 and later believe no authority that does not say what its key is for.
            usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
            self._openssl("req", "-x509", *_EC, "-subj", "/CN=catchup-local-ca", *usage, into="ca")
        if not self.service_accounts.exists():
            self._openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", into="service-accounts")
        if not self.tokens.exists():
            lines = [f'{secrets.token_hex(24)},{user},{who},"{groups}"' for who, (user, groups) in _USERS.items()]
            write(self.tokens, "\n".join(lines) + "\n")
        names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
        names += ",DNS:kubernetes.default.svc.cluster.local"
        self._leaf("apiserver", "/CN=kube-apiserver", names + "".join(f",IP:{a}" for a in api_addresses))
        self._leaf("etcd", "/CN=etcd", "DNS:localhost,IP:127.0.0.1")
        self._leaf("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client", "DNS:apiserver")
        if node_address:
            self._leaf("kubelet", f"/CN={NODE_NAME}", f"IP:{node_address}")

    def certificate(self, name: str) -> Path:
        """Return the file of a certificate."""
        return self._directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the file of a key."""
        return self._directory / f"{name}.key"

    def token(self, who: str) -> str:
        """Return a component's token. Raises Failure where there is none."""
        user, _ = _USERS[who]
        for line in self.tokens.read_text().splitlines():
            token, name, *_ = line.split(",")
            if name == user:
                return token
        raise Failure(f"There is no token for {user}.", todo="run `down`, then `up`.")

    def kubeconfig(self, path: Path, who: str, server: str, context: str) -> Path:
        """A kubeconfig that holds all it needs, so that it can be copied."""
        text = f"""\
apiVersion: v1
kind: Config
current-context: {context}
clusters:
- name: {context}
  cluster:
    server: {server}
    certificate-authority-data: {base64.b64encode(self.ca.read_bytes()).decode()}
users:
- name: {who}
  user:
    token: {self.token(who)}
contexts:
- name: {context}
  context:
    cluster: {context}
    user: {who}
"""
        return write(path, text)

    def _leaf(self, name: str, subject: str, addresses: str) -> None:
        note = self._directory / f"{name}.names"
        if self.certificate(name).exists() and note.exists() and note.read_text() == addresses:
            return
        note.unlink(missing_ok=True)
        signed = ("-CA", str(self.ca), "-CAkey", str(self.key("ca")))
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            f"subjectAltName={addresses}",
            "extendedKeyUsage=serverAuth,clientAuth",
        ]
        added = [part for extension in extensions for part in ("-addext", extension)]
        self._openssl("req", "-x509", *_EC, *signed, "-subj", subject, *added, into=name)
        write(note, addresses)

    def _openssl(self, command: str, *arguments: str, into: str) -> None:
        """Run openssl; key and certificate appear when both are whole."""
        scratch = {suffix: self._directory / f"{into}.{suffix}.new" for suffix in ("key", "crt")}
        outputs = {
            "req": ("-keyout", str(scratch["key"]), "-out", str(scratch["crt"])),
            "ecparam": ("-out", str(scratch["key"])),
        }[command]
        done = subprocess.run(
            ["openssl", command, *arguments, *outputs],
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
        )
        if done.returncode != 0:
            raise Failure("openssl failed.", log=done.stderr, todo="OpenSSL 3 is needed; see `openssl version`.")
        for suffix in ("key", "crt"):
            if scratch[suffix].exists():
                scratch[suffix].replace(self._directory / f"{into}.{suffix}")
