"""`catchup-jobs pool`: the pools that have members, and how they do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import JSON, echo_rows, output_option
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.pools.overview import PoolOverview

_COLUMNS: Final = {
    "pool": "POOL",
    "kind": "KIND",
    "members": "MEMBERS",
    "userSchedules": "BY USERSCHEDULE",
    "held": "HELD",
    "due": "DUE",
    "inFlight": "IN FLIGHT",
    "failing": "FAILING",
    "waiting": "LONGEST WAIT",
}


@click.group()
def pool() -> None:
    """See which pools have members, and how they do."""


@pool.command()
@output_option
def show(output: str) -> None:
    """Show each pool and kind of job, one a line.

    HELD are enrolled users whom a UserSchedule names, so that the pool does not serve them by their enrolment. DUE are
    members who wait to be served, IN FLIGHT those who are being served, FAILING those with a run that was given up.

    \b
    Examples:
      catchup-jobs pool show
      catchup-jobs pool show --output json
    """
    now = datetime.now(UTC)
    with open_database(Settings.load()) as database:
        rows = [_row(overview, now) for overview in overviews(database, now=now)]
    echo_rows(_COLUMNS, rows, output)
    if not rows and output != JSON:
        click.echo(
            "no pool has members: name one with the key `pool` in the file of `catchup-jobs user import`", err=True
        )


def _row(overview: PoolOverview, now: datetime) -> dict[str, Any]:
    longest = overview.longest_due_at
    return {
        "pool": overview.pool,
        "kind": overview.kind.name,
        "members": overview.members,
        "userSchedules": overview.by_schedules,
        "held": overview.held,
        "due": overview.due,
        "inFlight": overview.in_flight,
        "failing": overview.failing,
        "waiting": None if longest is None else f"{int((now - longest).total_seconds())} s",
    }
