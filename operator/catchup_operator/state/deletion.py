"""Deletion of objects that finalizers hold: deleted for whoever asked for it, and still there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Those of the garbage collector: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
_DELETES_DEPENDENTS: Final = "foregroundDeletion"
_LEAVES_DEPENDENTS: Final = "orphan"


def is_deleted(item: Mapping[str, Any]) -> bool:
    """Whether somebody asked for the deletion of an object."""
    return "deletionTimestamp" in item["metadata"]


def held_by(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the finalizers that hold a deleted object; none of one that is not deleted."""
    return tuple(item["metadata"].get("finalizers") or ()) if is_deleted(item) else ()


def leaves_work(owner: Mapping[str, Any]) -> bool:
    """Whether a deleted resource is held, so that its CronJobs go on until somebody lets it go.

    Not where the garbage collector holds it: that deletes the CronJobs, or is to leave them as they are.
    """
    finalizers = held_by(owner)
    return bool(finalizers) and not {_DELETES_DEPENDENTS, _LEAVES_DEPENDENTS}.intersection(finalizers)
