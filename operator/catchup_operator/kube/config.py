"""Where the API server is and who we are there: by a pod's service account, or else by a kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import client, config

_TO_DO: Final = "set KUBECONFIG to a file with which kubectl reaches the cluster"


class NoClusterError(Exception):
    """Neither a service account nor a kubeconfig says where the API server is; the message says what to do."""


async def find() -> client.ApiClient:
    """Return a client by the pod's service account, or else by the kubeconfig (`KUBECONFIG`, `~/.kube/config`).

    Nothing is asked of the API server yet. The proxy is the kubeconfig's, or else that of `HTTPS_PROXY` and `NO_PROXY`.

    Raises:
        NoClusterError: neither is there, or what is there cannot be used.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        await _read_kubeconfig(configuration, no_pod=str(error))
    server = urlsplit(configuration.host)
    if not configuration.proxy and not proxy_bypass(server.netloc):
        configuration.proxy = getproxies().get(server.scheme)
    try:
        return client.ApiClient(configuration)
    except OSError as error:
        raise NoClusterError(f"the certificates for {configuration.host} cannot be used: {error}; {_TO_DO}") from None


async def _read_kubeconfig(configuration: client.Configuration, *, no_pod: str) -> None:
    # Left to itself the client reads the variable when it is imported.
    paths = os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        _look_for(paths)
        await config.load_kube_config(paths, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - a file that is no kubeconfig breaks its reader in any way
        why = f"not in a pod ({no_pod.rstrip('.')}), and the kubeconfig {paths} cannot be used"
        raise NoClusterError(f"{why}: {type(error).__name__}: {error}; {_TO_DO}") from None


def _look_for(paths: str) -> None:
    # The reader takes a file that is not there for an empty one.
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise FileNotFoundError("no such file")
