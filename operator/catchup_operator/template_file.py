"""The file of the job template, read and checked when the operator starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from catchup_contract.kinds import user_kinds
from catchup_operator.job_template import JobTemplate
from catchup_operator.kube.pod_types import key_errors, type_errors

_POD_FIELDS: Final = frozenset(
    {
        "affinity",
        "dnsConfig",
        "dnsPolicy",
        "hostAliases",
        "hostUsers",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "priorityClassName",
        "runtimeClassName",
        "schedulerName",
        "securityContext",
        "serviceAccountName",
        "tolerations",
        "topologySpreadConstraints",
    }
)

TYPES: Final = {
    "image": "str",
    "imagePullPolicy": "str",
    "env": "List[V1EnvVar]",
    "resources": "V1ResourceRequirements",
    "securityContext": "V1SecurityContext",
    "pod": "V1PodSpec",
    "priorityClasses": "Dict[str, str]",
    "volumes": "List[V1Volume]",
    "volumeMounts": "List[V1VolumeMount]",
    "labels": "Dict[str, str]",
    "annotations": "Dict[str, str]",
    "podLabels": "Dict[str, str]",
    "podAnnotations": "Dict[str, str]",
    "kinds": "Dict[str, Dict[str, int]]",
}
"""The type of each field, by the names of the Kubernetes client (`kube/pod_types.json`)."""
# A pod takes some seconds of its deadline to start and to close its run.
_LIMITS: Final = {"activeDeadlineSeconds": 60, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}
"""The least values of the fields of a kind in the job template."""
_KEYS: Final = {"env": ("name",), "volumes": ("name",), "volumeMounts": ("name", "mountPath")}


class InvalidTemplateError(ValueError):
    """The job template file is missing or malformed. The message names the file, the fault and what is allowed."""


def load_template(path: Path, *, digest_spread: int = 0) -> JobTemplate:
    """Read the YAML file that the chart renders; `digest_spread` is an option of the operator.

    Raises:
        InvalidTemplateError: the file is missing, is not YAML, or has unknown or wrongly typed fields.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidTemplateError(f"cannot read the job template {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InvalidTemplateError(f"the job template {path} is not YAML: {error}") from None
    if not isinstance(document, dict) or not document.get("image"):
        raise InvalidTemplateError(f"the job template {path} must name an image")
    for name, value in document.items():
        if name not in TYPES:
            raise InvalidTemplateError(
                f"the job template {path} has an unknown field {name!r}; known: {', '.join(TYPES)}"
            )
        for problem in type_errors(value, TYPES[name], name):
            raise InvalidTemplateError(f"the job template {path}: {problem}")
    # Of variables, volumes, mounts and pull secrets that the pods of jobs get, the last one of each key wins.
    for name in ("pod", "resources"):
        for problem in key_errors(document.get(name, {}), TYPES[name], name):
            raise InvalidTemplateError(f"the job template {path}: {problem}")
    for name, keys in _KEYS.items():
        for index, entry in enumerate(document.get(name, ())):
            if missing := [key for key in keys if not entry.get(key)]:
                raise InvalidTemplateError(f"the job template {path}: {name}[{index}] must have a {missing[0]}")
    unknown = sorted(set(document.get("pod", {})) - _POD_FIELDS)
    if unknown:
        raise InvalidTemplateError(
            f"the job template {path}: pod may hold {', '.join(sorted(_POD_FIELDS))}, not {', '.join(unknown)}"
        )
    _check_limits(path, document.get("kinds", {}))
    return JobTemplate(
        image=document["image"],
        image_pull_policy=document.get("imagePullPolicy"),
        env=tuple(document.get("env", ())),
        resources=document.get("resources", {}),
        security_context=document.get("securityContext", {}),
        pod=document.get("pod", {}),
        limits=document.get("kinds", {}),
        priority_classes=document.get("priorityClasses", {}),
        volumes=tuple(document.get("volumes", ())),
        volume_mounts=tuple(document.get("volumeMounts", ())),
        labels=document.get("labels", {}),
        annotations=document.get("annotations", {}),
        pod_labels=document.get("podLabels", {}),
        pod_annotations=document.get("podAnnotations", {}),
        digest_spread=digest_spread,
    )


def _check_limits(path: Path, kinds: Mapping[str, Mapping[str, int]]) -> None:
    known = [kind.name for kind in user_kinds()]
    for name, fields in kinds.items():
        if name not in known:
            raise InvalidTemplateError(f"the job template {path}: kinds may hold {', '.join(known)}, not {name}")
        for field, value in fields.items():
            if field not in _LIMITS:
                raise InvalidTemplateError(
                    f"the job template {path}: kinds.{name} may hold {', '.join(_LIMITS)}, not {field}"
                )
            if value < _LIMITS[field]:
                raise InvalidTemplateError(
                    f"the job template {path}: kinds.{name}.{field} must be at least {_LIMITS[field]}"
                )
