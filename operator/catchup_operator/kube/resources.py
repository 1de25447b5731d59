"""The API resources: the path of each, and the fields that the operator reads of it.

A decoder skips every field that `objects.py` does not declare: managed fields are most of a CronJob's metadata, and the
pod template is most of a Job.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL
from catchup_contract.pools import POOL_PLURAL
from catchup_operator.kube import objects

SCHEDULES: Final = PLURAL
POOLS: Final = POOL_PLURAL
EVENTS: Final = "events"
CRONJOBS: Final = "cronjobs"
JOBS: Final = "jobs"
PODS: Final = "pods"
CONFIGMAPS: Final = "configmaps"
DEPLOYMENTS: Final = "deployments"
LEASES: Final = "leases"
NAMESPACES: Final = "namespaces"
REVIEWS: Final = "selfsubjectaccessreviews"
TOKEN_REVIEWS: Final = "tokenreviews"  # noqa: S105 - a resource
ACCESS_REVIEWS: Final = "subjectaccessreviews"

LEASE_NAME: Final = "catchup-operator"
"""The name of the Lease in each served namespace; only the operator that holds it writes there."""

_GROUPS: Final = {
    SCHEDULES: (API_GROUP, API_VERSION),
    POOLS: (API_GROUP, API_VERSION),
    CRONJOBS: ("batch", "v1"),
    JOBS: ("batch", "v1"),
    PODS: ("", "v1"),
    CONFIGMAPS: ("", "v1"),
    EVENTS: ("", "v1"),
    NAMESPACES: ("", "v1"),
    DEPLOYMENTS: ("apps", "v1"),
    LEASES: ("coordination.k8s.io", "v1"),
    REVIEWS: ("authorization.k8s.io", "v1"),
    TOKEN_REVIEWS: ("authentication.k8s.io", "v1"),
    ACCESS_REVIEWS: ("authorization.k8s.io", "v1"),
}
# Requested as PartialObjectMetadata (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
_METADATA_ONLY: Final = {CRONJOBS}


# By HTTP method: the verb for a collection, and for an object.
_VERBS: Final = {
    "GET": ("list", "get"),
    "POST": ("create", "create"),
    "PATCH": ("patch", "patch"),
    "DELETE": ("deletecollection", "delete"),
}

_SHAPES: Final[dict[str, Any]] = {
    CRONJOBS: objects.Object,
    JOBS: objects.Job,
    PODS: objects.Pod,
    CONFIGMAPS: objects.ConfigMap,
    EVENTS: objects.KubeEvent,
    LEASES: objects.Lease,
    REVIEWS: objects.Review,
}

T = TypeVar("T")


class ListMeta(msgspec.Struct):
    """The metadata of a page of a list."""

    resource_version: str = msgspec.field(name="resourceVersion")
    next_page: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct, Generic[T]):
    """A page of a list."""

    metadata: ListMeta
    items: list[T] | None = None  # null in an empty PartialObjectMetadataList


class WatchEvent(msgspec.Struct):
    """A line of a watch. `object` is a Status where `type` is ERROR."""

    type: str
    object: msgspec.Raw


class GroupVersion(msgspec.Struct):
    """A version of an API group, e.g. `batch/v1`."""

    name: str = msgspec.field(name="groupVersion")


class Group(msgspec.Struct):
    """An API group."""

    versions: list[GroupVersion]


class Groups(msgspec.Struct):
    """All API groups (discovery)."""

    groups: list[Group] | None = None


class ApiResource(msgspec.Struct):
    """A resource of an API group, by its plural."""

    name: str


class ApiResources(msgspec.Struct):
    """The resources of a version of an API group (discovery)."""

    resources: list[ApiResource] | None = None


class StatusCause(msgspec.Struct):
    """One of several causes of an error."""

    field: str = ""
    reason: str = ""


class StatusDetails(msgspec.Struct):
    """What an error is about."""

    causes: list[StatusCause] | None = None


class Status(msgspec.Struct):
    """The API server's description of an error."""

    code: int = 0
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None


EVENT: Final = msgspec.json.Decoder(WatchEvent)
STATUS: Final = msgspec.json.Decoder(Status)
GROUPS: Final = msgspec.json.Decoder(Groups)
API_RESOURCES: Final = msgspec.json.Decoder(ApiResources)
METADATA: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(objects.Object)
MANAGED_PAGE: Final = msgspec.json.Decoder(Page[objects.ManagedObject])
ANY: Final = msgspec.json.Decoder(dict[str, Any])
_OBJECTS: Final = {resource: msgspec.json.Decoder(shape) for resource, shape in _SHAPES.items()}
_REPLIES: Final[dict[str, msgspec.json.Decoder[Any]]] = {CRONJOBS: msgspec.json.Decoder(objects.ManagedObject)}
_APPLIED: Final[dict[str, msgspec.json.Decoder[Any]]] = {CRONJOBS: msgspec.json.Decoder(objects.AppliedCronJob)}
_PAGES: Final = {
    resource: msgspec.json.Decoder(Page[_SHAPES.get(resource, dict[str, Any])])  # type: ignore[misc]
    for resource in (SCHEDULES, POOLS, *_SHAPES)
}


def object_decoder(resource: str) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return the decoder of one object of a watch."""
    return _OBJECTS.get(resource, ANY)


def reply_decoder(resource: str) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return the decoder of the reply to a request for one object."""
    return _REPLIES.get(resource) or object_decoder(resource)


def applied_decoder(resource: str) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return the decoder of the answer to an apply, which is the whole object."""
    return _APPLIED.get(resource) or object_decoder(resource)


def page_decoder(resource: str) -> msgspec.json.Decoder[Page[dict[str, Any]]]:
    """Return the decoder of a page of a list of a resource."""
    return _PAGES[resource]


def missing_definition(resource: str) -> str:
    """Return what to say of a resource of ours that the API server does not serve: a list of one is never 404."""
    return f"no {resource}; install their definition: kubectl apply -f crds/, or the chart with crds.enabled=true"


def api_path(resource: str) -> str:
    """Return the path of the API group and version of a resource."""
    group, version = _GROUPS[resource]
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def path(resource: str, namespace: str | None, name: str | None = None) -> str:
    """Return the path of an object, or without a name that of the collection.

    `namespace` is None for all namespaces and for cluster-scoped resources.
    """
    scope = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{api_path(resource)}{scope}/{resource}" + (f"/{quote(name)}" if name else "")


def group_of(resource: str) -> str:
    """Return the API group of a resource; empty for the core group."""
    return _GROUPS[resource][0]


def verb_and_resource(method: str, path: str, *, watch: bool) -> tuple[str, str]:
    """Return what RBAC calls a request, e.g. `("patch", "userschedules/status")`; `("get", "")` for discovery.

    https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
    """
    # /api/v1/... or /apis/GROUP/VERSION/..., then perhaps namespaces/NAMESPACE, then RESOURCE/NAME/SUBRESOURCE.
    parts = path.strip("/").split("/")
    parts = parts[2 if parts[0] == "api" else 3 :]
    if len(parts) > 2 and parts[0] == "namespaces":  # noqa: PLR2004
        parts = parts[2:]
    named = len(parts) > 1
    verb = _VERBS.get(method, (method.lower(),) * 2)[named]
    if watch and not named:
        verb = "watch"
    return verb if parts else "get", "/".join((*parts[:1], *parts[2:3]))


def namespace_and_resource(path: str) -> tuple[str, str]:
    """Return the namespace and the plural that a path names; both empty outside a namespace."""
    parts = path.partition("/namespaces/")[2].split("/")
    return (parts[0], parts[1]) if len(parts) > 1 else ("", "")


def media_type(resource: str, *, listed: bool = False, trimmed: bool = False) -> str:
    """Return the media type to request (the `Accept` header); one that is `trimmed` has the metadata only."""
    if resource not in _METADATA_ONLY and not trimmed:
        return "application/json"
    return f"application/json;as=PartialObjectMetadata{'List' if listed else ''};g=meta.k8s.io;v=v1"
