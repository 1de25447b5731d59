"""Preparation of an uninstall, or of leaving namespaces: no CronJob may go on firing without its operator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CONFIGMAPS, CRONJOBS, DEPLOYMENTS, LEASE_NAME, LEASES
from catchup_operator.manifests.list_configmaps import CONFIGMAPS as LIST
from catchup_operator.manifests.names import SELECTOR
from catchup_operator.ops.unserved_statuses import UnservedStatuses

_STOP_SECONDS: Final = 60
"""How long an uninstall waits for the operator's pod to end."""
# A Role goes with its namespace: without permissions there is nothing to leave, or nothing that could be done.
_GONE: Final = {403, 404}


class StillRunningError(Exception):
    """The operator still runs and would recreate the CronJobs."""


@dataclass(slots=True)
class Left:
    """What was done: the CronJobs that were deleted, the resources whose status does not say that nobody serves them,
    and why namespaces could not be looked into.
    """

    deleted: int = 0
    unwritten: int = 0
    unreachable: dict[str, str] = field(default_factory=dict)


async def prepare_uninstall(
    namespace: str, deployment: str, namespaces: Sequence[str], *, spare: Collection[str] = (), release: str = ""
) -> Left:
    """Delete the operator's Deployment, wait until its pods are gone, delete its CronJobs, its ConfigMaps and Leases.

    The statuses of what the release has served say so then.

    Args:
        namespace, deployment: the Deployment. An upgrade makes it again.
        namespaces: where to delete; none stands for all.
        spare: where not to.
        release: whose Leases to delete.

    Raises:
        ApiError: the API server refuses, or cannot be reached.
        StillRunningError: the operator did not stop within 60 seconds.
        NoClusterError: there is no usable client configuration.
    """
    client = KubeClient(await load_access())
    left = Left()
    try:
        await _stop(client, namespace, deployment)
        cronjobs = await _cronjobs(client, namespaces, left)
        leaves = [found for found in cronjobs if found not in spare]
        for found in leaves:
            await client.delete_all(CRONJOBS, found, selector=SELECTOR)
            for name in LIST:
                await client.delete(CONFIGMAPS, found, name)
            left.deleted += cronjobs[found]
        # Before another release may take the Lease.
        statuses = UnservedStatuses(client, release, lambda: datetime.now(UTC))
        reached = [found for found in namespaces if found not in left.unreachable]
        if reached or not namespaces:  # an empty list stands for all
            await statuses.write(reached, spare=spare)
        left.unwritten = statuses.unwritten
        for found in leaves:
            await _release(client, found, release)
        return left
    finally:
        await client.close()


async def _cronjobs(client: KubeClient, namespaces: Sequence[str], left: Left) -> Mapping[str, int]:
    """Return the number of CronJobs in each namespace; those that cannot be looked into are recorded in `left`."""
    found: Counter[str] = Counter()
    scopes: Sequence[str | None] = namespaces or (None,)
    for scope in scopes:
        try:
            async for item in client.list_items(CRONJOBS, scope, selector=SELECTOR):
                found[item["metadata"]["namespace"]] += 1
        except ApiError as error:
            if scope is None or error.status not in _GONE:
                raise
            left.unreachable[scope] = str(error)
        else:
            found.update({scope: 0} if scope else {})
    return found


async def _release(client: KubeClient, namespace: str, release: str) -> None:
    lease = await client.get(LEASES, namespace, LEASE_NAME)
    if lease is not None and (lease.get("spec") or {}).get("holderIdentity") == release:
        await client.delete(LEASES, namespace, LEASE_NAME)


async def _stop(client: KubeClient, namespace: str, deployment: str) -> None:
    # Not scaled to 0: the next apply of the chart, which wants one replica, would conflict with that.
    await client.delete(DEPLOYMENTS, namespace, deployment, after_dependents=True)
    for _ in range(_STOP_SECONDS):
        if await client.get(DEPLOYMENTS, namespace, deployment) is None:
            return
        await asyncio.sleep(1)
    raise StillRunningError(
        f"Deployment {namespace}/{deployment} still has pods after {_STOP_SECONDS} s; see why, then try again"
    )
