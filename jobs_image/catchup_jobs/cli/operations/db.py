"""`catchup-jobs db`: migrations and the schema's version."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import click

from catchup_contract.outcomes import ExitCode
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.hints import MIGRATE_HINT
from catchup_jobs.adapters.database.migrate import SchemaStatus, status, upgrade
from catchup_jobs.adapters.time_limit import OverTimeError, within
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.settings import Settings


@click.group()
def db() -> None:
    """Migrate the database's schema, or show its version.

    The database is CATCHUP_DATABASE_URL, or without it a SQLite file under ~/.local/share/catchup-jobs.
    """


@db.command()
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Keep trying for this long if the database cannot be reached. Default: 0.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="End if it takes longer than this, with the wait; nothing is changed then. Default: no limit.",
)
def migrate(*, wait_seconds: int, timeout_seconds: int | None) -> None:
    """Apply all missing migrations in one transaction. It can be repeated, also concurrently.

    \b
    Example:
      CATCHUP_DATABASE_URL=postgresql://catchup@db/catchup catchup-jobs db migrate --wait 60
    """
    settings = Settings.load()

    def run() -> tuple[SchemaStatus, SchemaStatus]:
        return _reached(settings.database_url, wait_seconds), upgrade(settings.database_url)

    try:
        before, after = run() if timeout_seconds is None else within(timeout_seconds, run)
    except OverTimeError:
        # The end of this process ends the transaction.
        raise TemporaryError(f"the migration was not over within {timeout_seconds} s") from None
    if before == after:
        click.echo(f"{after.backend}: nothing to do, the schema is at revision {after.current:04d}")
    else:
        click.echo(f"{after.backend}: migrated from revision {before.current:04d} to {after.current:04d}")


@db.command("status")
def show_status() -> None:
    """Print the schema's revision and the one that this version needs; exit 0 if it fits, 75 if it is behind.

    \b
    Example:
      catchup-jobs db status
    """
    with closing(Database.open(Settings.load().database_url)) as database:
        schema = status(database)
    verdict, code = _verdict(schema)
    click.echo(f"backend   {schema.backend}")
    click.echo(f"current   {f'{schema.current:04d}' if schema.current else 'none'}")
    click.echo(f"wanted    {schema.wanted:04d}")
    click.echo(f"status    {verdict}")
    sys.exit(code)


def _reached(url: str, wait_seconds: int) -> SchemaStatus:
    until = time.monotonic() + wait_seconds
    announced = False
    while True:
        try:
            with closing(Database.open(url)) as database:
                return status(database)
        except TemporaryError as error:
            if time.monotonic() >= until:
                raise
            if not announced:
                click.echo(f"waiting up to {wait_seconds} s: {error}", err=True)
                announced = True
            time.sleep(1)


def _verdict(schema: SchemaStatus) -> tuple[str, ExitCode]:
    if schema.refuses_us:
        return f"needs code of revision {schema.min_code:04d} or newer: upgrade catchup-jobs", ExitCode.MISCONFIGURED
    if not schema.is_current:
        return f"behind: {MIGRATE_HINT}", ExitCode.TEMPORARY
    return "current" if schema.current == schema.wanted else "newer, and still fits this version", ExitCode.DONE
