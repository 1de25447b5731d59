"""`catchup-jobs failures`: dead letters, which are kept until they are retried or discarded."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import click

from catchup_contract.kinds import KINDS, Kind
from catchup_contract.outcomes import ExitCode, Reason, advice_of
from catchup_jobs.adapters.database.runs.listing import DatabaseHistory, Failure, Failures
from catchup_jobs.cli.jobs.job_runner import perform
from catchup_jobs.cli.jobs.registry import body_of
from catchup_jobs.cli.log import configure
from catchup_jobs.cli.parameters import KIND, OneOf
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import AGE, EXIT_FAILURES, JSON, age_of, echo_rows, limit_option, output_option
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError
from catchup_jobs.jobs.run.ports import Run
from catchup_jobs.settings import Settings

_PAGE: Final = 500

_COLUMNS: Final = {
    "runKey": "RUN KEY",
    "reason": "REASON",
    "errorClass": "ERROR",
    "attempts": "ATTEMPTS",
    "age": "AGE",
}


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select dead letters, and pass them as one `Failures`."""

    @click.option("--kind", type=KIND, help="Only runs of this kind.")
    @click.option("--user", "subject", metavar="ID", help="Only this user's runs (or a shard's, of suggestions).")
    @click.option("--reason", type=OneOf(Reason), metavar="REASON", help="Only those that failed for this reason.")
    @click.option("--error-class", metavar="NAME", help="Only those whose last error was of this class.")
    @click.option("--older-than", type=AGE, metavar="AGE", help="Only those older than this: 90m, 36h, 7d.")
    @click.option("--newer-than", type=AGE, metavar="AGE", help="Only those newer than this.")
    @wraps(command)
    def with_choice(
        *,
        older_than: timedelta | None,
        newer_than: timedelta | None,
        kind: Kind | None,
        subject: str | None,
        reason: Reason | None,
        error_class: str | None,
        keys: tuple[str, ...] = (),
        **rest: Any,
    ) -> None:
        now = datetime.now(UTC)
        which = Failures(
            keys=keys,
            kind=kind,
            subject=subject,
            reason=reason,
            error_class=error_class,
            before=now - older_than if older_than else None,
            after=now - newer_than if newer_than else None,
        )
        command(which=which, **rest)

    return with_choice


@click.group()
def failures() -> None:
    """Runs that were given up: list, look at, retry or discard them.

    A run is given up when all of its attempts failed, when its data cannot work, or when its pods vanished. It is kept
    for 90 days, or until a later attempt of the same run succeeds.
    """


@failures.command("list")
@_chosen
@limit_option
@output_option
def list_(*, which: Failures, limit: int, output: str) -> None:
    """List failed runs, the oldest first; exit 1 if there are any, else 0.

    \b
    Examples:
      catchup-jobs failures list
      catchup-jobs failures list --kind digest --newer-than 24h --output json
    """
    now = datetime.now(UTC)
    with open_database(Settings.load()) as database:
        history = DatabaseHistory(database)
        failures = history.failures(which, limit=limit)
        total = len(failures) if len(failures) < limit else history.count_failures(which)
    echo_rows(_COLUMNS, [_row(failure, now) for failure in failures], output)
    if output != JSON:
        if total > len(failures):
            click.echo(f"and {total - len(failures)} more: narrow the choice, or give a larger --limit", err=True)
        if not failures:
            click.echo("no failures", err=True)
    sys.exit(EXIT_FAILURES if failures else 0)


@failures.command()
@click.argument("key", metavar="RUN-KEY")
@output_option
def show(*, key: str, output: str) -> None:
    """Show one failed run in full, and what to do about it.

    \b
    Example:
      catchup-jobs failures show sync:ada:2026-11-24T08:30:00Z
    """
    with open_database(Settings.load()) as database:
        failures = DatabaseHistory(database).failures(Failures(keys=[key]), limit=1)
    if not failures:
        raise PermanentError(f"no run {key} was given up: `catchup-jobs failures list` shows those that were")
    row = _row(failures[0], datetime.now(UTC))
    if output == JSON:
        echo_rows({}, [row], output)
        return
    for name, value in row.items():
        click.echo(f"{name:<11} {'-' if value is None else value}")
    click.echo(f"\n{advice_of(failures[0].reason)}")
    click.echo(f"retry:    catchup-jobs failures retry {key}\ndiscard:  catchup-jobs failures discard {key}")


@failures.command()
@click.argument("keys", metavar="[RUN-KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@_chosen
@output_option
def discard(*, which: Failures, everything: bool, output: str) -> None:
    """Delete failed runs from the list: those named, those selected by options, or all.

    \b
    Examples:
      catchup-jobs failures discard sync:ada:2026-11-24T08:30:00Z
      catchup-jobs failures discard --kind sync --older-than 7d
    """
    require_choice(which, everything=everything)
    with open_database(Settings.load()) as database:
        history = DatabaseHistory(database)
        if missing := set(which.keys) - {
            failure.run_key for failure in history.failures(which, limit=len(which.keys) or 1)
        }:
            raise PermanentError(f"nothing was discarded: no run {', '.join(sorted(missing))} was given up")
        count = history.discard(which)
    click.echo(json.dumps({"discarded": count}) if output == JSON else f"discarded {count}")


@failures.command()
@click.argument("keys", metavar="[RUN-KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option(
    "--every",
    "pause_seconds",
    type=click.IntRange(0, 3600),
    default=2,
    metavar="SECONDS",
    help="Pause between two runs. Default: 2.",
)
@_chosen
@output_option
def retry(*, which: Failures, everything: bool, pause_seconds: int, output: str) -> None:
    """Run failed runs again, one after the other, in this process.

    Each replay is a run of its own (`…:r1`) with attempts, lock and deadline, and repeats nothing that was done. A
    replay that fails is listed under its new key. Exit 0 if all replays succeeded, else 1.

    \b
    Examples:
      catchup-jobs failures retry sync:ada:2026-11-24T08:30:00Z
      catchup-jobs failures retry --reason unavailable --newer-than 6h --every 5
    """
    require_choice(which, everything=everything)
    settings = Settings.load()
    with open_database(settings) as database:
        chosen = _pages(DatabaseHistory(database), which)
    if missing := set(which.keys) - {failure.run_key for failure in chosen}:
        raise PermanentError(f"nothing was retried: no run {', '.join(sorted(missing))} was given up")
    if newer := {failure.kind.name for failure in chosen} - KINDS.keys():
        raise MisconfiguredError(
            f"nothing was retried: only a newer version runs {', '.join(sorted(newer))}; choose others by --kind"
        )
    configure(settings.log_format, settings.log_level)
    rows: list[dict[str, Any]] = []
    code = 0
    for number, failure in enumerate(chosen, start=1):
        if rows:
            time.sleep(pause_seconds)
        report = _replay(failure, settings)
        outcome, reason = report.summary.outcome, report.summary.reason
        rows.append({"runKey": failure.run_key, "outcome": outcome, "reason": reason, "exitCode": report.exit_code})
        if output != JSON:
            click.echo(f"[{number}/{len(chosen)}] {failure.run_key}  {outcome}{f' ({reason})' if reason else ''}")
        if reason is Reason.TERMINATED:
            click.echo(f"interrupted; {len(chosen) - number} were not begun", err=True)
            code = ExitCode.TEMPORARY
            break
        if report.exit_code != ExitCode.DONE:
            code = EXIT_FAILURES
    if output == JSON:
        echo_rows({}, rows, output)
    elif code != ExitCode.TEMPORARY:
        failed = sum(row["exitCode"] != ExitCode.DONE for row in rows)
        click.echo(f"{len(rows) - failed} ended well, {failed} failed again")
    sys.exit(code)


def _replay(failure: Failure, settings: Settings) -> Report:
    run = Run(failure.kind, failure.subject, failure.slot, manual_id="", replays=failure.run_key)
    return perform(run, settings, body_of(failure.kind, failure.subject))


def _pages(history: DatabaseHistory, which: Failures) -> list[Failure]:
    failures: list[Failure] = []
    while page := history.failures(
        which, limit=_PAGE, after=(failures[-1].created_at, failures[-1].run_key) if failures else None
    ):
        failures += page
    return failures


def require_choice(which: Failures, *, everything: bool) -> None:
    """Return if the command selects dead letters.

    Raises:
        click.UsageError: neither keys nor options nor `--all`, or `--all` beside them.
    """
    if everything is (which != Failures()):
        raise click.UsageError("name run keys, choose by options, or give --all (alone)")


def _row(failure: Failure, now: datetime) -> dict[str, Any]:
    return {
        "runKey": failure.run_key,
        "kind": failure.kind.name,
        "user": failure.subject,
        "slot": failure.slot,
        "reason": failure.reason,
        "errorClass": failure.error_class,
        "attempts": failure.attempts,
        "createdAt": failure.created_at,
        "age": age_of(failure.created_at, now),
    }
