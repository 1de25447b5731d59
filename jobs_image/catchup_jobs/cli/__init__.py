"""The `catchup-jobs` command.

A subcommand's module is imported when it is called: `--help` imports click only, and a pod its own job only.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final

import click

from catchup_contract.outcomes import ExitCode
from catchup_jobs.cli.jobs.registry import JOB_MODULES
from catchup_jobs.domain.text import printable

# Subcommand -> module that defines it under the same name, and its line in `--help`; beside those of the kinds of job.
_COMMANDS: Final = {
    "progress": ("catchup_jobs.cli.operations.progress", "Show how far the suggestion run is."),
    "suggestion": ("catchup_jobs.cli.users.suggestion", "See and answer suggestions."),
    "calendar": ("catchup_jobs.cli.users.calendar", "Connect a Google Calendar and choose what blocks."),
    "user": ("catchup_jobs.cli.users.user", "Import, show and delete users."),
    "schedule": ("catchup_jobs.cli.users.schedule", "Print UserSchedule resources for users in the database."),
    "pool": ("catchup_jobs.cli.operations.pool", "See which pools have members, and how they do."),
    "runs": ("catchup_jobs.cli.operations.runs", "See what ran, and how it ended."),
    "backfill": ("catchup_jobs.cli.operations.backfill", "Sync many users now, at a rate."),
    "failures": ("catchup_jobs.cli.operations.failures", "List, retry or discard runs that were given up."),
    "deliveries": ("catchup_jobs.cli.operations.deliveries", "See which messages went out, and what became of them."),
    "metrics": ("catchup_jobs.cli.operations.metrics", "Serve the numbers of the installation for Prometheus."),
    "tokens": ("catchup_jobs.cli.operations.tokens", "Replace the keys that seal tokens and addresses."),
    "db": ("catchup_jobs.cli.operations.db", "Bring the database's schema up to date, or see where it stands."),
}


def _commands() -> dict[str, tuple[str, str]]:
    return {name: (job.module, job.help) for name, job in JOB_MODULES.items()} | _COMMANDS


class _LazyGroup(click.Group):
    """Loads a subcommand's module when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        commands = _commands()
        if cmd_name not in commands:
            return None
        command = getattr(import_module(commands[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the tables are ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in _commands().items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done or nothing to do, 65 wrong input (the same again cannot work), 75 temporary (try again"
    " later), 78 misconfigured.",
)
@click.version_option(package_name="catchup-jobs")
def cli() -> None:
    """CatchUp's background jobs.

    Settings come from CATCHUP_* environment variables. With none set, everything is kept in a SQLite file under
    ~/.local/share/catchup-jobs, and no server is needed.

    \b
    Examples:
      catchup-jobs user import users.json
      catchup-jobs calendar connect ada --installed-app
      catchup-jobs sync --user ada
      catchup-jobs suggestions
      catchup-jobs digest --user ada
      catchup-jobs schedule render | kubectl apply -f -
      catchup-jobs db status
    """


def main() -> None:
    """Run the command and exit with a code of `catchup_contract.outcomes`; no mistake of a user prints a traceback."""
    # The process is short, and its imports make few cycles: garbage collection at the default rate would take a tenth
    # of its CPU.
    gc.set_threshold(100_000)
    # A container's first process ignores signals without a handler, and the imports take time. Before a job handles
    # SIGTERM itself, nothing is open that must be closed.
    signal.signal(signal.SIGTERM, _terminated_early)
    from catchup_jobs.jobs.run.errors import JobError  # noqa: PLC0415 - light, but not needed by --help

    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        # Also for a usage error: the same arguments fail at the next attempt too.
        sys.exit(ExitCode.PERMANENT)
    except BrokenPipeError:
        # The reader closed the pipe (`| head`); Python must not report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except JobError as error:
        from catchup_jobs.jobs.run.endings import ending_of  # noqa: PLC0415

        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(ending_of(error).exit_code)


def _terminated_early(_number: int, _frame: FrameType | None) -> None:
    os._exit(ExitCode.TEMPORARY)
