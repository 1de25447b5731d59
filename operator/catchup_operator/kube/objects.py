"""The fields that the operator reads of each kind of object, as the Kubernetes API names them.

Whatever is not declared here is skipped by the decoder of `resources.py`.
"""

from __future__ import annotations

from typing import Any, TypedDict


class OwnerReference(TypedDict, total=False):
    """An owner of an object."""

    kind: str
    name: str
    uid: str
    controller: bool


class ObjectMeta(TypedDict, total=False):
    """The metadata of any object; a bookmark has only `resourceVersion`."""

    name: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    creationTimestamp: str
    deletionTimestamp: str
    finalizers: list[str]
    labels: dict[str, str]
    ownerReferences: list[OwnerReference]


class ManagedMeta(ObjectMeta, total=False):
    """The metadata with the field managers, which are most of it: read where they are asked for only."""

    managedFields: list[dict[str, Any]]


class Object(TypedDict):
    """An object of which only the metadata is read."""

    metadata: ObjectMeta


class ManagedObject(TypedDict):
    """An object of which the metadata and the field managers are read."""

    metadata: ManagedMeta


class AppliedCronJob(TypedDict, total=False):
    """A CronJob in the answer to its apply: what it has become is compared with what was applied."""

    metadata: ManagedMeta
    spec: dict[str, Any]


class JobCondition(TypedDict, total=False):
    """A condition of a Job."""

    type: str
    status: str
    reason: str
    lastTransitionTime: str


class JobStatus(TypedDict, total=False):
    """A Job's status."""

    conditions: list[JobCondition]
    ready: int
    failed: int
    succeeded: int


class JobSpec(TypedDict, total=False):
    """A Job's spec."""

    completions: int
    parallelism: int
    suspend: bool


class Job(TypedDict, total=False):
    """A Job."""

    metadata: ObjectMeta
    spec: JobSpec
    status: JobStatus


class Terminated(TypedDict, total=False):
    """The state of a container that has terminated."""

    reason: str
    exitCode: int
    message: str
    finishedAt: str


class Waiting(TypedDict, total=False):
    """The state of a container that has not started."""

    reason: str
    message: str


class Running(TypedDict, total=False):
    """The state of a container that runs."""


class ContainerState(TypedDict, total=False):
    """A container's state."""

    waiting: Waiting
    running: Running
    terminated: Terminated


class ContainerStatus(TypedDict, total=False):
    """A container's status."""

    name: str
    state: ContainerState


class PodCondition(TypedDict, total=False):
    """A condition of a pod."""

    type: str
    status: str
    reason: str
    message: str
    lastTransitionTime: str | None


class PodStatus(TypedDict, total=False):
    """A pod's status."""

    phase: str
    startTime: str
    conditions: list[PodCondition]
    initContainerStatuses: list[ContainerStatus]
    containerStatuses: list[ContainerStatus]


class Resources(TypedDict, total=False):
    """The resources of a container."""

    limits: dict[str, str]


class Container(TypedDict, total=False):
    """A container."""

    name: str
    resources: Resources


class PodSpec(TypedDict, total=False):
    """A pod's spec."""

    nodeName: str
    runtimeClassName: str
    containers: list[Container]


class Pod(TypedDict, total=False):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec
    status: PodStatus


class ConfigMap(TypedDict, total=False):
    """A ConfigMap; the values of `binaryData` are base64."""

    metadata: ObjectMeta
    binaryData: dict[str, str]


class LeaseSpec(TypedDict, total=False):
    """The spec of a Lease."""

    holderIdentity: str | None
    leaseDurationSeconds: int | None
    renewTime: str | None
    leaseTransitions: int | None


class Lease(TypedDict, total=False):
    """A Lease."""

    metadata: ObjectMeta
    spec: LeaseSpec


class KubeEvent(TypedDict, total=False):
    """An Event."""

    reason: str
    message: str
    lastTimestamp: str | None
    eventTime: str | None


class ReviewStatus(TypedDict, total=False):
    """The result of a SelfSubjectAccessReview."""

    allowed: bool


class Review(TypedDict, total=False):
    """A SelfSubjectAccessReview."""

    status: ReviewStatus


# UserSchedules and SchedulePools are decoded whole: schedule/ and status/validation.py check their shape.
