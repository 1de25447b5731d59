"""Where the API server is and who we are there: by a pod's service account, or else by a kubeconfig."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import client, config


class NoClusterError(Exception):
    """Neither a service account nor a kubeconfig says where the API server is; the message says what is wrong."""


async def find() -> client.Configuration:
    """Return the pod's configuration, or else the kubeconfig's (`KUBECONFIG`, `~/.kube/config`).

    Its proxy is the kubeconfig's, or else that of `HTTPS_PROXY` and `NO_PROXY`.

    Raises:
        NoClusterError: neither is there, or what is there cannot be read.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            # Left to itself the client reads the variable when it is imported.
            kubeconfig = os.environ.get("KUBECONFIG") or None
            await config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise NoClusterError(f"neither in a cluster, nor a usable kubeconfig: {error}") from None
    server = urlsplit(configuration.host)
    if not configuration.proxy and not proxy_bypass(server.netloc):
        configuration.proxy = getproxies().get(server.scheme)
    return configuration
