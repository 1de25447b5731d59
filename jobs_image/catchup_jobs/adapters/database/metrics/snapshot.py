"""All numbers of an installation at one time, read in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.metrics import activity, backlog, pools
from catchup_jobs.adapters.database.metrics.activity import Shard
from catchup_jobs.adapters.database.metrics.backlog import LateDigests, Overdue
from catchup_jobs.adapters.database.pools.last_syncs import oldest_syncs
from catchup_jobs.adapters.database.runs.counters import Total, totals

# Prometheus gives up a scrape after 10 s by default.
_STATEMENT_SECONDS: Final = 5
"""How long a statement of the exporter of metrics may take."""
# While half of a large fleet fails, a few questions take a tenth of a second each.
_REST_FACTOR: Final = 10_000
"""An answer for the metrics is told again for so many times what it took to find it."""

T = TypeVar("T")


class Answers:
    """What the questions of earlier readings were answered. Not for several threads at once."""

    def __init__(self, keep_at_most: timedelta, clock: Callable[[], float] = time.perf_counter) -> None:
        """Keep the answer to a dear question for at most so long; with 0 every question is asked in each reading.

        Args:
            clock: a clock in seconds, for what a question takes.
        """
        self._keep_at_most = keep_at_most
        self._clock = clock
        self._answers: dict[str, tuple[Any, float, datetime]] = {}

    def get(self, name: str, ask: Callable[[], T], now: datetime) -> tuple[T, float]:
        """Return the answer to a question and the seconds that it took.

        Args:
            ask: asks, which is done if the question has rested long enough at `now` (aware).
        """
        if name in self._answers:
            answer, seconds, asked_at = self._answers[name]
            rest = min(timedelta(seconds=seconds * _REST_FACTOR), self._keep_at_most)
            if asked_at <= now < asked_at + rest:
                return answer, seconds
        started = self._clock()
        answer = ask()
        seconds = self._clock() - started
        self._answers[name] = answer, seconds, now
        return answer, seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers; see the functions of `backlog`, `activity`, `pools` and `runs.counters` for each.

    Attributes:
        seconds: what each question took when it was asked last, by the name of its field.
    """

    ends: Sequence[Total]
    last_success: Mapping[str, datetime]
    overdue: Overdue
    failing: Mapping[tuple[str, ...], int]
    abandoned: Mapping[tuple[str, ...], int]
    unsettled: Mapping[tuple[str, ...], int]
    late_digests: LateDigests
    members: Mapping[str, int]
    late_members: Mapping[tuple[str, ...], int]
    failing_members: Mapping[tuple[str, ...], int]
    oldest_syncs: Mapping[str, datetime]
    tokens: Mapping[str, int]
    shards: Sequence[Shard]
    table_rows: Mapping[str, int]
    schema_version: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def take(database: Database, now: datetime, *, shards: int, earlier: Answers | None = None) -> Snapshot:
    """Read everything.

    Args:
        shards: into how many parts the fleet's suggestions are divided.
        earlier: dear questions are not asked that it has an answer to; those that are asked, it learns.

    Raises:
        JobError: the database cannot be used, or a question takes longer than `_STATEMENT_SECONDS`.
    """
    seconds: dict[str, float] = {}
    answers = earlier or Answers(timedelta(0))
    with database.read() as connection:
        if database.backend == "postgresql":
            # Parallel workers would take from the jobs what nobody waits for. To compile a statement takes longer than
            # to execute it: the planner expects more rows than the limits let through.
            connection.exec_driver_sql(
                f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s';"
                " SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
            )

        def ask(name: str, question: Callable[[Connection], T]) -> T:
            answer, seconds[name] = answers.get(name, lambda: question(connection), now)
            return answer

        members = ask("members", lambda asked: pools.members(asked, now))
        return Snapshot(
            ends=ask("ends", totals),
            last_success=ask("last_success", activity.last_successes),
            overdue=ask("overdue", lambda asked: backlog.overdue_syncs(asked, now)),
            failing=ask("failing", lambda asked: backlog.failing(asked, now)),
            abandoned=ask("abandoned", backlog.abandoned),
            unsettled=ask("unsettled", backlog.unsettled_deliveries),
            late_digests=ask("late_digests", lambda asked: backlog.late_digests(asked, now)),
            members=members,
            late_members=ask("late_members", lambda asked: pools.late_members(asked, members, now)),
            failing_members=ask("failing_members", lambda asked: pools.failing_members(asked, now)) if members else {},
            oldest_syncs=ask("oldest_syncs", lambda asked: oldest_syncs(asked, members, now)),
            tokens=ask("tokens", backlog.tokens),
            shards=ask("shards", lambda asked: activity.shards(asked, shards)),
            table_rows=ask("table_rows", activity.table_rows),
            schema_version=ask("schema_version", activity.schema_version),
            seconds=seconds,
        )
