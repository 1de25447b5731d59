"""How kopf is set up for this operator, each setting with its reason."""

from __future__ import annotations

import logging
import os
from typing import Final

import kopf

ENV_NAMESPACES: Final = "CATCHUP_NAMESPACES"


def namespaces() -> list[str] | None:
    """Return the namespaces to serve from `CATCHUP_NAMESPACES` (separated by commas), or None for all."""
    names = [name.strip() for name in os.environ.get(ENV_NAMESPACES, "").split(",") if name.strip()]
    return names or None


def configure(settings: kopf.OperatorSettings) -> None:
    """Fill in kopf's settings."""
    # kopf's bookkeeping rides in the one status patch: no annotations, no second write.
    settings.persistence.progress_storage = kopf.StatusProgressStorage(field="status.kopf.progress")
    settings.persistence.diffbase_storage = kopf.StatusDiffBaseStorage(
        field="status.kopf.lastHandled", ignored_fields=["metadata"]
    )
    # The CRD is installed with the operator: no watch on definitions, no permission for it.
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = 30
    # kopf would post an Event for each handler that succeeded.
    settings.posting.level = logging.WARNING
    settings.queueing.worker_limit = 20
    settings.queueing.idle_timeout = 0.01
