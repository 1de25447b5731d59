"""The handlers that kopf calls, and the wiring of the operator. Run by `catchup-operator run`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from catchup_contract.api import API_GROUP, API_VERSION, PLURAL
from catchup_contract.serving_certificate import ServingCertificate
from catchup_operator.instruments import Instruments
from catchup_operator.job_template import JobTemplate
from catchup_operator.kopf_glue.backpressure import Backpressure
from catchup_operator.kopf_glue.discovery import Discovery
from catchup_operator.kopf_glue.read_retries import ReadRetries
from catchup_operator.kopf_glue.settings import configure_kopf
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.errors import ApiError
from catchup_operator.manifests.names import USER_SCHEDULE, key_of
from catchup_operator.ops.health import Health
from catchup_operator.ops.http import PodServer, Tls
from catchup_operator.ops.metrics import StateCollector, registry_of
from catchup_operator.ops.metrics_access import MetricsGate
from catchup_operator.ops.permissions import PermissionCheck
from catchup_operator.options import ENV_METRICS_PORT, Options, listen
from catchup_operator.reconcile.controller import Controller
from catchup_operator.reconcile.placement_parts import OwnerRollout, placement_parts
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.work_queue import RetryAfterError
from catchup_operator.state.drift import DriftDetector
from catchup_operator.state.pools import Pools
from catchup_operator.template_file import load_template

logger = logging.getLogger(__name__)

RESOURCE: Final = (API_GROUP, API_VERSION, PLURAL)


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@kopf.on.startup()
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    """Make the operator's parts, and start those that do not wait for a handler."""
    configure_kopf(settings)
    options: Options = memo.get("options") or Options.from_env(os.environ)
    template: JobTemplate = memo.get("template") or load_template(
        options.job_template, digest_spread=options.digest_spread
    )
    # In each namespace kopf's watch and four of the controller.
    watches = 5 * max(1, len(options.namespaces))
    memo.instruments = Instruments()
    memo.client = KubeClient(memo.get("access") or await load_access(), watches=watches, instruments=memo.instruments)
    memo.backpressure = Backpressure()
    drift, pools, rollout = DriftDetector(), Pools(), OwnerRollout(options.roll_per_second)
    served = ServedNamespaces(memo.client, options.namespaces, identity=options.release, now=utc_now)
    memo.client.guard_writes(served.check)
    memo.client.ask_of_ends(served.ends)
    memo.retries = ReadRetries(options.namespaces, served.is_gone)
    memo.retries.start()
    placements = placement_parts(
        memo.client,
        template,
        drift=drift,
        pools=pools,
        rollout=rollout,
        served=served,
        now=utc_now,
    )
    memo.reconciler = placements[USER_SCHEDULE].reconciler
    memo.controller = Controller(
        memo.client,
        options.namespaces,
        placements=placements,
        drift=drift,
        pools=pools,
        rollout=rollout,
        served=served,
        digest_spread=template.digest_spread,
        member_writes_per_second=options.member_writes_per_second,
        instruments=memo.instruments,
        now=utc_now,
    )
    discovery = Discovery(memo.client)
    try:
        if options.health_port:
            sources = (discovery.problems, memo.controller.problems, memo.retries.problems, served.problems)
            memo.health = Health(
                memo.controller, PermissionCheck(memo.client, options.namespaces, served.is_gone), sources
            )
            memo.health.start()
            states = {owner: parts.state for owner, parts in placements.items()}
            known = StateCollector(states, memo.controller, rollout, served, problems=memo.health.readiness_problems)
            gate = MetricsGate(memo.client) if options.review_metrics else None
            listener = memo.get("listener") or listen(options.health_port)
            tls = options.metrics_tls and Tls(
                memo.get("metrics_listener") or listen(options.metrics_port, ENV_METRICS_PORT),
                ServingCertificate(options.metrics_tls),
            )
            memo.http = PodServer()
            await memo.http.start(listener, memo.health, registry_of(memo.instruments, known), gate, tls)
        await discovery.wait()
    except BaseException:
        await clean_up(memo)  # kopf does not clean up after a start that fails
        raise
    memo.controller.start()


@kopf.on.login()
async def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    """Return the operator's own access to the API server, so that kopf needs no client of its own."""
    session = memo.client.session(memo.retries.middleware, memo.backpressure.middleware)
    return kopf.AiohttpSession(server=memo.client.server, aiohttp_session=session)


def outdated(reason: kopf.Reason) -> Callable[..., bool]:
    """Return the filter of the handler for that reason: whether the resource needs a reconciliation."""

    # A resource that is up to date, as most are at a restart and after the operator's own writes, costs no handler.
    # kopf calls the filters of all three handlers; only that of the actual reason looks at the resource.
    def is_outdated(body: kopf.Body, memo: kopf.Memo, **cause: Any) -> bool:
        return cause["reason"] is reason and not memo.reconciler.is_up_to_date(dict(body))

    return is_outdated


@kopf.on.create(*RESOURCE, when=outdated(kopf.Reason.CREATE))
@kopf.on.update(*RESOURCE, when=outdated(kopf.Reason.UPDATE))
@kopf.on.resume(*RESOURCE, when=outdated(kopf.Reason.RESUME))
async def reconcile(body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:
    """Bring the CronJobs and the status of one UserSchedule to what its spec says."""
    # The handler never fails and returns nothing, so that kopf writes nothing. kopf would retry a rejected status patch
    # in one of its few workers and then drop it. Its retries of a handler would delay an edit that solves the problem,
    # and would store a counter in each resource.
    try:
        # A copy: each access to kopf's view of a body resolves its path again.
        with memo.instruments.task("reconcile"):
            await memo.reconciler.reconcile(dict(body))
    except (RetryAfterError, ApiError) as error:
        memo.controller.retry(USER_SCHEDULE, key_of(body), error)
    except Exception as error:
        logger.exception("%s/%s: an unexpected error", *key_of(body))
        memo.controller.retry(USER_SCHEDULE, key_of(body), error)


def is_relevant(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> bool:
    """Return whether an event of a UserSchedule changes what the operator remembers."""
    # kopf calls this filter for each resource that it takes up.
    memo.backpressure.processed()
    return bool(memo.reconciler.needs_event(event["type"], event["object"]))


# All handlers are coroutines: kopf runs plain functions in threads, and the operator's state is not thread-safe.
@kopf.on.event(*RESOURCE, when=is_relevant)
async def observe(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Remember what an event says of a UserSchedule."""
    # Instead of a deletion handler, which would put a finalizer on every resource.
    if event["type"] == "DELETED":
        memo.reconciler.forget(event["object"])
    else:
        memo.reconciler.observe(event["object"])
        if memo.reconciler.must_act(event["object"]):  # kopf calls no other handler for it
            memo.controller.enqueue(USER_SCHEDULE, key_of(event["object"]))


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End what `start` started."""
    await clean_up(memo)


async def clean_up(memo: kopf.Memo) -> None:
    """End what has been started so far."""
    if "retries" in memo:
        memo.retries.stop()
    if "health" in memo:
        await memo.health.stop()
    if "http" in memo:
        await memo.http.cleanup()
    if "controller" in memo:
        await memo.controller.stop()
    if "client" in memo:
        await memo.client.close()
