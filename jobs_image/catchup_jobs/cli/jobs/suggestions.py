"""`catchup-jobs suggestions`: who to catch up with, for the whole fleet or one user."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

import click

from catchup_contract.env import Env
from catchup_contract.kinds import SUGGESTIONS
from catchup_jobs.adapters.database.suggestions.store import DatabaseSuggestionStore
from catchup_jobs.cli.jobs.job_runner import execute
from catchup_jobs.cli.parameters import USER_ID
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError
from catchup_jobs.jobs.suggestions.job import BATCH_SIZE, FleetSuggestions, NoProgressReporter, UserSuggestions
from catchup_jobs.jobs.suggestions.reading import Shard
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.adapters.redis.progress import RedisProgress
    from catchup_jobs.cli.jobs.job_runner import Body
    from catchup_jobs.cli.resources import Resources
    from catchup_jobs.jobs.run.context import Result, RunContext

# A run for one user is no shard's.
_USER: Final = "user:"


@click.command()
@click.option("--user", "user_id", type=USER_ID, help="Plan for this user only.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 500),
    default=BATCH_SIZE,
    show_default=True,
    help="Users that are read and stored at once.",
)
@click.option("--after", type=USER_ID, metavar="ID", help="Leave out users up to this id.")
def suggestions(user_id: str | None, batch_size: int, after: str | None) -> None:
    """Plan who to catch up with in the next 14 days, and move or expire what no longer fits.

    Goes through all users, or through one shard of them where CATCHUP_SUGGESTION_SHARDS and JOB_COMPLETION_INDEX say
    so (an Indexed Job's pod). Users who paused, or whose calendars are not connected and synced within 24 hours, are
    skipped and counted; a user who cannot be planned is counted and the others go on. Running it twice changes
    nothing.

    \b
    Examples:
      catchup-jobs suggestions
      catchup-jobs suggestions --user ada
      catchup-jobs suggestions --after user-4711 --batch-size 100
    """
    if user_id is not None and after:
        raise click.UsageError("--after goes with all users, not with --user")
    subject = f"{_USER}{user_id}" if user_id is not None else _shard_of_this_process()
    sys.exit(execute(SUGGESTIONS, subject, body_of(subject, batch_size=batch_size, after=after or "")))


def body_of(subject: str, *, batch_size: int = BATCH_SIZE, after: str = "") -> Body:
    """Return the planning of a shard (`0`, `1`, …) or of one user (`user:ada`), for `job_runner` to run."""

    def body(context: RunContext, resources: Resources) -> Result:
        settings, store = resources.settings, DatabaseSuggestionStore(resources.database)
        if subject.startswith(_USER):
            return UserSuggestions(store, subject.removeprefix(_USER), settings.planning_options)(context)
        shard = Shard(int(subject), settings.shards)
        if shard.index >= shard.of:
            raise MisconfiguredError(f"there is no shard {subject}: {Env.SUGGESTION_SHARDS} says how many there are")
        with ExitStack() as stack:
            url = settings.redis_url
            reporter = NoProgressReporter() if url is None else stack.enter_context(closing(_reporter(url)))
            return FleetSuggestions(store, reporter, shard, batch_size, after, settings.planning_options)(context)

    return body


def _shard_of_this_process() -> str:
    try:
        return str(Settings.load().shard)
    except JobError as error:
        # A pod must say so by the contract, in its summary.
        refusal = error

    def refused(_context: RunContext, _resources: Resources) -> Result:
        raise refusal

    sys.exit(execute(SUGGESTIONS, "0", refused))


def _reporter(url: str) -> RedisProgress:
    from catchup_jobs.adapters.redis.progress import RedisProgress  # noqa: PLC0415 - a laptop does without

    return RedisProgress.open(url)
