"""All numbers of an installation at one time, read in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Connection

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.fleet import activity, trouble
from catchup_jobs.adapters.database.fleet.activity import Shard
from catchup_jobs.adapters.database.fleet.pools import PoolNumbers, pool_numbers
from catchup_jobs.adapters.database.fleet.trouble import Overdue
from catchup_jobs.adapters.database.runs.counters import Total, totals

# Prometheus gives up a scrape after 10 s by default.
_STATEMENT_SECONDS: Final = 5
"""How long a statement of the exporter of metrics may take."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers; see the functions of `trouble`, `activity` and `runs.counters` for each.

    Attributes:
        seconds: what each question took, by the name of its field.
    """

    ends: Sequence[Total]
    last_success: Mapping[str, datetime]
    overdue: Overdue
    failing: Mapping[tuple[str, ...], int]
    abandoned: Mapping[tuple[str, ...], int]
    unsettled: Mapping[tuple[str, ...], int]
    late_digests: int
    pools: PoolNumbers
    tokens: Mapping[str, int]
    shards: Sequence[Shard]
    table_rows: Mapping[str, int]
    schema_version: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def take(database: Database, now: datetime, *, shards: int) -> Snapshot:
    """Read everything.

    Args:
        shards: into how many parts the fleet's suggestions are divided.

    Raises:
        JobError: the database cannot be used, or a question takes longer than five seconds.
    """
    seconds: dict[str, float] = {}
    with database.read() as connection:
        if database.backend == "postgresql":
            # Parallel workers would take from the jobs what nobody waits for.
            connection.exec_driver_sql(
                f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'; SET LOCAL max_parallel_workers_per_gather = 0"
            )

        def ask(name: str, question: Callable[[Connection], T]) -> T:
            started = time.perf_counter()
            try:
                return question(connection)
            finally:
                seconds[name] = time.perf_counter() - started

        return Snapshot(
            ends=ask("ends", totals),
            last_success=ask("last_success", activity.last_successes),
            overdue=ask("overdue", lambda asked: trouble.overdue_syncs(asked, now)),
            failing=ask("failing", lambda asked: trouble.failing(asked, now)),
            abandoned=ask("abandoned", trouble.abandoned),
            unsettled=ask("unsettled", trouble.unsettled_deliveries),
            late_digests=ask("late_digests", lambda asked: trouble.late_digests(asked, now)),
            pools=ask("pools", lambda asked: pool_numbers(asked, now)),
            tokens=ask("tokens", trouble.tokens),
            shards=ask("shards", lambda asked: activity.shards(asked, shards)),
            table_rows=ask("table_rows", activity.table_rows),
            schema_version=ask("schema_version", activity.schema_version),
            seconds=seconds,
        )
