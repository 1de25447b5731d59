"""Preparation of an uninstall: no CronJob may go on firing after the operator is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from catchup_contract.api import LABEL_USER_SCHEDULE
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_client
from catchup_operator.kube.resources import CRONJOBS, DEPLOYMENTS
from catchup_operator.manifests.names import FIELD_MANAGER

_STOP_SECONDS: Final = 60
_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER},{LABEL_USER_SCHEDULE}"


class StillRunningError(Exception):
    """The operator still runs and would recreate the CronJobs."""


async def prepare_uninstall(namespace: str, deployment: str, namespaces: Sequence[str]) -> int:
    """Scale the operator's Deployment to zero, wait until its pods are gone, delete its CronJobs.

    Args:
        namespace, deployment: the Deployment.
        namespaces: where to delete CronJobs; none stands for all.

    Returns:
        the number of CronJobs that were deleted.

    Raises:
        ApiError: the API server refuses, or cannot be reached.
        StillRunningError: the operator did not stop within 60 seconds.
        NoClusterError: there is no usable client configuration.
    """
    client = KubeClient(await load_client())
    try:
        await _stop(client, namespace, deployment)
        cronjobs: Counter[str] = Counter()
        scopes: Sequence[str | None] = namespaces or (None,)
        for scope in scopes:
            async for item in client.list_items(CRONJOBS, scope, selector=_SELECTOR):
                cronjobs[item["metadata"]["namespace"]] += 1
        for served in cronjobs:
            await client.delete_all(CRONJOBS, served, selector=_SELECTOR)
        return cronjobs.total()
    finally:
        await client.close()


async def _stop(client: KubeClient, namespace: str, deployment: str) -> None:
    if await client.get(DEPLOYMENTS, namespace, deployment) is None:
        return
    await client.merge(DEPLOYMENTS, namespace, deployment, {"spec": {"replicas": 0}})
    for _ in range(_STOP_SECONDS):
        current = await client.get(DEPLOYMENTS, namespace, deployment)
        if current is None or not current.get("status", {}).get("replicas"):
            return
        await asyncio.sleep(1)
    raise StillRunningError(
        f"Deployment {namespace}/{deployment} still has pods after {_STOP_SECONDS} s; see why, then try again"
    )
