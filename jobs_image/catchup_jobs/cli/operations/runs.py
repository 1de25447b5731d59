"""`catchup-jobs runs`: the latest runs and how they ended."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import NO_NEWS, advice_of
from catchup_jobs.adapters.database.runs.listing import DatabaseHistory, Failure, PastRun
from catchup_jobs.adapters.database.runs.retention import FAILED_RUNS_KEPT
from catchup_jobs.cli.parameters import KIND, OneOf
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import (
    EXIT_FAILURES,
    JSON,
    age_of,
    echo_field,
    echo_json,
    echo_rows,
    json_value,
    limit_option,
    output_option,
)
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.settings import Settings

_COLUMNS = {
    "kind": "KIND",
    "subject": "USER",
    "slot": "SLOT",
    "state": "STATE",
    "reason": "REASON",
    "attempts": "ATTEMPTS",
    "started": "STARTED",
    "seconds": "SECONDS",
}


@click.group()
def runs() -> None:
    """See what ran, and how it ended."""


@runs.command("list")
@click.option("--kind", type=KIND, help="Only runs of this kind.")
@click.option("--user", "subject", metavar="ID", help="Only this user's runs (or a shard's, of suggestions).")
@click.option("--state", type=OneOf(RunState), help="Only runs that are in this state.")
@limit_option
@output_option
def list_(*, kind: Kind | None, subject: str | None, state: RunState | None, limit: int, output: str) -> None:
    """Show runs, the latest first: the last one of each kind and user, and failures of 90 days.

    SLOT is the time that the CronJob meant, `-` for a run by hand. Firings of a digest at which nothing was due are
    left out. JSON has the counts and the run's key too. Exit 1 if the last one shown of a kind and user failed; a run
    that found its work done does not count.

    \b
    Examples:
      catchup-jobs runs list --user ada
      catchup-jobs runs list --state failed --output json
    """
    now = datetime.now(UTC)
    with open_database(Settings.load()) as database:
        runs = DatabaseHistory(database).runs(kind=kind, subject=subject, state=state, limit=limit)
    echo_rows(_COLUMNS, [_row(run, now) for run in runs], output)
    if not runs and output != JSON:
        click.echo("no runs", err=True)
    # A failure counts only while no later run of its kind and subject succeeded.
    last = {(run.kind, run.subject): run.state for run in reversed(runs) if run.reason not in NO_NEWS}
    sys.exit(EXIT_FAILURES if RunState.FAILED in last.values() else 0)


@runs.command()
@click.argument("key", metavar="RUN-KEY")
@output_option
def show(*, key: str, output: str) -> None:
    """Show one run in full: what it did, why it ended so, and what comes next. Exit 1 if it failed.

    A run's key is `KIND:USER:SLOT`, the slot in UTC; for a Job that was made by hand the slot is the Job's uid.
    `runs list --output json` has the keys.

    \b
    Example:
      catchup-jobs runs show sync:ada:2026-11-24T08:30:00Z
    """
    with open_database(Settings.load()) as database:
        found = DatabaseHistory(database).run(key)
    if found is None:
        raise PermanentError(
            f"there is no run {key}; the latest of each kind and user is kept, and failures for"
            f" {FAILED_RUNS_KEPT.days} days: see `catchup-jobs runs list`"
        )
    run, letter = found
    row = _row(run, datetime.now(UTC))
    why = None if run.reason is None else advice_of(run.reason)
    following = _next(run, letter)
    if output == JSON:
        given_up = None if letter is None else {"reason": letter.reason, "errorClass": letter.error_class}
        values = {**row, "why": why, "next": following, "deadLetter": given_up}
        echo_json({name: json_value(value) for name, value in values.items()})
    else:
        for name, title in (("runKey", "KEY"), *_COLUMNS.items()):
            echo_field(title, row[name])
        for name, number in row["counts"].items():
            echo_field(name, number)
        if letter is not None:
            echo_field("LAST ERROR", f"{letter.error_class} ({letter.reason.value})")
        echo_field("WHY", why)
        echo_field("NEXT", following)
    sys.exit(EXIT_FAILURES if run.state is RunState.FAILED else 0)


def _next(run: PastRun, letter: Failure | None) -> str:
    """Return what comes after a run, in one sentence without a full stop."""
    if run.state is RunState.OPEN:
        return "it is under way, or its process died; a later run of any user then ends it as crashed"
    if run.state is RunState.RETRY:
        return "its Job starts another pod, which goes on where this one stopped"
    if letter is not None:
        return f"it waits for `catchup-jobs failures retry {run.run_key}`; the next slot runs in any case"
    return "the next slot runs in any case"


def _row(run: PastRun, now: datetime) -> dict[str, Any]:
    return {
        "runKey": run.run_key,
        "kind": run.kind.name,
        "subject": run.subject,
        "slot": run.slot,
        "state": run.state,
        "reason": run.reason,
        "attempts": run.attempts,
        "counts": {name.value: number for name, number in run.counts.items()},
        "startedAt": run.started_at,
        "finishedAt": run.finished_at,
        "started": f"{age_of(run.started_at, now)} ago",
        "seconds": f"{(run.finished_at - run.started_at).total_seconds():.1f}" if run.finished_at else None,
    }
