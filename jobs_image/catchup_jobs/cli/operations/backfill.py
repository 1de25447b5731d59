"""`catchup-jobs backfill`: syncs of many users now."""

from __future__ import annotations

import re
import shlex
import sys
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TextIO

import click

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import ExitCode, advice_of
from catchup_contract.timestamps import format_utc, parse_rfc3339
from catchup_jobs.adapters.database.pools.members import syncable_members
from catchup_jobs.adapters.database.pools.ticks import SILENT_AFTER, is_silent, last_tick
from catchup_jobs.adapters.database.runs.listing import ended_since
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.files.text_file import read_text
from catchup_jobs.adapters.process import current_process
from catchup_jobs.cli.jobs.job_runner import locks_of
from catchup_jobs.cli.jobs.registry import body_of
from catchup_jobs.cli.jobs.threads import ThreadClients
from catchup_jobs.cli.log import configure
from catchup_jobs.cli.operations.pool import silence
from catchup_jobs.cli.parameters import POOL_NAME, USER_ID
from catchup_jobs.cli.resources import Resources, open_database
from catchup_jobs.cli.tables import AGE
from catchup_jobs.domain.text import clean
from catchup_jobs.jobs.pool.backfill import Backfill, BackfillResult, exit_of
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, Run, RunLocks
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.endings import Report

_CONNECTIONS: Final = 4
"""The connections to PostgreSQL of a backfill."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_MINUTE: Final = 60
_SILENT: Final = SILENT_AFTER // timedelta(minutes=1)
_MAX_TEXT: Final = 40
"""Letters of a wrong line of `--users` that are shown."""


class Rate(click.ParamType[str]):
    """A rate such as `2/s`."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it, or fail by naming what is allowed."""
        if re.fullmatch(r"[1-9][0-9]{0,4}/[smh]", str(value), re.ASCII) is None:
            self.fail("a rate is a number from 1 to 99999 and /s, /m or /h: 2/s, 30/m", param, ctx)
        return str(value)


def interval_of(rate: str) -> timedelta:
    """Return the time between two starts at a rate."""
    number, _, unit = rate.partition("/")
    return timedelta(seconds=_UNITS[unit]) / int(number)


class Since(click.ParamType[datetime]):
    """An instant in RFC 3339, or how long ago it was."""

    name = "since"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return it, or fail by naming what is allowed."""
        now = datetime.now(UTC)
        try:
            since = parse_rfc3339(str(value))
        except ValueError:
            if re.fullmatch("[0-9]+[mhd]", str(value)):
                return now - AGE.convert(value, param, ctx)
            self.fail("a time is in RFC 3339, or how long ago: 2026-11-29T08:00:00Z, 90m, 36h", param, ctx)
        if since > now:
            self.fail(
                f"{format_utc(since)} is in the future: give the time at which the first backfill began", param, ctx
            )
        return since


@click.command()
@click.option(
    "--users", "file", type=click.File(encoding="utf-8"), help="A file with a user's id on each line; - reads them."
)
@click.option("--pool", type=POOL_NAME, help="All members of this pool whose calendars are synced.")
@click.option("--rate", type=Rate(), default="2/s", metavar="RATE", help="Start so many. Default: 2/s.")
@click.option(
    "--since",
    type=Since(),
    metavar="TIME",
    help="Pass over who was synced since then: a time, or an age such as 6h. Default: the start of this command.",
)
@click.option("--unserved", is_flag=True, help=f"Also of a pool of which no pod has run for {_SILENT} minutes.")
def backfill(*, file: TextIO | None, pool: str | None, rate: str, since: datetime | None, unserved: bool) -> None:
    """Sync many users now, whether they are due or not, at a rate.

    8 users at a time at most, and never faster than Google's quota for the project admits. Each sync is as one by
    hand. A failure is printed when it comes, one a line; what was given up is in `failures list`, too, a user whom the
    database does not know is not. SIGTERM or Ctrl-C ends the syncs that were begun. To continue, run the command that
    is printed at the start: it passes over who has been synced meanwhile.

    Who is a member of a pool is what its pods read last. So a pool of which none has run for 60 minutes is refused: it
    may be deleted or suspended. --unserved takes the members that it had, such as while no pods start.

    Exit 0 if everybody was synced, 65 if a user failed, 75 if users are left, 78 if a setting is wrong.

    \b
    Examples:
      catchup-jobs backfill --pool people
      psql -Atc 'select id from users' | catchup-jobs backfill --users - --rate 5/s
      catchup-jobs backfill --pool people --since 2026-11-29T08:00:00Z
    """
    if (file is None) == (pool is None):
        raise click.UsageError("Give --users FILE or --pool NAME.")
    start = since or datetime.now(UTC)
    settings = Settings.load()
    # Of runs that end well the counts suffice.
    configure(settings.log_format, "error")
    with (
        current_process(str(uuid.uuid4())) as process,
        open_database(settings, connections=_CONNECTIONS) as database,
        locks_of(SYNC, settings, database) as locks,
        closing(ThreadClients()) as clients,
    ):
        user_ids = _read(file) if file is not None else _members(database, pool or "", process.now(), unserved=unserved)
        if not user_ids:
            raise PermanentError(
                "there is nobody to sync: " + (f"pool {pool} has no members" if pool else "no user ids")
            )
        runs = _Runs(settings, database, locks, process, clients)
        output = _Output(_command(file, pool, rate, start, unserved=unserved), began=process.now())
        output.begin(len(user_ids))
        result = Backfill(
            serve=runs.serve,
            passed_of=lambda page: ended_since(database, SYNC, page, start),
            process=process,
            interval=interval_of(rate),
            on_end=output.ended,
            on_progress=output.progress,
        )(user_ids)
    output.over(result)
    sys.exit(exit_of(result))


def _read(file: TextIO) -> list[str]:
    """Return the users of a file, each once. Raises BadParameter with the line that is no user's id."""
    user_ids: dict[str, None] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        try:
            if text := line.strip():
                user_ids[USER_ID.convert(text, None, None)] = None
        except click.BadParameter as error:
            message = f'line {number}, "{clean(text, _MAX_TEXT)}": {error.message}'
            raise click.BadParameter(message, param_hint="--users") from None
    return list(user_ids)


def _members(database: Database, pool: str, now: datetime, *, unserved: bool) -> list[str]:
    """Return the members of a pool. Raises PermanentError where nobody serves them, without `unserved`."""
    user_ids = syncable_members(database, pool, now=now)
    with database.read() as connection:
        tick = last_tick(connection, pool)
    if user_ids and is_silent(tick, now) and not unserved:
        message = f"{silence(pool, tick)}; --unserved syncs the {len(user_ids)} members that it had all the same"
        raise PermanentError(message)
    return user_ids


def _command(file: TextIO | None, pool: str | None, rate: str, start: datetime, *, unserved: bool) -> str:
    """Return the command that goes on with a backfill, and what standard input must have then."""
    users, given = f"--pool {pool}{' --unserved' if unserved else ''}", ""
    if file is not None:
        is_stdin = file.name == sys.stdin.name
        users = f"--users {'-' if is_stdin else shlex.quote(file.name)}"
        given = " (with the same users on standard input)" if is_stdin else ""
    return f"catchup-jobs backfill {users} --rate {rate} --since {format_utc(start)}{given}"


@dataclass(frozen=True)
class _Runs:
    """Makes the runs of users; `serve` is called from several threads and raises nothing."""

    settings: Settings
    database: Database
    locks: RunLocks
    process: Process
    clients: ThreadClients

    def serve(self, user_id: str) -> Report:
        """Sync a user."""
        body = body_of(SYNC, user_id)
        resources = Resources(self.settings, self.database, self.clients.get())
        return run_job(
            lambda context: body(context, resources),
            Run(SYNC, user_id, None, str(uuid.uuid4())),
            store=DatabaseRunStore(self.database),
            locks=self.locks,
            # What was begun is ended, also after a signal.
            process=replace(self.process, sleep=time.sleep, stopping=lambda: False),
            deadline_seconds=SYNC.deadlines.active,
        )


@dataclass
class _Output:
    """Prints failures to stdout and how far the backfill is to stderr."""

    command: str
    began: datetime

    def begin(self, users: int) -> None:
        """Print how to go on, should this process be killed."""
        click.echo(f"{users} users; to go on after an interruption: {self.command}", err=True)

    def ended(self, user_id: str, report: Report) -> None:
        """Print a run that failed."""
        if report.exit_code == ExitCode.DONE:
            return
        reason = report.summary.reason
        click.echo(f"{user_id}  {reason.value}: {advice_of(reason)}" if reason else f"{user_id}  failed")

    def progress(self, result: BackfillResult) -> None:
        """Print how far it is."""
        ended = result.served + result.skipped + result.failed
        seconds = (datetime.now(UTC) - self.began).total_seconds()
        left = f", about {_duration(result.left * seconds / ended)} left" if ended else ""
        click.echo(f"{result.total - result.left} of {result.total}: {_counts(result)}{left}", err=True)

    def over(self, result: BackfillResult) -> None:
        """Print what was done, and how to go on."""
        click.echo(f"{result.total} users: {_counts(result)}{f', {result.left} left' if result.left else ''}", err=True)
        if result.cause is not None and result.cause.summary.reason is not None:
            click.echo(f"stopped: {advice_of(result.cause.summary.reason)}", err=True)
        if result.error is not None:
            click.echo(f"stopped: {result.error}", err=True)
        if result.left or result.failed:
            click.echo(f"to go on: {self.command}", err=True)


def _counts(result: BackfillResult) -> str:
    counts = {
        "synced": result.served,
        "skipped": result.skipped,
        "failed": result.failed,
        "passed over": result.passed,
    }
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _duration(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 2 * _MINUTE else f"{round(seconds / _MINUTE)} min"
