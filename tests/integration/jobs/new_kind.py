"""A kind of job that the product does not have: one record, and this module with its command and body."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from catchup_contract.kinds import KINDS, Deadlines, Kind
from catchup_contract.summary import Count
from catchup_jobs import cli
from catchup_jobs.cli.jobs.job_runner import Body, execute
from catchup_jobs.cli.jobs.registry import JOB_MODULES, JobModule
from catchup_jobs.cli.resources import Resources
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import TemporaryError

GREETING: Final = Kind("greeting", Deadlines(starting=60, active=60), retries=1)


@click.command()
@click.option("--user", "user_id", required=True)
def greeting(user_id: str) -> None:
    """Greet a user."""
    sys.exit(execute(GREETING, user_id, body_of(user_id)))


def body_of(subject: str) -> Body:
    """Return the body, which fails as long as the environment says so."""

    def body(context: RunContext, _resources: Resources) -> Result:
        assert (context.subject, context.run.kind) == (subject, GREETING)
        if "NOBODY_HOME" in os.environ:
            raise TemporaryError("nobody is home")
        return Result(counts={Count.USERS: 1})

    return body


def main() -> None:
    """Run `catchup-jobs` with this kind."""
    KINDS[GREETING.name] = GREETING
    JOB_MODULES[GREETING.name] = JobModule(__name__, "Greet a user.")
    cli.main()
