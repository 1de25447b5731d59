"""What the operator does, as a table of contents: run it with `catchup-operator run`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from catchup_jobs import contract
from catchup_operator.background import Background
from catchup_operator.cluster import ApiError, Cluster
from catchup_operator.options import Options, configure_kopf
from catchup_operator.reconcile import Reconciler, RefusedError
from catchup_operator.template import JobTemplate

_RETRY_FIRST_SECONDS: Final = 5
_RETRY_MAX_SECONDS: Final = 900
_REFUSED_RETRY_SECONDS: Final = 600
_SILENCE_MAX_SECONDS: Final = 300

RESOURCE: Final = (contract.API_GROUP, contract.API_VERSION, contract.PLURAL)


@kopf.on.startup()
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    configure_kopf(settings)
    options = Options.from_env(os.environ)
    template = JobTemplate.load(options.job_template)
    memo.cluster = await Cluster.connect()
    memo.background = Background(memo.cluster, options.namespaces)
    memo.reconciler = Reconciler(memo.cluster, template, memo.background.ledger, lambda: datetime.now(UTC))
    memo.background.start(memo.reconciler)


@kopf.on.login()
async def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    session: kopf.AiohttpSession = await memo.cluster.login()
    return session


@kopf.on.create(*RESOURCE)
@kopf.on.update(*RESOURCE)
@kopf.on.resume(*RESOURCE)
async def reconcile(body: kopf.Body, patch: kopf.Patch, memo: kopf.Memo, retry: int, **_: Any) -> None:
    try:
        status: Mapping[str, Any] | None = await memo.reconciler.visit(body)
    except RefusedError as error:
        patch.status.update(error.patch or {})
        raise kopf.TemporaryError(str(error), delay=_REFUSED_RETRY_SECONDS) from None
    except ApiError as error:
        delay = min(_RETRY_MAX_SECONDS, _RETRY_FIRST_SECONDS * 2**retry)
        raise kopf.TemporaryError(f"API server: {error}", delay=delay) from None
    patch.status.update(status or {})


@kopf.on.probe(id="loops")
def alive(memo: kopf.Memo, **_: Any) -> str:
    died = memo.background.died()
    if died is not None or memo.background.silent_seconds > _SILENCE_MAX_SECONDS:
        raise kopf.PermanentError(f"a watch is dead: {died or 'no word from the API server'}")
    return "ok"


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    if "background" in memo:
        await memo.background.stop()
    if "cluster" in memo:
        await memo.cluster.close()
