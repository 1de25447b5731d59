"""Admission policies for tests, each with its binding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from catchup_dev.cluster import Cluster


def apply_policy(cluster: Cluster, name: str, specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Apply a policy and its binding of one name, by kind; return what `kubectl delete` takes to remove them."""
    objects = [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        for kind, spec in specs.items()
    ]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return [f"{kind.lower()}/{name}" for kind in specs]
