"""Who may read `/metrics`, asked of the API server with the pod's own service account."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from catchup_contract.access_review import (
    FORBIDDEN,
    OK,
    UNAUTHORIZED,
    UNAVAILABLE,
    Verdicts,
    access_review,
    bearer,
    is_allowed,
    token_review,
)
from catchup_contract.proxies import proxy_for
from catchup_jobs.jobs.run.errors import MisconfiguredError

# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS: Final = 5.0
"""How long the exporter of metrics waits for the API server's answer on who may read them."""

_log = structlog.get_logger()


class ReviewGate:
    """Decides by TokenReview and SubjectAccessReview; safe to call from several threads."""

    def __init__(self, server: str, account: Path = ACCOUNT) -> None:
        """Take the API server's URL and the folder of the service account.

        Raises:
            MisconfiguredError: the pod has no service account's token.
        """
        self._server = server
        self._token_file = account / "token"
        try:
            tls = ssl.create_default_context(cafile=account / "ca.crt")
            self._token_file.read_bytes()
        except OSError as error:
            raise MisconfiguredError(
                f"the service account's token and ca.crt cannot be read under {account} ({error.strerror}): reviewed"
                " metrics need a pod with an account"
            ) from None
        proxy = proxy_for(urlsplit(server))
        self._requests = urllib.request.build_opener(
            # In place of urllib's own reading of the environment, which knows no CIDR in NO_PROXY.
            urllib.request.ProxyHandler({"https": proxy} if proxy else {}),
            urllib.request.HTTPSHandler(context=tls),
        )
        self._verdicts = Verdicts()

    def __call__(self, authorization: str) -> int:
        """Return 200 for an `Authorization` header that may read metrics, else 401, 403, or 503 where nobody knows."""
        token = bearer(authorization)
        if token is None:
            return UNAUTHORIZED
        now = time.monotonic()
        status = self._verdicts.get(token, now)
        if status is None:
            status = self._ask(token)
            self._verdicts.keep(token, status, now)
        return status

    def _ask(self, token: str) -> int:
        try:
            review = access_review(self._post(token_review(token)))
            if review is None:
                return UNAUTHORIZED
            return OK if is_allowed(self._post(review)) else FORBIDDEN
        except (OSError, ValueError) as error:
            _log.warning("cannot tell who may read metrics", error_class=type(error).__name__, why=_why(error))
            return UNAVAILABLE

    def _post(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answered review. Raises OSError, ValueError."""
        request = urllib.request.Request(  # noqa: S310 - the server is the cluster's
            f"{self._server}/apis/{document['apiVersion']}/{document['kind'].lower()}s",
            data=json.dumps(document).encode(),
            # Read each time: the kubelet replaces the token.
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._token_file.read_text().strip()}",
            },
        )
        with self._requests.open(request, timeout=_TIMEOUT_SECONDS) as reply:
            answer = json.loads(reply.read())
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")  # noqa: TRY004 - of the same sort as no JSON
        return answer


def _why(error: Exception) -> str | None:
    return f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else None
