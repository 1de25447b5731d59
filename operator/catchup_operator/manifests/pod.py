"""The pod of a job: one container, restricted by the Pod Security Standards, without a service account token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from catchup_contract.env import Env
from catchup_operator.job_template import JobTemplate

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


def pod_spec(
    template: JobTemplate,
    *,
    args: Sequence[str],
    env: Mapping[Env, str],
    cronjob: str,
    deadline: int,
    priority: str,
    volumes: Sequence[Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the spec of the pods of a CronJob.

    Args:
        template: the installation's part.
        args: the arguments of `catchup-jobs`.
        env: what no installation can replace, beside the identity of the run.
        cronjob: the CronJob's name.
        deadline: the Job's, in seconds.
        priority: a key of the template's priority classes.
        volumes, mounts: what no installation can replace, beside `/tmp`.
    """
    own = _own_env(env, cronjob, deadline)
    taken = {entry["name"] for entry in own}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image,
        "args": [*args],
        "env": [*own, *_last_of_each("name", *(entry for entry in template.env if entry["name"] not in taken))],
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": dict(template.security_context or _CONTAINER_SECURITY),
        "volumeMounts": _last_of_each(
            "mountPath",
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            *template.volume_mounts,
            *mounts,
        ),
    }
    if template.image_pull_policy:
        container["imagePullPolicy"] = template.image_pull_policy
    if template.resources:
        container["resources"] = dict(template.resources)
    priority_class = template.priority_classes.get(priority)
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
        "volumes": _last_of_each(
            "name", {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *template.volumes, *volumes
        ),
        "containers": [container],
    }


def _own_env(env: Mapping[Env, str], cronjob: str, deadline: int) -> list[dict[str, Any]]:
    """Return the variables that no installation can replace: what is to be done, and the run's identity."""
    return [
        *({"name": name.value, "value": value} for name, value in env.items()),
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


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}
