"""The pod of a job: one container, restricted by the Pod Security Standards, without a service account token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC, Kind, user_kinds
from catchup_operator.job_template import JobTemplate
from catchup_operator.schedule.user_schedule import UserSchedule

CONTAINER: Final = "job"
_TERMINATION_LOG: Final = "/dev/termination-log"
_GRACE_PERIOD_SECONDS: Final = 30
"""`terminationGracePeriodSeconds` of the jobs' pods."""
# Where the installation chooses nothing else: what https://kubernetes.io/docs/concepts/security/pod-security-standards/
# calls restricted.
_POD_SECURITY: Final[Mapping[str, Any]] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER_SECURITY: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# The variables that carry a field of a section of the spec.
_SPEC_FIELDS: Final = {
    Env.SYNC_EVERY: (SYNC, "every"),
    Env.DIGEST_DAY: (DIGEST, "day"),
    Env.DIGEST_TIME: (DIGEST, "time"),
}


def pod_spec(
    schedule: UserSchedule,
    template: JobTemplate,
    kind: Kind,
    *,
    cronjob: str,
    deadline: int,
    active_since: Mapping[Kind, str | None],
) -> dict[str, Any]:
    """Return the spec of the pods of a kind; `deadline` is the Job's, `active_since` as in `desired_cronjobs`."""
    own = _own_env(schedule, kind, cronjob, deadline, active_since)
    taken = {entry["name"] for entry in own}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image,
        "args": [kind.name, "--user", schedule.user_id],
        "env": [*own, *_last_of_each("name", *(entry for entry in template.env if entry["name"] not in taken))],
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": dict(template.security_context or _CONTAINER_SECURITY),
        "volumeMounts": _last_of_each(
            "mountPath",
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            *template.volume_mounts,
        ),
    }
    if template.image_pull_policy:
        container["imagePullPolicy"] = template.image_pull_policy
    if template.resources:
        container["resources"] = dict(template.resources)
    priority_class = template.priority_classes.get(schedule.priority)
    secrets = template.pod.get("imagePullSecrets")
    return {
        "securityContext": dict(_POD_SECURITY),
        **template.pod,
        **({"imagePullSecrets": _last_of_each("name", *secrets)} if secrets else {}),
        **({"priorityClassName": priority_class} if priority_class else {}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_PERIOD_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "volumes": _last_of_each("name", {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *template.volumes),
        "containers": [container],
    }


def _own_env(
    schedule: UserSchedule, kind: Kind, cronjob: str, deadline: int, active_since: Mapping[Kind, str | None]
) -> list[dict[str, Any]]:
    """Return the variables that no installation can replace: the run's identity and the user's schedule."""
    values = _schedule_values(schedule, kind, active_since)
    return [
        *({"name": name.value, "value": values[name]} for name in user_kinds()[kind].env if values[name] is not None),
        {"name": Env.CRONJOB_NAME.value, "value": cronjob},
        {"name": Env.JOB_NAME.value, "valueFrom": _field("metadata.labels['batch.kubernetes.io/job-name']")},
        {"name": Env.JOB_UID.value, "valueFrom": _field("metadata.labels['batch.kubernetes.io/controller-uid']")},
        {"name": Env.POD_UID.value, "valueFrom": _field("metadata.uid")},
        {"name": Env.DEADLINE_SECONDS.value, "value": str(deadline)},
        {"name": Env.TERMINATION_LOG.value, "value": _TERMINATION_LOG},
    ]


def _last_of_each(key: str, *entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the last of the entries of each key: the API server cannot apply a list that names one twice."""
    return [dict(entry) for entry in {entry.get(key): entry for entry in entries}.values()]


def _schedule_values(
    schedule: UserSchedule, kind: Kind, active_since: Mapping[Kind, str | None]
) -> dict[Env, str | None]:
    """Return the variables that carry the user's schedule; None where there is no value."""
    values: dict[Env, str | None] = {
        Env.TIME_ZONE: schedule.time_zone,
        Env.DIGEST_SINCE: active_since.get(DIGEST),
    }
    for name, (owner, field) in _SPEC_FIELDS.items():
        section = schedule.sections[owner]
        # A pod must know when its own kind is due; the sync stores what the user chose.
        timetable = section.effective if owner is kind else section.chosen
        values[name] = timetable.spec_fields[field]
    return values


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}
