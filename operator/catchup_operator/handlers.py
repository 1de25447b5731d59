"""What the operator does, as a table of contents: run it with `catchup-operator run`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from catchup_jobs import contract
from catchup_operator.background import Background
from catchup_operator.cluster import ApiError, Cluster
from catchup_operator.memory import Memory
from catchup_operator.options import Options, configure_kopf
from catchup_operator.reconcile import Reconciler, RefusedError
from catchup_operator.roll import Roll
from catchup_operator.template import JobTemplate

_SILENCE_MAX_SECONDS: Final = 300

RESOURCE: Final = (contract.API_GROUP, contract.API_VERSION, contract.PLURAL)


@kopf.on.startup()
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    configure_kopf(settings)
    options: Options = memo.get("options") or Options.from_env(os.environ)
    template: JobTemplate = memo.get("template") or JobTemplate.load(options.job_template)
    memo.cluster = await Cluster.connect()
    memo.memory = Memory(Roll(options.roll_per_second))
    memo.reconciler = Reconciler(memo.cluster, template, memo.memory, lambda: datetime.now(UTC))
    memo.background = Background(memo.cluster, options.namespaces, memo.memory, memo.reconciler)
    memo.background.start()


@kopf.on.login()
async def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    session: kopf.AiohttpSession = await memo.cluster.login()
    return session


@kopf.on.create(*RESOURCE)
@kopf.on.update(*RESOURCE)
@kopf.on.resume(*RESOURCE)
async def reconcile(body: kopf.Body, patch: kopf.Patch, memo: kopf.Memo, **_: Any) -> None:
    # Failures are retried by our own queue: kopf's costs two patches each, and would keep an edit that mends the
    # cause waiting until the delay is over.
    try:
        patch.status.update(await memo.reconciler.visit(body) or {})
    except RefusedError as error:
        patch.status.update(error.patch or {})
        memo.background.retry(body, error)
    except ApiError as error:
        memo.background.retry(body, error)


# All handlers are coroutines: kopf runs plain functions in threads, and nothing here is made for threads.
@kopf.on.event(*RESOURCE)
async def notice(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    # No deletion handler: it would put a finalizer on every resource.
    if event["type"] == "DELETED":
        memo.reconciler.gone(event["object"])
    else:
        memo.reconciler.shown(event["object"])


@kopf.on.probe(id="loops")
async def alive(memo: kopf.Memo, **_: Any) -> str:
    died = memo.background.died()
    if died is not None or memo.background.silent_seconds > _SILENCE_MAX_SECONDS:
        raise kopf.PermanentError(f"a watch is dead: {died or 'no word from the API server'}")
    return "ok"


@kopf.on.probe(id="roll")
async def roll_progress(memo: kopf.Memo, **_: Any) -> dict[str, int]:
    progress: dict[str, int] = memo.memory.roll.progress
    return progress


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    if "background" in memo:
        await memo.background.stop()
    if "cluster" in memo:
        await memo.cluster.close()
