"""What must happen before the operator goes: no CronJob of its may be left firing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from catchup_jobs import contract
from catchup_operator.cluster import ApiError, Cluster
from catchup_operator.naming import FIELD_MANAGER
from catchup_operator.objects import CRONJOBS, DEPLOYMENTS

_STOP_SECONDS: Final = 60
_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER},{contract.LABEL_USER_SCHEDULE}"


async def prepare(namespace: str, deployment: str, namespaces: Iterable[str]) -> int:
    """Scale the operator's Deployment to zero, wait until its pods are gone, delete its CronJobs.

    Returns:
        the number of CronJobs that were there.

    Raises:
        ApiError: the API server refuses, or the operator did not stop within 60 seconds.
    """
    cluster = await Cluster.connect()
    try:
        await _stop(cluster, namespace, deployment)
        deleted = 0
        for served in namespaces:
            async for page, _ in cluster.list_pages(CRONJOBS, served, selector=_SELECTOR):
                deleted += len(page)
            await cluster.delete_all(CRONJOBS, served, selector=_SELECTOR)
        return deleted
    finally:
        await cluster.close()


async def _stop(cluster: Cluster, namespace: str, deployment: str) -> None:
    if await cluster.get(DEPLOYMENTS, namespace, deployment) is None:
        return
    await cluster.merge(DEPLOYMENTS, namespace, deployment, {"spec": {"replicas": 0}})
    for _ in range(_STOP_SECONDS):
        found = await cluster.get(DEPLOYMENTS, namespace, deployment)
        if found is None or not found.get("status", {}).get("replicas"):
            return
        await asyncio.sleep(1)
    raise ApiError(0, f"Deployment {namespace}/{deployment} still has pods after {_STOP_SECONDS} s")
