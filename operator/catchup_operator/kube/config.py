"""Which access is used: the pod's service account, or else a kubeconfig."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from catchup_contract.proxies import proxy_for
from catchup_operator.kube.server_access import Access
from catchup_operator.kube.service_account import NotInPodError, service_account_access

_ADVICE: Final = "set KUBECONFIG to a file with which kubectl reaches the cluster"
_NO_CLIENT: Final = "pip install 'catchup-jobs[kubeconfig]' reads it"


class NoClusterError(Exception):
    """Neither a service account nor a usable kubeconfig exists. The message says what to do."""


async def load_access() -> Access:
    """Return the access by the pod's service account, or else by the kubeconfig (`KUBECONFIG`, `~/.kube/config`).

    Sends no request. The proxy is the kubeconfig's, or else that of `HTTPS_PROXY` and `NO_PROXY`.

    Raises:
        NoClusterError: neither exists, or the one that exists cannot be used.
    """
    try:
        access = service_account_access()
    except NotInPodError as error:
        access = await _kubeconfig_access(not_in_pod=str(error))
    except OSError as error:
        raise NoClusterError(f"the certificate authority of the service account cannot be used: {error}") from None
    return replace(access, proxy=access.proxy or proxy_for(urlsplit(access.server)))


async def _kubeconfig_access(*, not_in_pod: str) -> Access:
    problem = f"not in a pod ({not_in_pod}), and"
    try:
        from catchup_operator.kube import kubeconfig  # noqa: PLC0415 - 30 MB and half a second
    except ModuleNotFoundError:
        raise NoClusterError(f"{problem} there is nothing to read a kubeconfig with; {_NO_CLIENT}") from None
    paths = kubeconfig.paths()
    try:
        return await kubeconfig.access(paths)
    except kubeconfig.CertificateError as error:
        raise NoClusterError(f"{error}; {_ADVICE}") from None
    except Exception as error:  # noqa: BLE001 - the loader raises any exception for a file that is no kubeconfig
        message = f"{problem} the kubeconfig {paths} cannot be used: {type(error).__name__}: {error}; {_ADVICE}"
        raise NoClusterError(message) from None
