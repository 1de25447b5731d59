"""Preparation of an uninstall, or of leaving namespaces: no CronJob may go on firing without its operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CONFIGMAPS, CRONJOBS, LEASE_NAME, LEASES
from catchup_operator.manifests.list_configmaps import CONFIGMAPS as LIST
from catchup_operator.manifests.list_configmaps import INDEX
from catchup_operator.manifests.names import SELECTOR
from catchup_operator.ops.at_once import for_each
from catchup_operator.ops.stopping import Operator, stop_operator
from catchup_operator.ops.unserved_statuses import UnservedStatuses

# A Role goes with its namespace.
_PERHAPS_GONE: Final = {403, 404}
_AT_ONCE: Final = 8
# A namespace may have thousands.
_NAMED: Final = 5
"""So many CronJobs whose deletion is denied the hook names."""


@dataclass(slots=True)
class Left:
    """What was done.

    Attributes:
        deleted: the CronJobs that were deleted.
        unwritten: the resources whose status does not say that nobody serves them.
        gone: namespaces that are gone, and why they could not be looked into.
        refused: namespaces that are there, where not all could be deleted, and why.
        stay: what to say of pods of the operator that have not ended.
    """

    deleted: int = 0
    unwritten: int = 0
    gone: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    stay: list[str] = field(default_factory=list)

    def has(self, namespace: str) -> bool:
        """Whether a namespace could be left so far."""
        return namespace not in self.gone and namespace not in self.refused


async def prepare_uninstall(
    operator: Operator, namespaces: Sequence[str], *, spare: Collection[str] = (), release: str = ""
) -> Left:
    """Stop the operator, delete its CronJobs, its ConfigMaps and Leases.

    The statuses of what the release has served say so then. What one namespace refuses keeps no other from being left;
    done again, this goes on where it ended.

    Args:
        operator: the operator, whose Deployment an upgrade makes again.
        namespaces: where to delete; none stands for all.
        spare: where not to.
        release: whose Leases to delete.

    Raises:
        ApiError: the API server refuses, or cannot be reached.
        StillRunningError: the operator did not stop.
        NoClusterError: there is no usable client configuration.
    """
    client = KubeClient(await load_access())
    left = Left()
    try:
        left.stay = await stop_operator(client, operator, partial(_leases, client, namespaces, release))
        found = await _found(client, namespaces, release, left)
        leaves = [namespace for namespace in found if namespace not in spare]
        for namespace in leaves:
            try:
                denied = await _delete_cronjobs(client, namespace)
                left.deleted += found[namespace] - len(denied)
                if denied:
                    left.refused[namespace] = _named(denied)
                    continue
                for name in LIST:
                    await client.delete(CONFIGMAPS, namespace, name)
            except ApiError as error:
                await _note(client, namespace, error, left)
        # Before another release may take the Lease.
        statuses = UnservedStatuses(client, release, lambda: datetime.now(UTC))
        reached = [namespace for namespace in namespaces if left.has(namespace)]
        if reached or not namespaces:  # an empty list stands for all
            await statuses.write(reached, spare=spare)
        left.unwritten = statuses.unwritten
        for namespace in filter(left.has, leaves):
            try:
                if await _lease(client, release, namespace) is not None:
                    await client.delete(LEASES, namespace, LEASE_NAME)
            except ApiError as error:
                await _note(client, namespace, error, left)
        return left
    finally:
        await client.close()


async def _found(client: KubeClient, namespaces: Sequence[str], release: str, left: Left) -> Mapping[str, int]:
    """Return the number of CronJobs in each namespace that has something of the operator's.

    Those that cannot be looked into are recorded in `left`.
    """
    found: Counter[str] = Counter()
    if not namespaces:
        async for item in client.list_items(CRONJOBS, None, selector=SELECTOR):
            found[item["metadata"]["namespace"]] += 1
        # One whose UserSchedules are gone, or that names pools only, has no CronJob.
        found.update(dict.fromkeys(await _leases(client, namespaces, release), 0))
        async for item in client.list_items(CONFIGMAPS, None, fields=f"metadata.name={INDEX}"):
            found.update({item["metadata"]["namespace"]: 0})
        return found
    for namespace in namespaces:
        try:
            found[namespace] = len([item async for item in client.list_items(CRONJOBS, namespace, selector=SELECTOR)])
        except ApiError as error:
            await _note(client, namespace, error, left)
    return found


async def _delete_cronjobs(client: KubeClient, namespace: str) -> dict[str, ApiError]:
    """Delete the operator's CronJobs in a namespace; return those whose deletion an admission denies, and why.

    Raises:
        ApiError: for any other refusal.
    """
    try:
        await client.delete_all(CRONJOBS, namespace, selector=SELECTOR)
    except ApiError as error:
        if not error.denied:
            raise
    else:
        return {}
    # The first denial ended that request, and it names no CronJob.
    denied: dict[str, ApiError] = {}

    async def delete(name: str) -> None:
        try:
            # The hook's account may not delete single objects.
            await client.delete_all(CRONJOBS, namespace, selector=SELECTOR, fields=f"metadata.name={name}")
        except ApiError as error:
            if not error.denied:
                raise
            denied[name] = error

    names = [item["metadata"]["name"] async for item in client.list_items(CRONJOBS, namespace, selector=SELECTOR)]
    await for_each(names, delete, at_once=_AT_ONCE)
    return denied


def _named(denied: Mapping[str, ApiError]) -> str:
    """Return which CronJobs stay, and why the first of them does."""
    first, *others = sorted(denied)[:_NAMED]
    more = f" and {len(denied) - _NAMED} more" if len(denied) > _NAMED else ""
    return f"CronJobs {', '.join([first, *others])}{more}: {denied[first]}"


async def _note(client: KubeClient, namespace: str, error: ApiError, left: Left) -> None:
    """Record why a namespace could not be left: it is gone, or it refuses something. Raises ApiError."""
    if error.status not in _PERHAPS_GONE and not error.refused:
        raise error
    of = left.gone if await client.is_gone(namespace) else left.refused
    of[namespace] = str(error)


async def _leases(client: KubeClient, namespaces: Sequence[str], release: str) -> dict[str, object]:
    """Return the Leases that the release holds, by namespace. One that cannot be read is never twice the same."""
    if not namespaces:
        leases = client.list_items(LEASES, None, fields=f"metadata.name={LEASE_NAME}")
        specs = {lease["metadata"]["namespace"]: lease.get("spec") or {} async for lease in leases}
        return {namespace: spec for namespace, spec in specs.items() if spec.get("holderIdentity") == release}

    async def read(namespace: str) -> object | None:
        try:
            return await _lease(client, release, namespace)
        except ApiError as error:
            if error.status not in _PERHAPS_GONE:
                raise
            return None if await client.is_gone(namespace) else object()

    specs = dict(zip(namespaces, await for_each(namespaces, read, at_once=_AT_ONCE), strict=True))
    return {namespace: spec for namespace, spec in specs.items() if spec is not None}


async def _lease(client: KubeClient, release: str, namespace: str) -> object | None:
    """Return the spec of the Lease of a namespace if the release holds it. Raises ApiError."""
    spec = ((await client.get(LEASES, namespace, LEASE_NAME)) or {}).get("spec") or {}
    return spec if spec.get("holderIdentity") == release else None
