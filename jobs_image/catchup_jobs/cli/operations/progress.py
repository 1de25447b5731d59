"""`catchup-jobs progress`: the progress of the suggestion run."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import click

from catchup_contract.kinds import SUGGESTIONS
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.runs.listing import DatabaseHistory
from catchup_jobs.adapters.database.suggestions.store import DatabaseSuggestionStore
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import JSON, output_option
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState
from catchup_jobs.jobs.suggestions.ports import PROGRESS_KEPT_SECONDS
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_SECONDS: Final = 1.0
_BAR_WIDTH: Final = 40
_RUNNING: Final = "running"


@click.command()
@output_option
@click.option("--once", is_flag=True, help="Print how far it is now, and do not stay.")
def progress(output: str, once: bool) -> None:
    """Show how far the suggestion run is: a bar for each shard on a terminal, else a line for each.

    On a terminal it stays until every shard is done. It reads Redis, where runs show their progress for 10 minutes;
    without Redis, the runs in the database.

    \b
    Examples:
      catchup-jobs progress
      catchup-jobs progress --output json | jq '.[] | .users'
    """
    settings = Settings.load()
    if settings.redis_url is not None:
        from catchup_jobs.adapters.redis.progress import RedisProgress  # noqa: PLC0415 - a laptop does without

        with closing(RedisProgress.open(settings.redis_url)) as progress:
            _show(lambda: {name: _numbers(fields) for name, fields in progress.read().items()}, output, once=once)
        return
    with open_database(settings) as database:
        history, store = DatabaseHistory(database), DatabaseSuggestionStore(database)

        def read() -> dict[str, dict[str, Any]]:
            latest = history.latest(SUGGESTIONS)
            total = max(store.user_count(), 1)
            return {
                subject: {
                    "state": _state(state),
                    "total": total,
                    **{count.value: number for count, number in counts.items()},
                }
                for subject, (state, counts) in latest.items()
            }

        _show(read, output, once=once)


def _state(state: RunState) -> str:
    return _RUNNING if state in UNFINISHED_RUNS else state.value


def _numbers(fields: dict[str, str]) -> dict[str, Any]:
    counted = {"total", *(count.value for count in Count)}
    return {name: int(value) if name in counted and value.isdecimal() else value for name, value in fields.items()}


def _show(read: Callable[[], dict[str, dict[str, Any]]], output: str, *, once: bool) -> None:
    shards = read()
    if output == JSON:
        click.echo(json.dumps([{"shard": name, **fields} for name, fields in shards.items()]))
    elif not shards:
        click.echo(
            f"no suggestion run is under way, and none ended in the last {PROGRESS_KEPT_SECONDS // 60} minutes",
            err=True,
        )
    elif once or not sys.stdout.isatty():
        for name, fields in shards.items():
            click.echo(_line(name, fields))
    else:
        _bars(read, shards)


def _line(name: str, fields: dict[str, Any]) -> str:
    users, total = fields.get(Count.USERS.value, 0), fields["total"]
    share = _share(fields)
    details = ", ".join(
        f"{fields.get(count.value, 0)} {text}"
        for count, text in (
            (Count.SUGGESTIONS_CREATED, "new"),
            (Count.SUGGESTIONS_MOVED, "moved"),
            (Count.SUGGESTIONS_EXPIRED, "expired"),
            (Count.USERS_SKIPPED, "users skipped"),
            (Count.USERS_FAILED, "users failed"),
        )
    )
    return f"shard {name}: {fields['state']}, {users} of about {total} users ({share:.0%}): {details}"


def _share(fields: dict[str, Any]) -> float:
    # The number of users of a shard is an estimate, and users come and go.
    if fields["state"] != _RUNNING or not fields["total"]:
        return 1.0
    return float(min(fields.get(Count.USERS.value, 0) / fields["total"], 1.0))


def _bars(read: Callable[[], dict[str, dict[str, Any]]], shards: dict[str, dict[str, Any]]) -> None:
    drawn = 0
    while True:
        if drawn:
            click.echo(f"\x1b[{drawn}F\x1b[J", nl=False)
        for name, fields in shards.items():
            click.echo(_bar(name, fields))
        drawn = len(shards)
        if all(fields["state"] != _RUNNING for fields in shards.values()):
            return
        time.sleep(_INTERVAL_SECONDS)
        shards = read()


def _bar(name: str, fields: dict[str, Any]) -> str:
    users, share = fields.get(Count.USERS.value, 0), _share(fields)
    full = round(share * _BAR_WIDTH)
    made = fields.get(Count.SUGGESTIONS_CREATED.value, 0)
    return f"shard {name:>3} [{'█' * full}{'·' * (_BAR_WIDTH - full)}] {share:4.0%} {users} users, {made} new"
