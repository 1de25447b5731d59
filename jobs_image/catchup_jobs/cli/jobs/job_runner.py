"""From a subcommand to a run: settings, logging, signals, database, locks and the summary process a body."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from catchup_contract.env import Env
from catchup_contract.kinds import Kind
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.adapters.process import current_process
from catchup_jobs.cli.log import configure
from catchup_jobs.cli.resources import Clients, Resources, open_database
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.endings import Report, crash, ending_of, report_of
from catchup_jobs.jobs.run.errors import JobError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.optional_locks import OptionalLocks
from catchup_jobs.jobs.run.ports import Run, RunLocks
from catchup_jobs.jobs.run.spans import trace_with
from catchup_jobs.settings import Settings

Body = Callable[[RunContext, Resources], Result]
"""A job with its adapters: called once per pass; it closes what it opens before it returns."""

_log = structlog.get_logger()


def execute(kind: Kind, subject: str, body: Body) -> int:
    """Run a job for a subject by the contract of `jobs.run.execution` and return the process's exit code.

    It reads the environment (`Settings`), sets up logging, handles SIGTERM, opens the database and waits for its
    schema, connects to Redis (or uses lock files with SQLite), and writes the run's summary to the termination log
    where one is set. The command does nothing but

        def run_sync(user_id: str, *, full: bool) -> int:
            def body(context: RunContext, resources: Resources) -> Result:
                ...  # build the adapters from resources and call the job
            return execute(SYNC, user_id, body)

    Args:
        subject: the user's id, checked by the command, or the shard.
        body: called once per pass. What it raises is handled as any pass's error, so that a missing setting of the
            job's own ends the run as misconfigured. Whatever it opens it closes before it returns.
    """

    def run(settings: Settings) -> Report:
        manual_id = settings.job_uid or str(uuid.uuid4())
        return perform(Run(kind, subject, settings.slot, manual_id), settings, body)

    return reported(kind, run)


def reported(kind: Kind, run: Callable[[Settings], Report]) -> int:
    """Call `run` with the settings of the environment, write the summary of its report, return its exit code.

    What it raises is reported as a process that could not begin its work.
    """
    started_at = datetime.now(UTC)
    configure(None)
    try:
        settings = Settings.load()
        configure(settings.log_format, settings.log_level)
        with _traced(kind, settings):
            report = run(settings)
    except JobError as error:
        # The run has not begun: no attempt is recorded, and the Job's own backoff covers a longer outage.
        _log.error("cannot start", error_class=type(error).__name__, why=str(error))
        report = report_of(ending_of(error), kind, started_at, datetime.now(UTC))
    except Exception as error:  # noqa: BLE001 - the boundary of the process: no message that may quote data
        report = report_of(crash(error), kind, started_at, datetime.now(UTC))
    # Not from the settings: the summary may have to report that they are wrong.
    if path := os.environ.get(Env.TERMINATION_LOG):
        _write_summary(Path(path), report)
    return report.exit_code


@contextmanager
def _traced(kind: Kind, settings: Settings) -> Iterator[None]:
    """Send a trace of the process, where the settings say to whom."""
    if settings.otlp_endpoint is None:
        yield
        return
    # OpenTelemetry costs 0.2 s and 15 MB: only who wants traces pays for it.
    from catchup_jobs.adapters.tracing import OpenTelemetryTracer  # noqa: PLC0415

    resource = {
        "k8s.cronjob.name": settings.cronjob_name,
        "k8s.job.name": settings.job_name,
        "k8s.pod.uid": settings.pod_uid or "",
    }
    tracer = OpenTelemetryTracer(
        traceparent=settings.traceparent, resource={name: value for name, value in resource.items() if value}
    )
    trace_with(tracer)
    try:
        with tracer.process(kind.name):
            yield
    finally:
        trace_with(None)


def perform(run: Run, settings: Settings, body: Body) -> Report:
    """Run a job in this process, with the database and the locks of the settings.

    Raises:
        JobError: the run could not begin.
    """
    with (
        # First: a container's first process ignores SIGTERM until it has a handler.
        current_process(settings.pod_uid or str(uuid.uuid4())) as process,
        open_database(settings, process) as database,
        locks_of(run.kind, settings, database) as locks,
        closing(Clients()) as clients,
    ):
        resources = Resources(settings, database, clients)
        return run_job(
            lambda context: body(context, resources),
            run,
            store=DatabaseRunStore(database),
            locks=locks,
            process=process,
            deadline_seconds=settings.deadline_seconds(run.kind),
        )


@contextmanager
def locks_of(kind: Kind, settings: Settings, database: Database) -> Iterator[RunLocks]:
    """Open the locks of the settings, for a kind of job. Raises MisconfiguredError."""
    with _open_locks(settings, database) as locks:
        yield OptionalLocks(locks) if kind.redis_optional else locks


@contextmanager
def _open_locks(settings: Settings, database: Database) -> Iterator[RunLocks]:
    url = settings.redis_url
    if url is None:
        file = Path(database.engine.url.database or "")
        yield FileLocks(file.with_name(f"{file.name}.locks"))
        return
    from catchup_jobs.adapters.redis.locks import RedisLocks  # noqa: PLC0415 - a laptop does without

    with closing(RedisLocks.open(url)) as locks:
        yield locks


def _write_summary(path: Path, report: Report) -> None:
    try:
        path.write_text(report.summary.to_json(), encoding="utf-8")
    except OSError as error:
        # The Job's conditions still show how it ended; only the counts are missing.
        sys.stderr.write(f"cannot write the summary to {path}: {error.strerror}\n")
