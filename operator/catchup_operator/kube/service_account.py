"""Access from a pod: the service account that Kubernetes mounts into it.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
"""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import Final

from catchup_operator.kube.server_access import Access, CredentialsError

DIRECTORY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The kubelet replaces the token when 80 % of its life is over, at least ten minutes before its end.
_TOKEN_SECONDS: Final = 60.0
"""How often the token of the service account is read anew."""


class NotInPodError(Exception):
    """This process does not run in a pod with a service account. The message says what is missing."""


def service_account_access() -> Access:
    """Return the access of this pod. Sends no request.

    Raises:
        NotInPodError: the environment names no API server, or a file is missing or empty.
        OSError: the certificate authority cannot be used.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
    if not host or not port:
        raise NotInPodError("KUBERNETES_SERVICE_HOST and _PORT are not set")
    authority = DIRECTORY / "ca.crt"
    for path in (DIRECTORY / "token", authority):
        if not path.is_file() or not path.stat().st_size:
            raise NotInPodError(f"{path} is missing or empty")
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ssl=ssl.create_default_context(cafile=authority),
        authorization=_Token(DIRECTORY / "token").authorization,
    )


class _Token:
    """The token, which is read again every minute, since it is replaced before it expires."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header: dict[str, str] = {}
        self._read_again = float("-inf")

    async def authorization(self) -> dict[str, str]:
        if time.monotonic() >= self._read_again:
            try:
                token = self._path.read_text().strip()
            except OSError as error:
                raise CredentialsError(str(error)) from None
            if not token:
                raise CredentialsError(f"{self._path} is empty")
            self._header = {"Authorization": f"Bearer {token}"}
            self._read_again = time.monotonic() + _TOKEN_SECONDS
        return self._header
