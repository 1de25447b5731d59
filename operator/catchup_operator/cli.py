"""`catchup-operator`: run the operator, forecast the load, prepare an uninstall.

Each command imports what it uses, so that `--help` stays fast: kopf alone takes half a second.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import click

from catchup_contract.google_quota import PROJECT_DAY, PROJECT_MINUTE
from catchup_contract.outcomes import ExitCode
from catchup_operator.options import DIGEST_SPREAD_MAX, ENV_DIGEST_SPREAD, ENV_RELEASE, served

_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


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
    Connects with the service account of its pod, or else by KUBECONFIG. Reads from the environment:
      CATCHUP_NAMESPACES         namespaces to serve, separated by commas; empty: all
      CATCHUP_JOB_TEMPLATE_FILE  YAML file with the image, env and pod settings of the jobs
                                 (default /etc/catchup/job-template.yaml)
      CATCHUP_LOG_LEVEL          info, or debug as with --verbose (default info)
      CATCHUP_HEALTH_PORT        serve /healthz, /readyz and /metrics on this port
      CATCHUP_ROLL_PER_SECOND    rate of a rollout, in UserSchedules per second (default 10)
      CATCHUP_MEMBER_WRITES_PER_SECOND
                                 writes that tell of members of pools in trouble, per second (default 5)
      CATCHUP_DIGEST_SPREAD_MINUTES
                                 spread digests over this many minutes after their chosen time (default 0)
      CATCHUP_RELEASE            identity in the Lease of each namespace (default: the host's name)
      CATCHUP_METRICS_ACCESS     who may read /metrics: open (default) or reviewed (asks the API server)
      CATCHUP_METRICS_TLS        folder with tls.crt and tls.key: serve /metrics by HTTPS, on a port of its own
      CATCHUP_METRICS_PORT       that port (default 8443)
    """
    import kopf  # noqa: PLC0415
    import uvloop  # noqa: PLC0415

    from catchup_operator import handlers  # noqa: F401, PLC0415 - registers the handlers
    from catchup_operator.kopf_glue.settings import run_kopf  # noqa: PLC0415
    from catchup_operator.kube.config import load_access  # noqa: PLC0415
    from catchup_operator.options import ENV_METRICS_PORT, Options, listen  # noqa: PLC0415
    from catchup_operator.template_file import load_template  # noqa: PLC0415

    loop = uvloop.new_event_loop()
    with _exit_on_error():
        # Checked here: kopf would log a traceback for each error and start again after a minute.
        options = Options.from_env(os.environ)
        template = load_template(options.job_template, digest_spread=options.digest_spread)
        access = loop.run_until_complete(load_access())
        listener = listen(options.health_port) if options.health_port else None
        metrics = listen(options.metrics_port, ENV_METRICS_PORT) if options.metrics_tls else None
    memo = kopf.Memo(options=options, template=template, access=access, listener=listener, metrics_listener=metrics)
    run_kopf(loop, memo, options.namespaces, json_logs=json_logs, verbose=verbose or options.verbose)


@main.command("forecast")
@click.option(
    "--namespace",
    "-n",
    "namespaces",
    multiple=True,
    help="Only these namespaces; repeatable. Default: those of CATCHUP_NAMESPACES, as in the operator's pod, or all.",
)
@click.option(
    "--max-pods", type=click.IntRange(0), default=1200, show_default=True, help="Mark minutes in which more pods start."
)
@click.option(
    "--max-requests",
    type=click.IntRange(0),
    default=PROJECT_MINUTE,
    show_default=True,
    help="Mark minutes with more requests to Google.",
)
@click.option(
    "--max-requests-a-day",
    type=click.IntRange(0),
    default=PROJECT_DAY,
    show_default=True,
    help="The requests to Google that a day may have.",
)
@click.option(
    "--if",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Show what a change of all users and pools would do: every, pool, tick, shards, members; repeatable.",
)
@click.option(
    "--digest-spread",
    type=click.IntRange(0, DIGEST_SPREAD_MAX),
    default=0,
    show_default=True,
    envvar=ENV_DIGEST_SPREAD,
    show_envvar=True,
    help="Minutes over which digests are spread after their time; another value shows what it would change.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def forecast_command(
    *,
    namespaces: tuple[str, ...],
    max_pods: int,
    max_requests: int,
    max_requests_a_day: int,
    changes: tuple[str, ...],
    digest_spread: int,
    output: str,
) -> None:
    """Draw the pods and the Google requests of the next 24 hours, minute by minute, in UTC.

    Reads all UserSchedules and SchedulePools with the service account of its pod, or else by KUBECONFIG. Minutes above
    a limit are marked, with the setting that would flatten them. Exits 0 if there is none and the day is within its
    limit, else 1; 75 if the API server does not answer, 78 if none is configured. Changes nothing.

    \b
    Examples:
      catchup-operator forecast --max-pods 300
      catchup-operator forecast --if every=15m --if pool=people
    """
    from catchup_operator.kube.client import KubeClient  # noqa: PLC0415
    from catchup_operator.kube.config import load_access  # noqa: PLC0415
    from catchup_operator.kube.errors import ApiError  # noqa: PLC0415
    from catchup_operator.kube.resources import POOLS, SCHEDULES  # noqa: PLC0415
    from catchup_operator.ops import forecast, forecast_report, what_if  # noqa: PLC0415

    try:
        changed = what_if.parse(changes)
    except what_if.InvalidChangeError as error:
        raise click.BadParameter(str(error), param_hint="--if") from None

    async def pools_of(client: KubeClient, namespace: str | None) -> list[dict[str, Any]]:
        try:
            return [body async for body in client.list_items(POOLS, namespace)]
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return []  # their definition is not there

    async def read() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        client = KubeClient(await load_access())
        try:
            schedules: list[dict[str, Any]] = []
            pools: list[dict[str, Any]] = []
            for namespace in namespaces or served(os.environ) or (None,):
                try:
                    bodies = [body async for body in client.list_items(SCHEDULES, namespace)]
                    of_namespace = await pools_of(client, namespace)
                except ApiError as error:  # a Role goes with its namespace
                    if namespace is None or error.status != _FORBIDDEN or not await client.is_gone(namespace):
                        raise
                    click.echo(f"note: left out {namespace}, which is gone or is being deleted", err=True)
                    continue
                if not (bodies or of_namespace):
                    click.echo(f"note: there are no UserSchedules in {namespace or 'any namespace'}", err=True)
                schedules += bodies
                pools += of_namespace
            return schedules, pools
        finally:
            await client.close()

    with _exit_on_error():
        bodies, pools = asyncio.run(read())
    result = forecast.forecast(
        what_if.schedules(bodies, changed),
        datetime.now(UTC),
        pools=what_if.pools(pools, changed, namespaces=[body["metadata"]["namespace"] for body in bodies]),
        digest_spread=digest_spread,
    )
    render = {"json": forecast_report.as_json, "text": forecast_report.as_text}[output]
    click.echo(render(result, max_pods=max_pods, max_requests=max_requests, max_requests_a_day=max_requests_a_day))
    is_above = result.requests_of_the_day > max_requests_a_day
    sys.exit(1 if is_above or result.peaks(max_pods=max_pods, max_requests=max_requests) else 0)


@main.command("prepare-uninstall")
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Where to delete CronJobs; repeatable.")
@click.option("--all-namespaces", "-A", is_flag=True, help="Delete them everywhere.")
@click.option("--except", "spare", multiple=True, metavar="NAMESPACE", help="But not in this namespace; repeatable.")
@click.option("--deployment", required=True, metavar="NAMESPACE/NAME", help="The operator's Deployment, deleted first.")
@click.option("--pods", default="", metavar="SELECTOR", help="Labels of its pods. Default: as the Deployment says.")
@click.option("--release", envvar=ENV_RELEASE, default="", help="Also delete the Leases that this release holds there.")
def prepare_uninstall_command(
    *,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    spare: tuple[str, ...],
    deployment: str,
    pods: str,
    release: str,
) -> None:
    """Stop the operator and delete the CronJobs that it made; UserSchedules stay.

    Otherwise they would go on firing after `helm uninstall`, or in a namespace that is no longer served. Installing or
    upgrading the chart creates the Deployment again, and CronJobs where it serves. A namespace that was deleted is
    named and left out. Exits 75 where the operator goes on, or where a permission is missing or a deletion is refused
    in a namespace that is there; the others are left meanwhile. Run again, it goes on where it ended.
    """
    from catchup_operator.manifests.names import SELECTOR  # noqa: PLC0415
    from catchup_operator.ops.stopping import Operator  # noqa: PLC0415
    from catchup_operator.ops.uninstall import prepare_uninstall  # noqa: PLC0415

    if bool(namespaces) is all_namespaces:
        raise click.UsageError("name the namespaces, or use --all-namespaces")
    namespace, _, name = deployment.partition("/")
    if not namespace or not name:
        raise click.UsageError("--deployment takes NAMESPACE/NAME")
    with _exit_on_error():
        operator = Operator(namespace, name, pods)
        left = asyncio.run(prepare_uninstall(operator, namespaces, spare=spare, release=release))
    for note in left.stay:
        click.echo(note, err=True)
    for gone, reason in left.gone.items():
        click.echo(f"left out {gone}, which is gone or is being deleted: {reason}", err=True)
    if left.unwritten:
        click.echo(f"the status of some resources does not say that nobody serves them ({left.unwritten})", err=True)
    click.echo(f"stopped {deployment} and deleted {left.deleted} CronJobs")
    if left.refused:
        reasons = "; ".join(f"{refused}: {reason}" for refused, reason in left.refused.items())
        _exit(
            ExitCode.TEMPORARY,
            "CronJobs may go on where a permission is missing or a deletion is refused. Grant it, or change what "
            f"refuses, and try again; or delete them by hand (kubectl delete cronjobs -l {SELECTOR} -n NAMESPACE) and "
            f"go on without hooks (--no-hooks). {reasons}",
        )


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """Print an expected error in one line and exit with its code."""
    from catchup_operator.kube.config import NoClusterError  # noqa: PLC0415
    from catchup_operator.kube.errors import ApiError  # noqa: PLC0415
    from catchup_operator.ops.stopping import StillRunningError  # noqa: PLC0415
    from catchup_operator.options import InvalidOptionError  # noqa: PLC0415
    from catchup_operator.template_file import InvalidTemplateError  # noqa: PLC0415

    try:
        yield
    except (InvalidOptionError, InvalidTemplateError, NoClusterError) as error:
        _exit(ExitCode.MISCONFIGURED, error)
    except StillRunningError as error:
        _exit(ExitCode.TEMPORARY, error)
    except ApiError as error:
        hint = "" if error.status else "the API server does not answer; see that it runs and can be reached from here: "
        _exit(ExitCode.TEMPORARY, f"{hint}{error}")


def _exit(code: ExitCode, error: object) -> NoReturn:
    click.echo(f"catchup-operator: {' '.join(str(error).split())}", err=True)
    sys.exit(code)
