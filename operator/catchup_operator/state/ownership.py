"""Who owns the fields of a CronJob's spec, by the API server's record of field managers (`metadata.managedFields`).

A server-side apply removes a field only if its manager owned it and no other manager does. What somebody else added to
a spec therefore stays, whatever is applied. Once the record says that the operator applied the whole spec, its next
apply removes all that the manifest does not name, and the server sets defaults in their place. client-go's
`csaupgrade` does the same (https://pkg.go.dev/k8s.io/client-go/util/csaupgrade).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from catchup_contract.kinds import user_kinds
from catchup_operator.manifests.names import (
    FIELD_MANAGER,
    LABEL_BY_HAND,
    OWNERS,
    SCHEDULE_POOL,
    Owner,
    has_operator_labels,
    owner_of,
    pool_cronjob_name,
    schedule_cronjob_name,
)

_SPEC: Final = "f:spec"
_APPLY: Final = "Apply"
_FIELDS_SHOWN: Final = 3
_API_VERSION: Final = "batch/v1"


def other_managers(metadata: Mapping[str, Any]) -> list[str]:
    """Return the managers other than the operator that own fields of the spec, sorted.

    What a mutating admission adds to a request belongs to the manager that sent it, here the operator.
    """
    return sorted({entry.get("manager", "") for entry in _of_spec(metadata)} - {FIELD_MANAGER})


def other_owners(metadata: Mapping[str, Any], owner_uid: str) -> list[str]:
    """Return the owners beside that of this uid, e.g. `ConfigMap more`: with them a CronJob outlives its own."""
    return names_of_owners({"ownerReferences": [one for one in _owners(metadata) if one["uid"] != owner_uid]})


def names_of_owners(metadata: Mapping[str, Any]) -> list[str]:
    """Return the owners of an object, e.g. `ConfigMap more`."""
    return [f"{owner.get('kind')} {owner.get('name')}" for owner in _owners(metadata)]


def may_be_abandoned(metadata: Mapping[str, Any]) -> bool:
    """Whether a CronJob that bears our labels has owners which may outlive the resource that it was made for.

    The garbage collector takes an owner that is gone off where another one is there. One without any owner was left by
    a deletion that orphans, as somebody asked; that of a request by hand ends by itself.
    """
    labels, owners = metadata.get("labels") or {}, _owners(metadata)
    if not owners or LABEL_BY_HAND in labels or "deletionTimestamp" in metadata or not has_operator_labels(labels):
        return False
    return len(owners) > 1 or not is_labelled_for(labels, owners[0])


def is_labelled_for(labels: Mapping[str, str], owner: Mapping[str, Any]) -> bool:
    """Whether the labels name the resource of an owner reference."""
    labelled = owner_of(labels)
    return labelled is not None and (labelled[0].kind, labelled[1]) == (owner.get("kind"), owner.get("name"))


def possible_resources(metadata: Mapping[str, Any]) -> set[tuple[Owner, str]]:
    """Return the kinds and names of resources for which a CronJob may have been made, by its label and its owners."""
    labelled = owner_of(metadata.get("labels") or {})
    by_kind = {owner.kind: owner for owner in OWNERS}
    owners = {(by_kind[one["kind"]], one["name"]) for one in _owners(metadata) if one.get("kind") in by_kind}
    return owners | ({labelled} if labelled else set())


def cronjob_names(owner: Owner, metadata: Mapping[str, Any]) -> set[str]:
    """Return the names of all CronJobs that a resource with this metadata may have."""
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    if owner is SCHEDULE_POOL:
        return {pool_cronjob_name(name, kind) for kind in user_kinds()}
    return {schedule_cronjob_name(namespace, name, uid, kind) for kind in user_kinds()}


def has_applied(metadata: Mapping[str, Any]) -> bool:
    """Whether the operator has applied an object's spec, by the record of field managers."""
    return any(_is_our_apply(entry) for entry in _of_spec(metadata))


def _owners(metadata: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return metadata.get("ownerReferences") or ()


def change(metadata: Mapping[str, Any], owner_uid: str) -> str:
    """Return who changed a CronJob and how, e.g. `kubectl-edit sets spec.suspend`; removals are not recorded.

    `owner_uid` is of the resource that it belongs to.
    """
    others = [entry for entry in _of_spec(metadata) if not _is_our_apply(entry)]
    if not others and (owners := other_owners(metadata, owner_uid)):
        return f"somebody adds the owner {', '.join(owners)}"
    if not others:
        return f"somebody removes fields, labels or its owner, or applies in the name of {FIELD_MANAGER}"
    last = max(others, key=lambda entry: entry.get("time") or "")
    if last.get("manager") == FIELD_MANAGER:
        last = {**last, "manager": f"somebody in the name of {FIELD_MANAGER}"}
    fields = list(_paths(last["fieldsV1"][_SPEC], "spec"))
    more = f" and {len(fields) - _FIELDS_SHOWN} more" if len(fields) > _FIELDS_SHOWN else ""
    return f"{last.get('manager') or 'somebody'} sets {', '.join(fields[:_FIELDS_SHOWN])}{more}"


def _paths(fields: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the leaves of FieldsV1; the key of a list's item (`k:{...}`) stands in brackets."""
    for name, below in sorted(fields.items()):
        kind, _, text = name.partition(":")
        if name == ".":
            continue
        here = f"{path}.{text}" if kind == "f" else f"{path}[{text}]"
        if isinstance(below, Mapping) and below.keys() - {"."}:
            yield from _paths(below, here)
        else:
            yield here


def taken_over(metadata: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the record by which the operator applied the whole spec; None where it says so already.

    Fields of the metadata (labels, annotations) stay with their managers.
    """
    shares = [entry for entry in _of_spec(metadata) if not _is_our_apply(entry)]
    if not shares:
        return None
    entries = [dict(entry) for entry in metadata.get("managedFields") or ()]
    ours = next((entry for entry in entries if _is_our_apply(entry)), None)
    if ours is None:
        ours = {"manager": FIELD_MANAGER, "operation": _APPLY, "apiVersion": _API_VERSION, "fieldsType": "FieldsV1"}
        entries.append(ours)
    for share in shares:
        ours["fieldsV1"] = _union(ours.get("fieldsV1") or {}, {_SPEC: share["fieldsV1"][_SPEC]})
    for entry in entries:
        if entry in shares:
            entry["fieldsV1"] = {name: fields for name, fields in entry["fieldsV1"].items() if name != _SPEC}
    return [entry for entry in entries if entry.get("fieldsV1")]


def _of_spec(metadata: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in metadata.get("managedFields") or ():
        if not entry.get("subresource") and _SPEC in (entry.get("fieldsV1") or {}):
            yield entry


def _is_our_apply(entry: Mapping[str, Any]) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (FIELD_MANAGER, _APPLY, "")


def _union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Return the union of two sets of fields (FieldsV1 is a tree of field names)."""
    shared = {name: _union(left[name], right[name]) for name in left.keys() & right.keys()}
    return {**left, **right, **shared}
