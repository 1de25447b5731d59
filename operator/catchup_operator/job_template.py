"""The job template: the installation's part of every job's pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# The references of a container's env and a pod's volumes: the field, the kind of the object, the key of its name.
_REFERENCES: Final = (
    ("secretKeyRef", "Secret", "name"),
    ("configMapKeyRef", "ConfigMap", "name"),
    ("secret", "Secret", "secretName"),
    ("configMap", "ConfigMap", "name"),
)


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """The installation's part of a job's pod.

    Attributes:
        image: the jobs' image reference.
        image_pull_policy: as in a container, or None for Kubernetes' default.
        env: container env entries (`EnvVar` objects): the jobs' settings and secret references.
        resources: the container's `ResourceRequirements`.
        security_context: the container's `SecurityContext`; empty for what the Pod Security Standards call restricted.
        pod: further fields of the pod's spec.
        limits: by the name of a kind, what replaces the deadline or the histories of its Jobs, e.g.
            `{"sync": {"activeDeadlineSeconds": 300}}`.
        priority_classes: a PriorityClass for each priority of a UserSchedule; the default is that of `pod`.
        volumes, volume_mounts: added to the pod's own `/tmp`.
        labels, annotations: added to the metadata of CronJobs, Jobs and pods.
        pod_labels, pod_annotations: added to the pods' metadata.
        digest_spread: the window in minutes over which digests are spread after their chosen time.
    """

    image: str
    image_pull_policy: str | None = None
    env: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    security_context: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
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
        if account := self.pod.get("serviceAccountName"):
            names.add(f"ServiceAccount {account}")
        return sorted(names)
