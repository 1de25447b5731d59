"""Where the API server is and who we are there: by a pod's service account, or else by a kubeconfig.

A pod reads three small files. A kubeconfig may ask for plugins and for tokens that are refreshed: that is left to the
Kubernetes client, which is imported only then, since it takes longer to load than all the rest of the operator.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The kubelet replaces a token long before it expires.
_TOKEN_SECONDS: Final = 60.0


class NoClusterError(Exception):
    """Neither a service account nor a kubeconfig says where the API server is; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the API server.

    Attributes:
        server: its URL, without a slash at the end.
        tls: whom to trust, and the client's certificate if there is one.
        authorization: returns the value of the Authorization header, or None where a certificate says who we are.
        proxy: the URL of an HTTP proxy on the way, or None.
    """

    server: str
    tls: ssl.SSLContext
    authorization: Callable[[], Awaitable[str | None]]
    proxy: str | None = None

    @classmethod
    async def find(cls) -> Connection:
        """Return the pod's own, or else the kubeconfig's (`KUBECONFIG`, `~/.kube/config`).

        Raises:
            NoClusterError: neither is there, or what is there cannot be read.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
        if host and port and (_SERVICE_ACCOUNT / "token").exists():
            found = cls._of_pod(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
        else:
            found = await cls._of_kubeconfig()
        # The default from Python 3.13 on refuses authorities that lack an extension, as those of older clusters do;
        # kubectl and the controllers take them.
        found.tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return found

    @classmethod
    def _of_pod(cls, server: str) -> Connection:
        token = _Token(_SERVICE_ACCOUNT / "token")
        try:
            tls = ssl.create_default_context(cafile=str(_SERVICE_ACCOUNT / "ca.crt"))
            token.read()
        except OSError as error:
            raise NoClusterError(f"the pod's service account cannot be read: {error}") from None
        return cls(server, tls, token.authorization)

    @classmethod
    async def _of_kubeconfig(cls) -> Connection:
        from kubernetes.aio import client, config  # noqa: PLC0415 - see above

        configuration = client.Configuration()
        try:
            # Left to itself the client reads the variable when it is imported.
            kubeconfig = os.environ.get("KUBECONFIG") or None
            await config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise NoClusterError(f"neither in a cluster, nor a usable kubeconfig: {error}") from None

        async def authorization() -> str | None:
            settings = await configuration.auth_settings()
            return settings["BearerToken"]["value"] if "BearerToken" in settings else None

        tls = client.rest.RESTClientObject(configuration).ssl_context
        return cls(configuration.host.rstrip("/"), tls, authorization, configuration.proxy)


class _Token:
    """A token in a file that is replaced now and then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._header = ""
        self._read_at = 0.0

    def read(self) -> None:
        """Read the file. Raises OSError."""
        self._header = f"Bearer {self._file.read_text().strip()}"
        self._read_at = time.monotonic()

    async def authorization(self) -> str:
        """Return the header; raises OSError."""
        if time.monotonic() - self._read_at > _TOKEN_SECONDS:
            self.read()
        return self._header
