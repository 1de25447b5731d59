"""The CronJobs of a UserSchedule. The same input always gives the same manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.api import API_GROUP, API_VERSION, KIND
from catchup_contract.kinds import BACKOFF_LIMIT, Kind
from catchup_contract.outcomes import ExitCode
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.names import cronjob_name, labels
from catchup_operator.manifests.pod import CONTAINER, pod_spec
from catchup_operator.schedule.cron import TIME_ZONE
from catchup_operator.schedule.user_schedule import UserSchedule

# The first matching rule applies. A pod that the cluster evicted does not count as a failure, a permanent exit code
# ends the Job at once, and any other failure counts against the backoff limit.
_POD_FAILURE_POLICY: Final = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": CONTAINER,
                "operator": "In",
                "values": [int(ExitCode.PERMANENT), int(ExitCode.MISCONFIGURED)],
            },
        },
    ]
}


def desired_cronjobs(
    schedule: UserSchedule, template: JobTemplate, active_since: Mapping[Kind, str | None]
) -> dict[Kind, dict[str, Any]]:
    """Return the manifest of the CronJob of each kind, complete for a server-side apply.

    A kind that is disabled keeps its CronJob, suspended: enabling it again takes the same path as any other edit.

    Args:
        schedule: the UserSchedule.
        template: the installation's part of the pods.
        active_since: when each kind with due dates was created or resumed (RFC 3339, UTC). The CronJob controller
            starts a slot of the last two hours when a CronJob is resumed; the pod must know that it is not due.
    """
    return {kind: _cronjob(schedule, template, kind, active_since) for kind in schedule.sections}


def _cronjob(
    schedule: UserSchedule, template: JobTemplate, kind: Kind, active_since: Mapping[Kind, str | None]
) -> dict[str, Any]:
    section = schedule.sections[kind]
    name = cronjob_name(schedule, kind)
    limits = {
        "activeDeadlineSeconds": kind.deadlines.active,
        "successfulJobsHistoryLimit": kind.history.successful,
        "failedJobsHistoryLimit": kind.history.failed,
        **template.limits.get(kind.name, {}),
    }
    deadline = limits["activeDeadlineSeconds"]
    own = labels(schedule, kind)
    common = _metadata({**template.labels, **own}, template.annotations)
    of_pods = _metadata(
        {**template.labels, **template.pod_labels, **own}, {**template.annotations, **template.pod_annotations}
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": schedule.namespace,
            **common,
            "ownerReferences": [_owner_reference(schedule)],
        },
        "spec": {
            "schedule": section.effective.cron_schedule(),
            "timeZone": TIME_ZONE,
            "suspend": schedule.suspend or not section.enabled,
            # A Job on a dead node never ends; under Forbid it would block all others. The lock keeps runs apart.
            "concurrencyPolicy": "Allow",
            "startingDeadlineSeconds": section.effective.starting_deadline(kind),
            "successfulJobsHistoryLimit": limits["successfulJobsHistoryLimit"],
            "failedJobsHistoryLimit": limits["failedJobsHistoryLimit"],
            "jobTemplate": {
                "metadata": common,
                "spec": {
                    "backoffLimit": BACKOFF_LIMIT,
                    "activeDeadlineSeconds": deadline,
                    "podFailurePolicy": _POD_FAILURE_POLICY,
                    "template": {
                        "metadata": of_pods,
                        "spec": pod_spec(
                            schedule, template, kind, cronjob=name, deadline=deadline, active_since=active_since
                        ),
                    },
                },
            },
        },
    }


def _metadata(labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    return {"labels": dict(labels), **({"annotations": dict(annotations)} if annotations else {})}


def _owner_reference(schedule: UserSchedule) -> dict[str, Any]:
    """Return the reference by which the garbage collector deletes a CronJob after its UserSchedule."""
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": KIND,
        "name": schedule.name,
        "uid": schedule.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
