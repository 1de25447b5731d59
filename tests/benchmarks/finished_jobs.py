"""Jobs that end as the Job controller ends them, one for each CronJob, without pods and without that controller."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.resources import JOBS

# The Job controller leaves such Jobs alone (https://kubernetes.io/docs/concepts/workloads/controllers/job/, managedBy).
_MANAGER: Final = "catchup.dev/benchmark"
_CONNECTIONS: Final = 20
_WEEK_MINUTES: Final = 7 * 24 * 60


async def run_each_once(cronjobs: list[dict[str, Any]]) -> None:
    """Create a Job for each CronJob and take it through the states of one whose pod starts and succeeds."""
    api = KubeClient(await load_access())
    gate = asyncio.Semaphore(_CONNECTIONS)

    async def one(cronjob: dict[str, Any]) -> None:
        async with gate:
            manifest = _job(cronjob)
            await api.create(JOBS, manifest)
            for status in _states(datetime.now(UTC)):
                metadata = manifest["metadata"]
                patch = {"status": status}
                await api.merge(JOBS, metadata["namespace"], metadata["name"], patch, subresource="/status")

    async with asyncio.TaskGroup() as tasks:
        for cronjob in cronjobs:
            tasks.create_task(one(cronjob))
    await api.close()


def _job(cronjob: dict[str, Any]) -> dict[str, Any]:
    metadata, template = cronjob["metadata"], cronjob["spec"]["jobTemplate"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            # A slot that the CronJob controller, which runs meanwhile, does not use.
            "name": f"{metadata['name']}-{int(time.time() // 60) - _WEEK_MINUTES}",
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {**template["spec"], "managedBy": _MANAGER},
    }


def _states(now: datetime) -> list[dict[str, Any]]:
    """The statuses after the pod was made, when it is ready, when it has ended, and when the Job has."""
    at = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    pod = ["6f1c2a52-52a7-4b4c-a53d-8dd5ed3f3a11"]

    def condition(kind: str) -> dict[str, str]:
        reason = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
        return {"type": kind, "status": "True", "lastProbeTime": at, "lastTransitionTime": at, **reason}

    return [
        {"startTime": at, "active": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}},
        {"ready": 1},
        {
            "active": None,
            "ready": 0,
            "uncountedTerminatedPods": {"succeeded": pod},
            "conditions": [condition("SuccessCriteriaMet")],
        },
        {
            "succeeded": 1,
            "completionTime": at,
            "uncountedTerminatedPods": {"succeeded": None},
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        },
    ]
