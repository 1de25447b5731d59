"""The kinds of objects: where the API server has each, and what the operator reads of it.

What is not named here is skipped in a reply, never decoded: managed fields are most of a CronJob's metadata, and the
pod template is most of a Job.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL

SCHEDULES: Final = PLURAL
EVENTS: Final = "events"
CRONJOBS: Final = "cronjobs"
JOBS: Final = "jobs"
PODS: Final = "pods"
DEPLOYMENTS: Final = "deployments"
REVIEWS: Final = "selfsubjectaccessreviews"

_GROUPS: Final = {
    SCHEDULES: (API_GROUP, API_VERSION),
    CRONJOBS: ("batch", "v1"),
    JOBS: ("batch", "v1"),
    PODS: ("", "v1"),
    EVENTS: ("", "v1"),
    DEPLOYMENTS: ("apps", "v1"),
    REVIEWS: ("authorization.k8s.io", "v1"),
}
# Of these the server is asked for no more (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
_METADATA_ONLY: Final = {CRONJOBS}


class OwnerReference(TypedDict, total=False):
    """Who owns an object."""

    kind: str
    name: str
    uid: str
    controller: bool


class ObjectMeta(TypedDict, total=False):
    """Of any object; a bookmark has its resource version alone."""

    name: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    labels: dict[str, str]
    ownerReferences: list[OwnerReference]


class Object(TypedDict):
    """Any object, of which the metadata suffices."""

    metadata: ObjectMeta


class JobCondition(TypedDict, total=False):
    """How a Job ended."""

    type: str
    status: str
    reason: str
    lastTransitionTime: str


class JobStatus(TypedDict, total=False):
    """A Job's status."""

    conditions: list[JobCondition]


class Job(TypedDict, total=False):
    """A Job."""

    metadata: ObjectMeta
    status: JobStatus


class Terminated(TypedDict, total=False):
    """How a container ended."""

    exitCode: int
    message: str
    finishedAt: str


class ContainerState(TypedDict, total=False):
    """A container's state, as far as it has ended."""

    terminated: Terminated


class ContainerStatus(TypedDict, total=False):
    """A container's status."""

    state: ContainerState


class PodStatus(TypedDict, total=False):
    """A pod's status."""

    containerStatuses: list[ContainerStatus]


class Pod(TypedDict, total=False):
    """A pod."""

    status: PodStatus


class ReviewStatus(TypedDict, total=False):
    """The answer to whether we may do something."""

    allowed: bool


class Review(TypedDict, total=False):
    """A question whether we may do something."""

    status: ReviewStatus


# UserSchedules are read whole: their shape is for resource.py and readable.py to judge.
_SHAPES: Final[dict[str, Any]] = {CRONJOBS: Object, JOBS: Job, PODS: Pod, REVIEWS: Review}

T = TypeVar("T")


class ListMeta(msgspec.Struct):
    """Of a page of a list."""

    resource_version: str = msgspec.field(name="resourceVersion")
    next_page: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct, Generic[T]):
    """A page of a list."""

    metadata: ListMeta
    items: list[T] | None = None  # of metadata alone, an empty list is null


class WatchEvent(msgspec.Struct):
    """A line of a watch; what its object is depends on its type."""

    type: str
    object: msgspec.Raw


class GroupVersion(msgspec.Struct):
    """A version of an API group, e.g. `batch/v1`."""

    name: str = msgspec.field(name="groupVersion")


class Group(msgspec.Struct):
    """An API group."""

    versions: list[GroupVersion]


class Groups(msgspec.Struct):
    """All API groups."""

    groups: list[Group] | None = None


class Kind(msgspec.Struct):
    """A kind of resource, by its plural."""

    name: str


class Kinds(msgspec.Struct):
    """The kinds of resources of a version of an API group."""

    resources: list[Kind] | None = None


class Status(msgspec.Struct):
    """Why a request failed."""

    code: int = 0
    message: str = ""


EVENT: Final = msgspec.json.Decoder(WatchEvent)
STATUS: Final = msgspec.json.Decoder(Status)
GROUPS: Final = msgspec.json.Decoder(Groups)
KINDS: Final = msgspec.json.Decoder(Kinds)
METADATA: Final = msgspec.json.Decoder(Object)
ANY: Final = msgspec.json.Decoder(dict[str, Any])
_OBJECTS: Final = {resource: msgspec.json.Decoder(shape) for resource, shape in _SHAPES.items()}
_PAGES: Final = {
    resource: msgspec.json.Decoder(Page[_SHAPES.get(resource, dict[str, Any])])  # type: ignore[misc]
    for resource in (SCHEDULES, *_SHAPES)
}


def object_of(resource: str) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return what decodes one object of a resource; only what is read of it."""
    return _OBJECTS.get(resource, ANY)


def page_of(resource: str) -> msgspec.json.Decoder[Page[dict[str, Any]]]:
    """Return what decodes a page of a list of a resource; only what is read of its objects."""
    return _PAGES[resource]


def api(resource: str) -> str:
    """Return the path of the API group and version of a resource."""
    group, version = _GROUPS[resource]
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def path(resource: str, namespace: str | None, name: str | None = None) -> str:
    """Return the path of an object, or of all of them in a namespace (None: in all, or of no namespace)."""
    scope = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{api(resource)}{scope}/{resource}" + (f"/{quote(name)}" if name else "")


def group_of(resource: str) -> str:
    """Return the API group of a resource; empty for the core group."""
    return _GROUPS[resource][0]


def media_type(resource: str, *, listed: bool = False) -> str:
    """Return the form to ask for (an `Accept` header)."""
    if resource not in _METADATA_ONLY:
        return "application/json"
    return f"application/json;as=PartialObjectMetadata{'List' if listed else ''};g=meta.k8s.io;v=v1"
