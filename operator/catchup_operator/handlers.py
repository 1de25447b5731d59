"""What the operator does, as a table of contents: run it with `catchup-operator run`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL
from catchup_operator.job_template import JobTemplate
from catchup_operator.kopf_glue.backpressure import Pace
from catchup_operator.kopf_glue.discovery import Arrival
from catchup_operator.kopf_glue.reads import KopfReads
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.config import find
from catchup_operator.kube.transport import ApiError
from catchup_operator.ops.health import Health
from catchup_operator.options import Options, configure_kopf, listen
from catchup_operator.reconcile.controller import Background
from catchup_operator.reconcile.reconciler import Reconciler, RefusedError
from catchup_operator.reconcile.rollout import Roll
from catchup_operator.state.memory import Memory

logger = logging.getLogger(__name__)

RESOURCE: Final = (API_GROUP, API_VERSION, PLURAL)


@kopf.on.startup()
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    configure_kopf(settings)
    options: Options = memo.get("options") or Options.from_env(os.environ)
    template: JobTemplate = memo.get("template") or JobTemplate.load(
        options.job_template, digest_spread=options.digest_spread
    )
    # In each namespace kopf's, and two of our own.
    memo.cluster = Cluster(memo.get("api") or await find(), watches=3 * max(1, len(options.namespaces)))
    memo.reads = KopfReads(options.namespaces)
    memo.pace = Pace()
    memo.memory = Memory(Roll(options.roll_per_second))
    memo.reconciler = Reconciler(memo.cluster, template, memo.memory, lambda: datetime.now(UTC))
    memo.background = Background(memo.cluster, options.namespaces, memo.memory, memo.reconciler)
    arrival = Arrival(memo.cluster)
    try:
        if options.health_port:
            sources = (arrival.troubles, memo.background.troubles, memo.reads.troubles)
            memo.health = Health(memo.cluster, options.namespaces, memo.background, memo.memory.roll, sources)
            await memo.health.start(memo.get("listener") or listen(options.health_port))
        await arrival.wait()
    except BaseException:
        await end(memo)  # kopf does not clean up after a start that was broken off
        raise
    memo.background.start()


@kopf.on.login()
async def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    session: kopf.AiohttpSession = memo.cluster.login(memo.reads.outlast, memo.pace.hold)
    return session


def unsettled(reason: kopf.Reason) -> Callable[..., bool]:
    # What is as wanted, as most are at a restart and after our own writes, costs no handler. kopf asks for all three.
    def is_unsettled(body: kopf.Body, memo: kopf.Memo, **cause: Any) -> bool:
        return cause["reason"] is reason and not memo.reconciler.is_settled(dict(body))

    return is_unsettled


@kopf.on.create(*RESOURCE, when=unsettled(kopf.Reason.CREATE))
@kopf.on.update(*RESOURCE, when=unsettled(kopf.Reason.UPDATE))
@kopf.on.resume(*RESOURCE, when=unsettled(kopf.Reason.RESUME))
async def reconcile(body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:
    # kopf only reads. It gives up a status that the API server does not take at once, and until then one of its few
    # workers is busy. Its retries would keep an edit that mends the cause waiting until the delay is over, and need a
    # place in each resource to count in.
    try:
        # A view of kopf's finds its way anew at each look.
        await memo.reconciler.visit(dict(body))
    except (RefusedError, ApiError) as error:
        memo.background.retry(body, error)
    except Exception as error:
        logger.exception("%s/%s: an unexpected error", body["metadata"]["namespace"], body["metadata"]["name"])
        memo.background.retry(body, error)


def is_news(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> bool:
    # kopf asks for each resource that it takes up.
    memo.pace.dealt_with()
    return bool(memo.reconciler.awaits(event["type"], event["object"]))


# All handlers are coroutines: kopf runs plain functions in threads, and nothing here is made for threads.
@kopf.on.event(*RESOURCE, when=is_news)
async def notice(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    # No deletion handler: it would put a finalizer on every resource.
    if event["type"] == "DELETED":
        memo.reconciler.gone(event["object"])
    else:
        memo.reconciler.shown(event["object"])


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    await end(memo)


async def end(memo: kopf.Memo) -> None:
    if "reads" in memo:
        memo.reads.stop()
    if "health" in memo:
        await memo.health.stop()
    if "background" in memo:
        await memo.background.stop()
    if "cluster" in memo:
        await memo.cluster.close()
