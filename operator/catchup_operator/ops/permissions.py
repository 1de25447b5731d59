"""The permissions that the operator needs, and the check that it has them (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import (
    CONFIGMAPS,
    CRONJOBS,
    EVENTS,
    JOBS,
    LEASE_NAME,
    LEASES,
    PODS,
    POOLS,
    SCHEDULES,
)
from catchup_operator.manifests.list_configmaps import CONFIGMAPS as LIST
from catchup_operator.ops.at_once import for_each

# Of the ConfigMaps with the list of UserSchedules one is asked for: a rule names all of them.
*_, _INDEX = LIST
# Exactly what the Role of the chart grants.
PERMISSIONS: Final = {
    SCHEDULES: ("get", "list", "watch"),
    f"{SCHEDULES}/status": ("patch",),
    POOLS: ("get", "list", "watch"),
    f"{POOLS}/status": ("patch",),
    CRONJOBS: ("get", "list", "watch", "create", "patch", "delete"),
    JOBS: ("list", "watch"),
    PODS: ("list",),
    EVENTS: ("create", "list"),
    CONFIGMAPS: ("create",),
    f"{CONFIGMAPS}:{_INDEX}": ("get", "patch"),
    LEASES: ("create",),
    f"{LEASES}:{LEASE_NAME}": ("get", "patch"),
}

# A namespace takes some twenty requests.
_NAMESPACES_PER_ROUND: Final = 5
"""Namespaces whose permissions a check of readiness looks at; with more, each check looks at some of them."""
_AT_ONCE: Final = 8
"""Namespaces whose permissions are looked at at the same time; at the start all are."""
_FORBIDDEN: Final = 403


class PermissionCheck:
    """Checks the permissions in rounds: a watch that runs does not notice a permission that was revoked."""

    def __init__(
        self, client: KubeClient, namespaces: Sequence[str], is_gone: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._client = client
        self._is_gone = is_gone
        self._namespaces = [*namespaces] or [""]
        self._missing: dict[str, list[str]] = {}
        self._turn = cycle(self._namespaces)

    async def round(self) -> list[str]:
        """Check the namespaces of the next round; return all problems that are known after it."""
        errors: list[ApiError] = []

        async def look(namespace: str) -> None:
            if errors:
                return  # the others would not be answered either
            try:
                self._missing[namespace] = await self._missing_in(namespace)
            except ApiError as error:
                if error.status != _FORBIDDEN:
                    errors.append(error)
                    return
                self._missing[namespace] = []  # the check is not permitted; the requests themselves will fail

        await for_each(self._next_namespaces(), look, at_once=_AT_ONCE)
        if errors:
            return [f"the API server does not answer: {errors[0]}"]
        there = [namespace for namespace in self._namespaces if not self._is_gone(namespace)]
        return [problem for namespace in there for problem in self._missing.get(namespace, ())]

    def _next_namespaces(self) -> Iterable[str]:
        """Return the namespaces to check: all at first, then those with missing permissions and the next in turn."""
        unchecked = [namespace for namespace in self._namespaces if namespace not in self._missing]
        failing = [name for name, missing in self._missing.items() if missing and not self._is_gone(name)]
        chosen = dict.fromkeys(
            (*unchecked, *failing[:_NAMESPACES_PER_ROUND], *islice(self._turn, _NAMESPACES_PER_ROUND))
        )
        return [namespace for namespace in chosen if not self._is_gone(namespace)]

    async def _missing_in(self, namespace: str) -> list[str]:
        where = f"namespace {namespace}" if namespace else "the cluster"
        return [
            f"may not {verb} {resource} in {where}"
            for resource, verbs in PERMISSIONS.items()
            for verb in verbs
            if not await self._client.is_allowed(verb, resource, namespace)
        ]
