"""Who may read `/metrics`: whose bearer token Kubernetes knows and lets `get` that path, as controller-runtime asks.

TokenReview and SubjectAccessReview are answered by the API server:
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

METRICS_PATH: Final = "/metrics"


class MetricsAccess(StrEnum):
    """Who may read `/metrics`."""

    OPEN = "open"
    REVIEWED = "reviewed"


OK: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
UNAVAILABLE: Final = 503
# As long as kube-rbac-proxy's and controller-runtime's caches keep it.
VERDICT_KEPT_SECONDS: Final = 60.0
"""How long an answer on who may read metrics is kept, and so a permission that is revoked still counts."""
_VERDICTS_KEPT_MAX: Final = 100
"""Readers of metrics whose answers are kept at most."""


def token_review(token: str) -> dict[str, Any]:
    """Return the TokenReview that asks whose a token is."""
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}


def access_review(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the SubjectAccessReview for the user of an answered TokenReview; None where the token is nobody's."""
    status = answer.get("status") or {}
    user = status.get("user") or {}
    if not status.get("authenticated") or not user.get("username"):
        return None
    spec = {"nonResourceAttributes": {"path": METRICS_PATH, "verb": "get"}, "user": user["username"]}
    spec |= {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def is_allowed(answer: Mapping[str, Any]) -> bool:
    """Whether an answered SubjectAccessReview allows it."""
    status = answer.get("status") or {}
    return status.get("allowed") is True and not status.get("denied")


class Verdicts:
    """Remembers for `VERDICT_KEPT_SECONDS` what was decided of a token, by its hash. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, tuple[int, float]] = {}

    def get(self, token: str, at: float) -> int | None:
        """Return the HTTP status that was decided, None where none is known."""
        verdict = self._verdicts.get(_hashed(token))
        return verdict[0] if verdict and at < verdict[1] + VERDICT_KEPT_SECONDS else None

    def keep(self, token: str, status: int, at: float) -> None:
        """Remember a decision. Where nobody could be asked, nothing was decided, and the next request asks again."""
        if status == UNAVAILABLE:
            return
        if len(self._verdicts) >= _VERDICTS_KEPT_MAX:  # somebody tries tokens
            self._verdicts.clear()
        self._verdicts[_hashed(token)] = (status, at)


def bearer(header: str) -> str | None:
    """Return the token of an `Authorization` header, None where it has none."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
