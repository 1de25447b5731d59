"""Client configuration: the pod's service account, or else a kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kubernetes.aio import client, config

from catchup_operator.kube.proxy import proxy_for

_ADVICE: Final = "set KUBECONFIG to a file with which kubectl reaches the cluster"


class NoClusterError(Exception):
    """Neither a service account nor a usable kubeconfig exists. The message says what to do."""


async def load_client() -> client.ApiClient:
    """Return a client for the pod's service account, or else for the kubeconfig (`KUBECONFIG`, `~/.kube/config`).

    Sends no request. The proxy is the kubeconfig's, or else that of `HTTPS_PROXY` and `NO_PROXY`.

    Raises:
        NoClusterError: neither exists, or the one that exists cannot be used.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        await _load_kubeconfig(configuration, not_in_cluster=str(error))
    configuration.proxy = configuration.proxy or proxy_for(urlsplit(configuration.host))
    try:
        return client.ApiClient(configuration)
    except OSError as error:
        raise NoClusterError(f"the certificates for {configuration.host} cannot be used: {error}; {_ADVICE}") from None


async def _load_kubeconfig(configuration: client.Configuration, *, not_in_cluster: str) -> None:
    # The client's own default is read once, when it is imported.
    paths = os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        _require_any(paths)
        await config.load_kube_config(paths, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - the loader raises any exception for a file that is no kubeconfig
        problem = f"not in a pod ({not_in_cluster.rstrip('.')}), and the kubeconfig {paths} cannot be used"
        raise NoClusterError(f"{problem}: {type(error).__name__}: {error}; {_ADVICE}") from None


def _require_any(paths: str) -> None:
    # The loader treats a missing file as an empty one.
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise FileNotFoundError("no such file")
