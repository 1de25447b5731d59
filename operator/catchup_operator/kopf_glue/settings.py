"""kopf's settings, each with its reason, and the call that runs kopf."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Sequence
from typing import Any, Final, cast

import kopf

from catchup_operator.kopf_glue.backpressure import PAGE
from catchup_operator.kopf_glue.read_retries import Backoffs
from catchup_operator.kopf_glue.storages import GenerationStorage, NoProgressStorage

_REQUEST_SECONDS: Final = 30
"""How long a request of kopf to the API server may take."""
# The API server sends a bookmark about every minute.
_WATCH_SILENCE_SECONDS: Final = 70
"""The silence after which a watch of UserSchedules counts as dead."""


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Set kopf's settings."""
    settings.persistence.diffbase_storage = GenerationStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    # The CRD is installed with the operator: no watch of CRDs, and no permission for it.
    settings.scanning.disabled = True
    settings.watching.chunk_size = PAGE
    settings.watching.inactivity_timeout = _WATCH_SILENCE_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.error_backoffs = Backoffs()
    # By default kopf posts an Event for each handler that succeeds.
    settings.posting.level = logging.WARNING
    # kopf's workers would wait for the event of their own write, which does not arrive before the list has ended.
    # state/known_statuses.py knows what was written.
    settings.persistence.consistency_timeout = 0
    # Few workers that end soon: their number bounds the memory, while connections bound the speed.
    settings.queueing.worker_limit = 20
    settings.queueing.idle_timeout = 0.01


def run_kopf(
    loop: asyncio.AbstractEventLoop, memo: kopf.Memo, namespaces: Sequence[str], *, json_logs: bool, verbose: bool
) -> None:
    """Run the registered handlers until the process is stopped.

    `memo` is passed to the handlers; no `namespaces` stand for all.
    """
    kopf.configure(verbose=verbose, log_format=kopf.LogFormat.JSON if json_logs else kopf.LogFormat.FULL)
    # Not logged: the probes of the kubelet, and each resource that is up to date. The operator logs what changes.
    for noisy in ("aiohttp.access", "kopf.activities.probe", *(() if verbose else ("kopf.objects",))):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Imported modules stay for good: the garbage collector need not traverse them in each collection.
    gc.freeze()
    kopf.run(
        loop=loop,
        memo=memo,
        standalone=True,
        # By default kopf looks up the user's name, but a pod may run as any uid.
        identity=cast(Any, socket.gethostname()),
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
