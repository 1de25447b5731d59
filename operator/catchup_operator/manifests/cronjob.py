"""Schedule and template in, CronJob manifests out; pure, so that the same input always gives the same manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from catchup_contract.api import API_GROUP, API_VERSION, DEFAULT_TIME_ZONE, KIND, SYNC_INTERVALS_MINUTES
from catchup_contract.env import Env
from catchup_contract.kinds import BACKOFF_LIMIT, DEADLINES, Job
from catchup_contract.outcomes import ExitCode
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.names import cronjob_name, labels
from catchup_operator.schedule.cadence import Cadence
from catchup_operator.schedule.digest_times import DigestTimes
from catchup_operator.schedule.user_schedule import UserSchedule

CONTAINER: Final = "job"
_TERMINATION_LOG: Final = "/dev/termination-log"
_GRACE_PERIOD_SECONDS: Final = 30

# The first match wins: a pod that the cluster took away is not the job's failure, a permanent exit code ends
# the Job at once, and everything else counts against the backoff limit.
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


def desired(schedule: UserSchedule, template: JobTemplate, *, digest_since: str | None = None) -> list[dict[str, Any]]:
    """Return the CronJobs that the schedule wants, complete for a server-side apply.

    `digest_since` (RFC 3339, UTC) is when the digest was made or resumed: the CronJob controller starts a slot of the
    last two hours when a CronJob is resumed, and the job must know that nothing is caught up on.

    A job that is switched off keeps its CronJob, suspended: one path for every change.
    """
    return [_sync(schedule, template), _digest(schedule, template, digest_since)]


def sync_cadence(schedule: UserSchedule) -> Cadence:
    """Return when the user's sync runs."""
    return Cadence.spread(SYNC_INTERVALS_MINUTES[schedule.sync_every], schedule.user_id)


def digest_times(schedule: UserSchedule, spread: int) -> DigestTimes:
    """Return when the user's digest is due: at the time of the spec, or up to `spread` minutes later."""
    return DigestTimes(schedule.time_zone, schedule.digest_day, schedule.digest_time).spread(schedule.user_id, spread)


def _sync(schedule: UserSchedule, template: JobTemplate) -> dict[str, Any]:
    return _cronjob(
        schedule,
        template,
        Job.SYNC,
        schedule_spec={
            "schedule": sync_cadence(schedule).cron(),
            "timeZone": DEFAULT_TIME_ZONE,
            "suspend": schedule.suspend or not schedule.sync_enabled,
        },
        env=[{"name": Env.SYNC_EVERY.value, "value": schedule.sync_every}],
    )


def _digest(schedule: UserSchedule, template: JobTemplate, since: str | None) -> dict[str, Any]:
    due = digest_times(schedule, template.digest_spread)
    times = due.schedule()
    return _cronjob(
        replace(schedule, digest_time=due.time),
        template,
        Job.DIGEST,
        schedule_spec={
            "schedule": times.cron,
            "timeZone": times.time_zone,
            "suspend": schedule.suspend or not schedule.digest_enabled,
        },
        env=[{"name": Env.DIGEST_SINCE.value, "value": since}] if since else [],
    )


def _cronjob(
    schedule: UserSchedule,
    template: JobTemplate,
    job: Job,
    *,
    schedule_spec: Mapping[str, Any],
    env: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    name = cronjob_name(schedule, job)
    deadlines = DEADLINES[job]
    common = labels(schedule, job)
    pod_metadata: dict[str, Any] = {"labels": {**template.pod_labels, **common}}
    if template.pod_annotations:
        pod_metadata["annotations"] = dict(template.pod_annotations)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": schedule.namespace,
            "labels": common,
            "ownerReferences": [owner_reference(schedule)],
        },
        "spec": {
            **schedule_spec,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": deadlines.starting,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": common},
                "spec": {
                    "backoffLimit": BACKOFF_LIMIT,
                    "activeDeadlineSeconds": deadlines.active,
                    "podFailurePolicy": _POD_FAILURE_POLICY,
                    "template": {"metadata": pod_metadata, "spec": _pod(schedule, template, job, name, env)},
                },
            },
        },
    }


def owner_reference(schedule: UserSchedule) -> dict[str, Any]:
    """Return the reference by which the garbage collector deletes a CronJob after its UserSchedule."""
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": KIND,
        "name": schedule.name,
        "uid": schedule.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _pod(
    schedule: UserSchedule, template: JobTemplate, job: Job, cronjob: str, env: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image,
        "args": [job.value, "--user", schedule.user_id],
        "env": _env(schedule, template, job, cronjob, env),
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            *(dict(mount) for mount in template.volume_mounts),
        ],
    }
    if template.image_pull_policy:
        container["imagePullPolicy"] = template.image_pull_policy
    if template.resources:
        container["resources"] = dict(template.resources)
    priority_class = template.priority_classes.get(schedule.priority)
    return {
        **template.pod,
        **({"priorityClassName": priority_class} if priority_class else {}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_PERIOD_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            *(dict(volume) for volume in template.volumes),
        ],
        "containers": [container],
    }


def _env(
    schedule: UserSchedule, template: JobTemplate, job: Job, cronjob: str, further: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [
        {"name": Env.TIME_ZONE.value, "value": schedule.time_zone},
        {"name": Env.DIGEST_DAY.value, "value": schedule.digest_day},
        {"name": Env.DIGEST_TIME.value, "value": schedule.digest_time},
        {"name": Env.CRONJOB_NAME.value, "value": cronjob},
        {"name": Env.JOB_NAME.value, "valueFrom": _field("metadata.labels['batch.kubernetes.io/job-name']")},
        {
            "name": Env.JOB_UID.value,
            "valueFrom": _field("metadata.labels['batch.kubernetes.io/controller-uid']"),
        },
        {"name": Env.POD_UID.value, "valueFrom": _field("metadata.uid")},
        {"name": Env.DEADLINE_SECONDS.value, "value": str(DEADLINES[job].active)},
        {"name": Env.TERMINATION_LOG.value, "value": _TERMINATION_LOG},
        *map(dict, further),
    ]
    taken = {entry["name"] for entry in own}
    return own + [dict(entry) for entry in template.env if entry["name"] not in taken]


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}
