"""`catchup-jobs pool`: the pools that have members, and how they do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import advice_of
from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.pools.known import is_known_pool
from catchup_jobs.adapters.database.pools.lateness import late_members
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.pools.ticks import is_silent, last_tick
from catchup_jobs.adapters.database.pools.trouble import failing_members
from catchup_jobs.cli.parameters import POOL_NAME, OneRecord
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import JSON, echo_rows, limit_option, output_option
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.pools.lateness import LateMember
    from catchup_jobs.adapters.database.pools.overview import PoolOverview
    from catchup_jobs.adapters.database.pools.trouble import Trouble

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
    "lastTick": "LAST TICK",
}
_MEMBER_COLUMNS: Final = {
    "user": "USER",
    "by": "BY",
    "kind": "KIND",
    "trouble": "TROUBLE",
    "since": "SINCE",
    "advice": "WHAT TO DO",
}
_KIND: Final = OneRecord("kind", {kind.name: kind for kind in user_kinds()})
_LATE_ADVICE: Final = "due and not served in time; see whether its run waits for a quota: `catchup-jobs runs list`"


@click.group()
def pool() -> None:
    """See which pools have members, and how they do."""


@pool.command()
@output_option
def show(output: str) -> None:
    """Show each pool and kind of job, one a line.

    MEMBERS are whom the pool serves, without those who are suspended. HELD are enrolled users whom the pool does not
    serve: a UserSchedule names them, or the members of the pool are UserSchedules. DUE are members who wait to be
    served, IN FLIGHT those who are being served, FAILING those whose last run failed or asks somebody to act: see
    `catchup-jobs pool members`. LAST TICK is when a pod of the pool has run last, within 5 minutes; a pool of which
    none has run for 60 minutes is deleted or suspended, or its pods do not start.

    \b
    Examples:
      catchup-jobs pool show
      catchup-jobs pool show --output json
    """
    now = datetime.now(UTC)
    with open_database(Settings.load()) as database:
        rows = [_row(overview, now) for overview in overviews(database, now=now)]
    if output != JSON:
        rows = [{**row, "waiting": _seconds(row["waitingSeconds"])} for row in rows]
    echo_rows(_COLUMNS, rows, output)
    for name, tick in {row["pool"]: row["lastTick"] for row in rows}.items():
        if is_silent(tick, now):
            click.echo(silence(name, tick), err=True)
    if not rows and output != JSON:
        click.echo(
            "no pool has members: name one with the key `pool` in the file of `catchup-jobs user import`", err=True
        )


@pool.command()
@click.argument("name", metavar="POOL", type=POOL_NAME)
@click.option("--late", "is_late", is_flag=True, help="Only members who are due and were not served in time.")
@click.option("--failing", is_flag=True, help="Only members whose last run failed or asks somebody to act.")
@click.option("--kind", type=_KIND, help="Only this kind of job.")
@limit_option
@output_option
def members(*, name: str, is_late: bool, failing: bool, kind: Kind | None, limit: int, output: str) -> None:
    """Show the members of a pool who are late or failing, one a line; without an option both.

    SINCE is the slot that waits of a late member, and the end of the last run of a failing one.

    \b
    Examples:
      catchup-jobs pool members people --late
      catchup-jobs pool members people --failing --kind sync --output json
    """
    now, both = datetime.now(UTC), is_late == failing
    kinds = [each for each in user_kinds() if kind in {None, each}]
    with open_database(Settings.load()) as database:
        if not is_known_pool(database, name):
            raise PermanentError(
                f"no pool {name} is known: it has no member, nobody is enrolled in it, and no pod of it has run; "
                "`catchup-jobs pool show` has the pools"
            )
        # One more than are shown says that there are more.
        with database.read() as connection:
            tick = last_tick(connection, name)
            lates = [*_late_rows(connection, name, kinds, now, limit + 1)] if is_late or both else []
            failings = [*_failing_rows(connection, name, kinds, now, limit + 1)] if failing or both else []
    rows = shared(lates, failings, limit)
    echo_rows(_MEMBER_COLUMNS, rows, output)
    if is_silent(tick, now):
        click.echo(silence(name, tick), err=True)
    if len(rows) < len(lates) + len(failings):
        click.echo(
            f"there are more than these {len(rows)}: raise --limit, or choose by --late, --failing, --kind", err=True
        )
    if not rows and output != JSON:
        click.echo(f"no member of {name} is in trouble; `catchup-jobs pool show` has all pools", err=True)


def silence(pool: str, tick: datetime | None) -> str:
    """Return what is said of a pool that nobody serves, of which a pod has run last at `tick` (None: never)."""
    since = "has run" if tick is None else f"has run since {format_utc(tick)}"
    return (
        f"no pod of the pool {pool} {since}, so that nobody serves its members: see with `kubectl get schedulepools -A`"
        " whether there is such a pool, and whether it is suspended"
    )


def shared(lates: list[dict[str, Any]], failings: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return at most `limit` rows of both: half of each, and what one leaves is the other's."""
    late_rows = min(len(lates), max(limit - len(failings), (limit + 1) // 2))
    return [*lates[:late_rows], *failings[: limit - late_rows]]


def _late_rows(
    connection: Connection, pool: str, kinds: list[Kind], now: datetime, limit: int
) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        for one in late_members(connection, pool, kind, now=now, limit=limit):
            yield _member_row(one, kind, "late", _LATE_ADVICE)


def _failing_rows(
    connection: Connection, pool: str, kinds: list[Kind], now: datetime, limit: int
) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        for one in failing_members(connection, pool, kind, now=now, limit=limit):
            yield _member_row(one, kind, one.reason.value, advice_of(one.reason))


def _member_row(member: Trouble | LateMember, kind: Kind, trouble: str, advice: str) -> dict[str, Any]:
    return {
        "user": member.user_id,
        "by": "enrolment" if member.uid is None else "UserSchedule",
        "kind": kind.name,
        "trouble": trouble,
        "since": member.since,
        "advice": advice,
    }


def _seconds(seconds: int | None) -> str | None:
    return None if seconds is None else f"{seconds} s"


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
        "waitingSeconds": None if longest is None else int((now - longest).total_seconds()),
        "lastTick": overview.last_tick,
    }
