"""What must happen before the operator goes: no CronJob of its may be left firing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from catchup_contract.api import LABEL_USER_SCHEDULE
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.config import find
from catchup_operator.kube.resources import CRONJOBS, DEPLOYMENTS
from catchup_operator.manifests.names import FIELD_MANAGER

_STOP_SECONDS: Final = 60
_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER},{LABEL_USER_SCHEDULE}"


class StillRunningError(Exception):
    """The operator would make the CronJobs again."""


async def prepare(namespace: str, deployment: str, namespaces: Sequence[str]) -> int:
    """Scale the operator's Deployment to zero, wait until its pods are gone, delete its CronJobs.

    Args:
        namespace, deployment: the Deployment.
        namespaces: where to delete CronJobs; none stands for all.

    Returns:
        the number of CronJobs that were there.

    Raises:
        ApiError: the API server refuses, or cannot be reached.
        StillRunningError: the operator did not stop within 60 seconds.
        NoClusterError: nothing says where the API server is.
    """
    cluster = Cluster(await find())
    try:
        await _stop(cluster, namespace, deployment)
        found: Counter[str] = Counter()
        scopes: Sequence[str | None] = namespaces or (None,)
        for served in scopes:
            async for page, _ in cluster.list_pages(CRONJOBS, served, selector=_SELECTOR):
                found.update(item["metadata"]["namespace"] for item in page)
        for each in found:
            await cluster.delete_all(CRONJOBS, each, selector=_SELECTOR)
        return found.total()
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
    raise StillRunningError(
        f"Deployment {namespace}/{deployment} still has pods after {_STOP_SECONDS} s; see why, then try again"
    )
