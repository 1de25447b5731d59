"""Stopping the operator for good before its CronJobs are deleted: it would make them again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import DEPLOYMENTS, PODS
from catchup_operator.state.namespace_lease import LEASE_SECONDS

_STOP_SECONDS: Final = 60
"""How long an uninstall waits at least for the operator's pod to end."""
# The pod's grace period is over by then: a Lease that changes later is renewed by an operator that goes on.
_GRACE_SECONDS: Final = 30
_LOOK_SECONDS: Final = 1.0
# There may be hundreds.
_LEASES_SECONDS: Final = 5.0
_ENDED: Final = {"Succeeded", "Failed"}

Leases = Callable[[], Awaitable[Mapping[str, object]]]
"""Returns the Leases that the release holds, by namespace."""


class StillRunningError(Exception):
    """The operator still runs and would recreate the CronJobs."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator of a release.

    Attributes:
        namespace, deployment: its Deployment.
        pods: the label selector of its pods; empty: that of the Deployment.
    """

    namespace: str
    deployment: str
    pods: str = ""


async def stop_operator(client: KubeClient, operator: Operator, leases: Leases) -> list[str]:
    """Delete the Deployment, and wait until its pods are gone or cannot write any more.

    A pod on a node that is dead or cut off stays until the node is back or removed. Its operator writes only while it
    renews its Leases. Once no Lease has changed for as long as one lasts, by this process's own clock, another release
    might write, and so may whoever calls this.

    Returns:
        What to say of pods that stay; empty where all are gone.

    Raises:
        ApiError: the API server refuses, or cannot be reached.
        StillRunningError: a pod has not ended, and its operator goes on.
    """
    # Not scaled to 0: the next apply of the chart, which wants one replica, would conflict with that. Not in the
    # foreground: the Deployment would be there as long as the pod, and go after an upgrade has applied it again.
    selector = operator.pods or _selector(await client.get(DEPLOYMENTS, operator.namespace, operator.deployment))
    await client.delete(DEPLOYMENTS, operator.namespace, operator.deployment)
    if not selector:
        return []
    started = changed = read = time.monotonic()
    seen = await leases()
    while True:
        pods = client.list_items(PODS, operator.namespace, selector=selector)
        stay = [pod async for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]
        if not stay:
            return []
        at = time.monotonic()
        if at - read >= _LEASES_SECONDS:
            read = at
            current = await leases()
            if current != seen:
                seen, changed = current, at
        if at - changed >= LEASE_SECONDS:
            return [_stays(pod) for pod in stay]
        if at - started >= _STOP_SECONDS and changed - started > _GRACE_SECONDS:
            raise StillRunningError(
                f"{'; '.join(map(_where, stay))}: the operator still runs after {at - started:.0f} s and renews its "
                "Leases, or they cannot be read; see why the pod does not end (kubectl describe pod), then try again"
            )
        await asyncio.sleep(_LOOK_SECONDS)


def _selector(deployment: Mapping[str, Any] | None) -> str:
    """Return the label selector of a Deployment's pods."""
    labels = ((deployment or {}).get("spec") or {}).get("selector", {}).get("matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _where(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    node = (pod.get("spec") or {}).get("nodeName") or "no node yet"
    return f"pod {metadata['namespace']}/{metadata['name']} on node {node}"


def _stays(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    return (
        f"{_where(pod)} has not ended, but has renewed no Lease for {LEASE_SECONDS} s and so writes nothing any more; "
        "bring the node back or remove it, or if it is off for good: kubectl delete pod --force "
        f"-n {metadata['namespace']} {metadata['name']}"
    )
