"""kopf's storages, so that kopf stores nothing in a UserSchedule.

By default kopf stores a copy of each spec and the progress of its handlers in the object, and copies and compares whole
bodies at every event. `metadata.generation` and the operator's own `status.observedGeneration` say the same: whether
the spec has changed since the last reconciliation. The handler never fails (see handlers.py), so that there is no
progress to store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import kopf


class GenerationStorage(kopf.DiffBaseStorage):
    """The generation stands for the whole spec; the operator's own status patch stores it."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Return the generation as kopf's idea of the spec."""
        return _essence(body["metadata"]["generation"])

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Return the generation as kopf's idea of the spec."""
        """Return the generation that was reconciled last, None before the first time."""
        status = body.get("status")
        observed = status.get("observedGeneration") if isinstance(status, Mapping) else None
        return _essence(observed) if isinstance(observed, int) else None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing: the status has it."""


class NoProgressStorage(kopf.ProgressStorage):
    """Stores nothing: every reconciliation does all of its work."""

    def fetch(self, **_: Any) -> None:
        """Return no progress."""
        return

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Change nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return what kopf compares as it is."""
        return essence


def _essence(generation: int) -> kopf.BodyEssence:
    return cast(kopf.BodyEssence, {"spec": {"generation": generation}})
