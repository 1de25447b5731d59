"""What kopf is told of earlier visits, so that it keeps no books of its own in every UserSchedule.

Left to itself kopf writes a copy of each spec and the progress of its handlers into the object, and copies and compares
whole bodies at every event. `metadata.generation` and our own `status.observedGeneration` say the same: whether the
spec was changed since we last told of it. A handler of ours never fails half-way (see handlers.py), so that there is no
progress to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import kopf


class ByGeneration(kopf.DiffBaseStorage):
    """The generation stands for the whole spec; the status patch itself stores it."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        return _essence(body["metadata"]["generation"])

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        status = body.get("status")
        seen = status.get("observedGeneration") if isinstance(status, Mapping) else None
        return _essence(seen) if isinstance(seen, int) else None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class NoProgress(kopf.ProgressStorage):
    """Nothing is kept, since every visit is whole."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _essence(generation: int) -> kopf.BodyEssence:
    return cast(kopf.BodyEssence, {"spec": {"generation": generation}})
