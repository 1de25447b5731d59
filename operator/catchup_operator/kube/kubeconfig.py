"""Access by a kubeconfig, whose users may need programs or identity providers: read by the Kubernetes client.

Imported only where there is no service account: the client takes 30 MB and half a second.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes.aio import client, config

from catchup_operator.kube.server_access import Access, CredentialsError


class CertificateError(Exception):
    """The certificates that a kubeconfig names cannot be used. The message says why."""


def paths() -> str:
    """Return the paths of `KUBECONFIG`, or the default one."""
    # The client's own default is read once, when it is imported.
    return os.environ.get("KUBECONFIG") or str(config.KUBE_CONFIG_DEFAULT_LOCATION)


async def access(paths: str) -> Access:
    """Return the access by the current context of a kubeconfig; several paths are merged. Sends no request.

    Raises:
        CertificateError: its certificates cannot be used.
        Exception: there is no such file, or it is no kubeconfig; the client raises any exception for that.
    """
    _require_any(paths)
    configuration = client.Configuration()
    await config.load_kube_config(paths, client_configuration=configuration)  # type: ignore[no-untyped-call]
    try:
        api = client.ApiClient(configuration)
    except OSError as error:
        raise CertificateError(f"the certificates for {configuration.host} cannot be used: {error}") from None

    async def authorization() -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        except (config.ConfigException, OSError) as error:
            raise CredentialsError(str(error)) from None
        return headers

    return Access(
        server=configuration.host.rstrip("/"),
        ssl=api.rest_client.ssl_context,
        authorization=authorization,
        proxy=configuration.proxy,
        server_name=configuration.tls_server_name,
    )


def _require_any(paths: str) -> None:
    # The loader treats a missing file as an empty one.
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise FileNotFoundError("no such file")
