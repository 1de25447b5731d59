"""The Lease of a namespace: which operator may write there, as in client-go's leader election.

The identity is the release's, not the pod's: a new pod of the same release continues at once. The times in a Lease are
another machine's; only whether the Lease has changed is compared, by this process's own monotonic clock (seconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

# A holder that is cut off renews too late twice before another one takes over.
RENEW_SECONDS: Final = 60
"""How often the Lease of a namespace is renewed."""
# A whole part of it, so that a renewal is not late by up to one look.
CHECK_SECONDS: Final = RENEW_SECONDS / 4
"""How often it is looked whether a Lease is to be renewed, and the Lease is read that another release holds."""
LEASE_SECONDS: Final = 180
"""`leaseDurationSeconds` of the Lease of a namespace."""
# A holder stops to write before another one may begin.
_MARGIN_SECONDS: Final = 30
"""How long before the end of its Lease a release stops to write in a namespace."""


class NamespaceLease:
    """What one operator knows of the Lease of one namespace."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._seen: Mapping[str, Any] | None = None
        self._free_at = 0.0
        self._renewed_at: float | None = None

    @property
    def holder(self) -> str | None:
        """The release that holds the Lease, if it is another one."""
        holder = (self._seen or {}).get("holderIdentity")
        return holder if holder and holder != self._identity else None

    def observe(self, spec: Mapping[str, Any], at: float) -> None:
        """Record the spec of the Lease as it was read."""
        if spec != self._seen:
            self._seen = spec
            self._free_at = at + (spec.get("leaseDurationSeconds") or LEASE_SECONDS)
        if self.holder:
            self._renewed_at = None

    def may_take(self, at: float) -> bool:
        """Whether the Lease may be taken or renewed: it is ours or nobody's, or its holder has stopped to renew it."""
        return not self.holder or at > self._free_at

    def renewed(self, at: float) -> None:
        """Record that the Lease was taken or renewed by a request that was sent `at`."""
        self._seen = None
        self._renewed_at = at

    def is_held(self, at: float) -> bool:
        """Whether this operator may write."""
        return self._renewed_at is not None and at < self._renewed_at + LEASE_SECONDS - _MARGIN_SECONDS

    def renewal_is_due(self, at: float) -> bool:
        """Whether the Lease is to be renewed, or is not held."""
        return self._renewed_at is None or at >= self._renewed_at + RENEW_SECONDS

    def lost(self) -> None:
        """Record that the Lease or its namespace is gone."""
        self._seen = self._renewed_at = None


def renewal(before: Mapping[str, Any], identity: str, now: datetime) -> dict[str, Any]:
    """Return the spec (a merge patch) by which `identity` takes or renews a Lease whose spec was `before`."""
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": time}
    if before.get("holderIdentity") == identity:
        return spec
    transitions = (before.get("leaseTransitions") or 0) + 1 if before else 0
    return {**spec, "acquireTime": time, "leaseTransitions": transitions}
