"""Jobs that end as the Job controller ends them, one for each CronJob, without that controller."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from catchup_contract.api import LABEL_JOB
from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Summary
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.resources import JOBS, PODS
from catchup_operator.manifests.pod import CONTAINER

# The Job controller leaves such Jobs alone (https://kubernetes.io/docs/concepts/workloads/controllers/job/, managedBy).
_MANAGER: Final = "catchup.dev/benchmark"
_CONNECTIONS: Final = 20
_WEEK_MINUTES: Final = 7 * 24 * 60
_FOLLOW_UP_MINUTES: Final = 60


async def run_each_once(cronjobs: list[dict[str, Any]], *, later: int = 0, message: str | None = None) -> None:
    """Create a Job for each CronJob and take it through the states of one whose pod starts and succeeds.

    The slot is so many minutes `later` than that of other Jobs. With a termination message the Job leaves a pod.
    """
    api = KubeClient(await load_access())
    gate = asyncio.Semaphore(_CONNECTIONS)

    async def one(cronjob: dict[str, Any]) -> None:
        async with gate:
            manifest = _job(cronjob, later)
            await api.create(JOBS, manifest)
            if message is not None:
                await _leave_pod(api, manifest["metadata"], message)
            for status in _states(datetime.now(UTC)):
                metadata = manifest["metadata"]
                patch = {"status": status}
                await api.merge(JOBS, metadata["namespace"], metadata["name"], patch, subresource="/status")

    async with asyncio.TaskGroup() as tasks:
        for cronjob in cronjobs:
            tasks.create_task(one(cronjob))
    await api.close()


async def follow_up(cronjobs: list[dict[str, Any]]) -> None:
    """Let each digest fire again an hour later with nothing to do, and then each sync run, so that statuses say so."""
    now = datetime.now(UTC)
    message = Summary(DIGEST, Outcome.SKIPPED, now, now, reason=Reason.ALREADY_DONE).to_json()
    of_kind: dict[str, list[dict[str, Any]]] = {DIGEST.name: [], SYNC.name: []}
    for cronjob in cronjobs:
        of_kind[cronjob["metadata"]["labels"][LABEL_JOB]].append(cronjob)
    await run_each_once(of_kind[DIGEST.name], later=_FOLLOW_UP_MINUTES, message=message)
    await run_each_once(of_kind[SYNC.name], later=_FOLLOW_UP_MINUTES)


async def _leave_pod(api: KubeClient, job: dict[str, Any], message: str) -> None:
    """Create the pod of a Job that has ended with a termination message."""
    (found,) = [item async for item in api.list_items(JOBS, job["namespace"], fields=f"metadata.name={job['name']}")]
    container = {"name": CONTAINER, "image": "x"}
    metadata = {
        "name": job["name"],
        "namespace": job["namespace"],
        "labels": {"batch.kubernetes.io/controller-uid": found["metadata"]["uid"]},
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    await api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ended = {"exitCode": 0, "message": message, "reason": "Completed", "finishedAt": f"{datetime.now(UTC):%FT%TZ}"}
    of_container = {**container, "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    status = {"phase": "Succeeded", "containerStatuses": [of_container]}
    await api.merge(PODS, job["namespace"], job["name"], {"status": status}, subresource="/status")


def _job(cronjob: dict[str, Any], later: int) -> dict[str, Any]:
    metadata, template = cronjob["metadata"], cronjob["spec"]["jobTemplate"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            # A slot that the CronJob controller, which runs meanwhile, does not use.
            "name": f"{metadata['name']}-{int(time.time() // 60) - _WEEK_MINUTES + later}",
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
