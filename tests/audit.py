"""What an account asked the API server for, by its audit log, beside what its roles grant."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catchup_dev.cluster import Cluster

# Granted to every account of a cluster by `system:basic-user`.
_REVIEWS = "selfsubjectaccessreviews"
# Granted by name.
_NAMED = {"configmaps", "deployments", "leases"}

# Verb, group, resource and, where there is one, the object's name.
Right = tuple[str, str, str, str]


def requests_of(cluster: Cluster, namespace: str, account: str) -> list[dict[str, Any]]:
    """Return the requests of a service account for resources, but for those of what it may do itself."""
    user = f"system:serviceaccount:{namespace}:{account}"
    lines = cluster.layout.audit_log.read_text().splitlines()
    requests = [event for event in map(json.loads, lines) if event["user"]["username"] == user]
    return [event for event in requests if event.get("objectRef", {}).get("resource") not in {None, _REVIEWS}]


def refused(requests: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return verb and address of what was forbidden."""
    codes = ((event, event.get("responseStatus", {}).get("code")) for event in requests)
    return [(event["verb"], event["requestURI"]) for event, code in codes if code == HTTPStatus.FORBIDDEN]


def rights_used(requests: list[dict[str, Any]]) -> set[Right]:
    """Return what the requests needed; an apply that made an object needed both verbs."""
    used = set()
    for event in requests:
        about = event["objectRef"]
        kind = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
        made = event["verb"] == "patch" and event["responseStatus"]["code"] == HTTPStatus.CREATED
        for verb in {event["verb"], "create"} if made else {event["verb"]}:
            named = about.get("name", "") if kind in _NAMED and verb != "create" else ""
            used.add((verb, about.get("apiGroup", ""), kind, named))
    return used


def rights_granted(roles: Iterable[dict[str, Any]]) -> set[Right]:
    """Return what the rules of roles grant."""
    return {
        (verb, group, resource, name)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }
