"""`catchup-jobs metrics`: the numbers of an installation, for Prometheus."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest

from catchup_contract.access_review import MetricsAccess
from catchup_contract.serving_certificate import CertificateError, ServingCertificate
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.metrics.snapshot import Answers, take
from catchup_jobs.adapters.exporter.collector import SnapshotCollector
from catchup_jobs.adapters.exporter.metrics_access import ReviewGate
from catchup_jobs.adapters.exporter.server import serving
from catchup_jobs.cli.log import configure
from catchup_jobs.cli.parameters import OneOf
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

PORT: Final = 9464
"""The port that OpenTelemetry's specification gives to a Prometheus exporter."""
_DEAR_FACTOR: Final = 10
"""After so many times `--every`, even what is dear to find is read again."""


@click.command()
@click.option("--listen", default="", metavar="ADDRESS", help="Default: all addresses, of IPv4 and IPv6.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
@click.option(
    "--every",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="Read the database at most every so often (s).",
)
@click.option(
    "--access",
    type=OneOf(MetricsAccess),
    default=MetricsAccess.OPEN.value,
    show_default=True,
    help="reviewed: only for whose token may `get` the path /metrics, by the API server of the pod.",
)
@click.option(
    "--tls",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Serve by HTTPS, with tls.crt and tls.key of this folder; they may be renewed.",
)
@click.option("--once", is_flag=True, help="Print the metrics and exit.")
def metrics(*, listen: str, port: int, every: int, access: MetricsAccess, tls: Path | None, once: bool) -> None:
    """Serve `/metrics` for Prometheus, from the database and Redis.

    It only reads, so that several may run. While the database does not answer, `catchup_service_up` says so and the
    other numbers are missing. What takes long to find, as while half of a large fleet fails, is read more rarely, at
    least after 10 times `--every`. `/healthz` answers as long as the process lives.

    \b
    Examples:
      catchup-jobs metrics --once | grep catchup_runs_failing
      catchup-jobs metrics --port 9464
    """
    settings = Settings.load()
    configure(settings.log_format)
    gc.set_threshold(700, 10, 10)  # Python's own: other commands are too short to collect garbage
    with ExitStack() as opened:
        registry = CollectorRegistry()
        registry.register(_collector(settings, opened, every))
        if once:
            click.echo(generate_latest(registry).decode(), nl=False)  # type: ignore[no-untyped-call]
            return
        gate = _gate() if access is MetricsAccess.REVIEWED else None
        certificate = _certificate(tls) if tls else None
        ProcessCollector(registry=registry)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            bound = opened.enter_context(serving(registry, host=listen, port=port, gate=gate, certificate=certificate))
        except OSError as error:
            raise MisconfiguredError(
                f"cannot listen on {listen or 'all addresses'}, port {port}: {error.strerror}"
            ) from None
        click.echo(f"serving metrics on port {bound}", err=True)
        stop.wait()
    sys.exit(0)


def _certificate(folder: Path) -> ServingCertificate:
    certificate = ServingCertificate(folder)
    try:
        certificate.refresh()
    except CertificateError as error:
        raise MisconfiguredError(f"--tls: {error}") from None
    return certificate


def _gate() -> ReviewGate:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise MisconfiguredError("--access reviewed: KUBERNETES_SERVICE_HOST is not set; this is no pod of a cluster")
    return ReviewGate(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def _collector(settings: Settings, opened: ExitStack, every: int) -> SnapshotCollector:
    database = opened.enter_context(closing(Database.open(settings.database_url)))
    earlier = Answers(_DEAR_FACTOR * timedelta(seconds=every))
    return SnapshotCollector(
        lambda: take(database, datetime.now(UTC), shards=settings.shards, earlier=earlier),
        _quota(settings, opened),
        every=every,
    )


def _quota(settings: Settings, opened: ExitStack) -> Callable[[], float] | None:
    url = settings.redis_url
    if url is None:
        return None
    from catchup_jobs.adapters.redis.client import connect  # noqa: PLC0415 - a laptop does without
    from catchup_jobs.adapters.redis.quota import project_used  # noqa: PLC0415

    client = opened.enter_context(closing(connect(url)))
    return partial(project_used, client, settings.google_project_quota)
