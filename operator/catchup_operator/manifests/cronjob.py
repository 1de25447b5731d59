"""What the CronJobs of all owners have in common. The same input always gives the same manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catchup_contract.api import API_GROUP, API_VERSION, DEFAULT_PRIORITY
from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import ExitCode
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.names import Owner, labels
from catchup_operator.manifests.pod import CONTAINER, pod_spec
from catchup_operator.schedule.cron import TIME_ZONE
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule

# The variables that carry a field of a section of the spec.
SPEC_FIELDS: Final = {
    Env.SYNC_EVERY: (SYNC, "every"),
    Env.DIGEST_DAY: (DIGEST, "day"),
    Env.DIGEST_TIME: (DIGEST, "time"),
}


@dataclass(frozen=True, slots=True)
class Work:
    """What one CronJob has of its own; all else is the installation's.

    Attributes:
        name: of the CronJob.
        schedule: a cron expression in UTC.
        starting_deadline: `startingDeadlineSeconds`.
        limits: `activeDeadlineSeconds` and the two history limits.
        job: further fields of the Job's spec: how failed pods count, and how many pods there are.
        args: the arguments of `catchup-jobs`.
        env: what the pod is told, beside the identity of its run.
        priority: a key of the job template's priority classes.
        volumes, mounts: of the pod, beside the installation's.
    """

    kind: Kind
    name: str
    schedule: str
    suspend: bool
    starting_deadline: int
    limits: Mapping[str, int]
    job: Mapping[str, Any]
    args: Sequence[str]
    env: Mapping[Env, str]
    priority: str = DEFAULT_PRIORITY
    volumes: Sequence[Mapping[str, Any]] = ()
    mounts: Sequence[Mapping[str, Any]] = ()


def limits_of(kind: Kind, template: JobTemplate) -> dict[str, int]:
    """Return the deadline and the histories of a kind's Jobs, as the installation chooses them."""
    return {
        "activeDeadlineSeconds": kind.deadlines.active,
        "successfulJobsHistoryLimit": kind.history.successful,
        "failedJobsHistoryLimit": kind.history.failed,
        **template.limits.get(kind.name, {}),
    }


def pod_failure_policy(permanent: str) -> dict[str, Any]:
    """Return the policy by which a pod that the cluster evicted does not count as a failure.

    The first matching rule applies: a permanent exit code leads to the action `permanent`, any other failure counts
    against the backoff limit.
    """
    codes = [int(ExitCode.PERMANENT), int(ExitCode.MISCONFIGURED)]
    by_exit_code = {"containerName": CONTAINER, "operator": "In", "values": codes}
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": permanent, "onExitCodes": by_exit_code},
        ]
    }


def cronjob(owner: Owner, item: UserSchedule | SchedulePool, work: Work, template: JobTemplate) -> dict[str, Any]:
    """Return the manifest of a CronJob of the resource `item`, complete for a server-side apply."""
    own = labels(owner, item.name, work.kind)
    deadline = work.limits["activeDeadlineSeconds"]
    common = _metadata({**template.labels, **own}, template.annotations)
    of_pods = _metadata(
        {**template.labels, **template.pod_labels, **own}, {**template.annotations, **template.pod_annotations}
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": work.name,
            "namespace": item.namespace,
            **common,
            "ownerReferences": [_owner_reference(owner, item)],
        },
        "spec": {
            "schedule": work.schedule,
            "timeZone": TIME_ZONE,
            "suspend": work.suspend,
            # A Job on a dead node never ends; under Forbid it would block all others. The lock keeps runs apart.
            "concurrencyPolicy": "Allow",
            "startingDeadlineSeconds": work.starting_deadline,
            "successfulJobsHistoryLimit": work.limits["successfulJobsHistoryLimit"],
            "failedJobsHistoryLimit": work.limits["failedJobsHistoryLimit"],
            "jobTemplate": {
                "metadata": common,
                "spec": {
                    **work.job,
                    "activeDeadlineSeconds": deadline,
                    "template": {
                        "metadata": of_pods,
                        "spec": pod_spec(
                            template,
                            args=work.args,
                            env=work.env,
                            cronjob=work.name,
                            deadline=deadline,
                            priority=work.priority,
                            volumes=work.volumes,
                            mounts=work.mounts,
                        ),
                    },
                },
            },
        },
    }


def _metadata(labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    return {"labels": dict(labels), **({"annotations": dict(annotations)} if annotations else {})}


def _owner_reference(owner: Owner, item: UserSchedule | SchedulePool) -> dict[str, Any]:
    """Return the reference by which the garbage collector deletes a CronJob after its owner."""
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": owner.kind,
        "name": item.name,
        "uid": item.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
