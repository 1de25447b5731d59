"""The job template: the installation's part of every job's pod, read from a file when the operator starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

_POD_FIELDS: Final = frozenset(
    {
        "affinity",
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "runtimeClassName",
        "tolerations",
        "topologySpreadConstraints",
    }
)

# The references of a container's env and a pod's volumes: the field, the kind of the object, the key of its name.
_REFERENCES: Final = (
    ("secretKeyRef", "Secret", "name"),
    ("configMapKeyRef", "ConfigMap", "name"),
    ("secret", "Secret", "secretName"),
    ("configMap", "ConfigMap", "name"),
)


class InvalidTemplateError(ValueError):
    """The job template file is missing or malformed. The message names the file, the fault and what is allowed."""


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """The installation's part of a job's pod.

    Attributes:
        image: the jobs' image reference.
        image_pull_policy: as in a container, or None for Kubernetes' default.
        env: container env entries (`EnvVar` objects): the jobs' settings and secret references.
        resources: the container's `ResourceRequirements`.
        pod: further fields of the pod's spec.
        priority_classes: a PriorityClass for each priority of a UserSchedule; the default is that of `pod`.
        volumes, volume_mounts: added to the pod's own `/tmp`.
        pod_labels, pod_annotations: added to the pods' metadata.
        digest_spread: the window in minutes over which digests are spread after their chosen time.
    """

    image: str
    image_pull_policy: str | None = None
    env: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    digest_spread: int = 0

    @property
    def required_objects(self) -> list[str]:
        """The objects that a namespace must hold for a job's pod to start there, e.g. `Secret database`, sorted."""
        names = set()
        for source in [*(entry.get("valueFrom") or {} for entry in self.env), *self.volumes]:
            for field_name, kind, key in _REFERENCES:
                if field_name in source:
                    names.add(f"{kind} {source[field_name].get(key)}")
        return sorted(names)

    @classmethod
    def load(cls, path: Path, *, digest_spread: int = 0) -> JobTemplate:
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
        fields: dict[str, type] = {
            "image": str,
            "imagePullPolicy": str,
            "env": list,
            "resources": dict,
            "pod": dict,
            "priorityClasses": dict,
            "volumes": list,
            "volumeMounts": list,
            "podLabels": dict,
            "podAnnotations": dict,
        }
        if not isinstance(document, dict) or not document.get("image"):
            raise InvalidTemplateError(f"the job template {path} must name an image")
        for name, value in document.items():
            if name not in fields:
                raise InvalidTemplateError(
                    f"the job template {path} has an unknown field {name!r}; known: {', '.join(fields)}"
                )
            if not isinstance(value, fields[name]):
                raise InvalidTemplateError(f"the job template {path}: {name} must be a {fields[name].__name__}")
        for name in ("env", "volumes", "volumeMounts"):
            if not all(isinstance(entry, dict) and "name" in entry for entry in document.get(name, ())):
                raise InvalidTemplateError(f"the job template {path}: {name} must be a list of objects with a name")
        unknown = sorted(set(document.get("pod", {})) - _POD_FIELDS)
        if unknown:
            raise InvalidTemplateError(
                f"the job template {path}: pod may hold {', '.join(sorted(_POD_FIELDS))}, not {', '.join(unknown)}"
            )
        return cls(
            image=document["image"],
            image_pull_policy=document.get("imagePullPolicy"),
            env=tuple(document.get("env", ())),
            resources=document.get("resources", {}),
            pod=document.get("pod", {}),
            priority_classes=document.get("priorityClasses", {}),
            volumes=tuple(document.get("volumes", ())),
            volume_mounts=tuple(document.get("volumeMounts", ())),
            pod_labels=document.get("podLabels", {}),
            pod_annotations=document.get("podAnnotations", {}),
            digest_spread=digest_spread,
        )
