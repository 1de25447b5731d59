"""`catchup-operator`: run the operator, or clean up before it is uninstalled."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import click

from catchup_contract.outcomes import ExitCode


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="catchup-jobs")
def main() -> None:
    """Reconciles UserSchedule resources into CronJobs."""


@main.command()
@click.option("--json-logs/--plain-logs", default=not sys.stderr.isatty(), help="Default: JSON unless on a terminal.")
@click.option("--verbose", "-v", is_flag=True, help="Log each step of the reconciliation.")
def run(*, json_logs: bool, verbose: bool) -> None:
    """Run until stopped.

    \b
    Connects as a pod does, or else by KUBECONFIG. Reads from the environment:
      CATCHUP_NAMESPACES         namespaces to serve, separated by commas; empty: all
      CATCHUP_JOB_TEMPLATE_FILE  YAML file with the image, env and pod settings of the jobs
                                 (default /etc/catchup/job-template.yaml)
      CATCHUP_HEALTH_PORT        serve /healthz, /readyz and /metrics on this port
      CATCHUP_ROLL_PER_SECOND    UserSchedules a second that get their CronJobs anew after an upgrade (default 10)
      CATCHUP_DIGEST_SPREAD_MINUTES
                                 spread digests over so many minutes after their chosen time (default 0)
    """
    import kopf  # noqa: PLC0415 - half a second that --help need not pay
    import uvloop  # noqa: PLC0415

    from catchup_operator import handlers  # noqa: F401, PLC0415 - registers the handlers
    from catchup_operator.job_template import JobTemplate  # noqa: PLC0415
    from catchup_operator.kube.config import find  # noqa: PLC0415
    from catchup_operator.options import Options, listen  # noqa: PLC0415

    loop = uvloop.new_event_loop()
    with _told_in_a_line():
        # What cannot work is found out here: kopf would tell it by a traceback, and try again each minute.
        options = Options.from_env(os.environ)
        template = JobTemplate.load(options.job_template, digest_spread=options.digest_spread)
        api = loop.run_until_complete(find())
        listener = listen(options.health_port) if options.health_port else None
    kopf.configure(verbose=verbose, log_format=kopf.LogFormat.JSON if json_logs else kopf.LogFormat.FULL)
    # A probe every few seconds is not news, nor is each resource that is as wanted; what changes we log ourselves.
    for noisy in ("aiohttp.access", "kopf.activities.probe", *(() if verbose else ("kopf.objects",))):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # What was imported stays: the garbage collector need not go through it at each of its rounds.
    gc.freeze()
    kopf.run(
        loop=loop,
        memo=kopf.Memo(options=options, template=template, api=api, listener=listener),
        standalone=True,
        # kopf would ask the password file for a name, and a pod may run as any uid.
        identity=cast(Any, socket.gethostname()),
        clusterwide=not options.namespaces,
        namespaces=options.namespaces,
    )


@main.command()
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Only these namespaces; repeatable. Default: all.")
@click.option(
    "--max-pods", type=click.IntRange(0), default=1200, show_default=True, help="Mark minutes in which more pods start."
)
@click.option(
    "--max-requests",
    type=click.IntRange(0),
    default=10000,
    show_default=True,
    help="Mark minutes with more requests to Google.",
)
@click.option(
    "--digest-spread",
    type=click.IntRange(0, 240),
    default=0,
    show_default=True,
    envvar="CATCHUP_DIGEST_SPREAD_MINUTES",
    show_envvar=True,
    help="Minutes over which digests are spread after their time; try another value to see what it would do.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def forecast(*, namespaces: tuple[str, ...], max_pods: int, max_requests: int, digest_spread: int, output: str) -> None:
    """Draw the pods and the Google requests of the next 24 hours, minute by minute, in UTC.

    Reads all UserSchedules by KUBECONFIG, or as a pod does. Minutes above a limit are marked, with the setting that
    would flatten them. Exits 0 if there is none, else 1; 75 if the API server does not answer, 78 if none is named.

    \b
    Example:
      catchup-operator forecast --max-pods 300
    """
    from catchup_operator.kube.client import Cluster  # noqa: PLC0415
    from catchup_operator.kube.config import find  # noqa: PLC0415
    from catchup_operator.kube.resources import SCHEDULES  # noqa: PLC0415
    from catchup_operator.ops.forecast import Forecast, as_json, as_text  # noqa: PLC0415
    from catchup_operator.ops.forecast import forecast as look_ahead  # noqa: PLC0415

    async def read() -> Forecast:
        cluster = Cluster(await find())
        try:
            bodies = [
                body
                for namespace in namespaces or (None,)
                async for page, _ in cluster.list_pages(SCHEDULES, namespace, selector="")
                for body in page
            ]
        finally:
            await cluster.close()
        return look_ahead(bodies, datetime.now(UTC), digest_spread=digest_spread)

    with _told_in_a_line():
        found = asyncio.run(read())
    render = as_json if output == "json" else as_text
    click.echo(render(found, max_pods=max_pods, max_requests=max_requests))
    sys.exit(1 if found.peaks(max_pods=max_pods, max_requests=max_requests) else 0)


@main.command("prepare-uninstall")
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Where to delete CronJobs; repeatable.")
@click.option("--all-namespaces", "-A", is_flag=True, help="Delete them everywhere.")
@click.option(
    "--deployment", required=True, metavar="NAMESPACE/NAME", help="The operator's Deployment, scaled to 0 first."
)
def prepare_uninstall(*, namespaces: tuple[str, ...], all_namespaces: bool, deployment: str) -> None:
    """Stop the operator and delete the CronJobs that it made; UserSchedules stay.

    Without this they would go on firing after `helm uninstall`, without the Secrets that they need. Installing
    the chart again makes them again.
    """
    from catchup_operator.ops.uninstall import prepare  # noqa: PLC0415

    if bool(namespaces) is all_namespaces:
        raise click.UsageError("name the namespaces, or say --all-namespaces")
    namespace, _, name = deployment.partition("/")
    if not namespace or not name:
        raise click.UsageError("--deployment takes NAMESPACE/NAME")
    with _told_in_a_line():
        deleted = asyncio.run(prepare(namespace, name, namespaces))
    click.echo(f"stopped {deployment} and deleted {deleted} CronJobs")


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    """End with a line and an exit code where somebody must act, or the API server must come back."""
    from catchup_operator.job_template import InvalidTemplateError  # noqa: PLC0415
    from catchup_operator.kube.config import NoClusterError  # noqa: PLC0415
    from catchup_operator.kube.transport import ApiError  # noqa: PLC0415
    from catchup_operator.ops.uninstall import StillRunningError  # noqa: PLC0415
    from catchup_operator.options import InvalidOptionError  # noqa: PLC0415

    try:
        yield
    except (InvalidOptionError, InvalidTemplateError, NoClusterError) as error:
        _end(ExitCode.MISCONFIGURED, error)
    except StillRunningError as error:
        _end(ExitCode.TEMPORARY, error)
    except ApiError as error:
        lost = "" if error.status else "the API server does not answer; see that it runs and can be reached from here: "
        _end(ExitCode.TEMPORARY, f"{lost}{error}")


def _end(code: ExitCode, trouble: object) -> NoReturn:
    click.echo(f"catchup-operator: {' '.join(str(trouble).split())}", err=True)
    sys.exit(code)
