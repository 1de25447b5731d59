"""What the last runs did, and how big the tables are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from catchup_contract.kinds import KINDS, SUGGESTIONS
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import metadata, runs, schema_info
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState
from catchup_jobs.jobs.run.checkpoint import counts_of, read_counts


@dataclass(frozen=True, slots=True)
class Shard:
    """What is stored of the suggestion runs of one part of the fleet.

    Attributes:
        last_success: when the last one that succeeded began; None where none has.
        is_running: whether one is under way.
        users: how many users the latest one has planned.
    """

    last_success: datetime | None
    is_running: bool
    users: int


def last_successes(connection: Connection) -> dict[str, datetime]:
    """Return by kind when the latest run began that succeeded, of whichever subject."""
    found = {}
    for kind in KINDS.values():
        statement = select(func.max(runs.c.started_at)).where(runs.c.kind == kind, runs.c.state == RunState.DONE)
        if (latest := connection.execute(statement).scalar_one()) is not None:
            found[kind.name] = latest
    return found


def shards(connection: Connection, number: int) -> list[Shard]:
    """Return the parts of the fleet, in order; `number` is how many there are."""
    subjects = [str(shard) for shard in range(number)]
    columns = (runs.c.subject, runs.c.state, runs.c.started_at, runs.c.counts, runs.c.checkpoint)
    rows = connection.execute(
        select(*columns).where(runs.c.kind == SUGGESTIONS, runs.c.subject.in_(subjects)).order_by(runs.c.started_at)
    ).all()
    return [_shard([row for row in rows if row.subject == subject]) for subject in subjects]


def _shard(rows: Sequence[Any]) -> Shard:
    done = [row.started_at for row in rows if row.state is RunState.DONE]
    latest = rows[-1] if rows else None
    counts = {} if latest is None else read_counts(latest.counts) or counts_of(latest.checkpoint or {})
    return Shard(
        last_success=max(done, default=None),
        is_running=latest is not None and latest.state in UNFINISHED_RUNS,
        users=counts.get(Count.USERS, 0),
    )


def table_rows(connection: Connection) -> dict[str, int]:
    """Return the number of rows by table; PostgreSQL's own estimate, since counting reads a table."""
    if connection.dialect.name == "postgresql":
        statement = text(
            "SELECT relname, n_live_tup FROM pg_stat_user_tables"
            " WHERE schemaname = current_schema() AND relname = ANY(:names)"
        )
        rows = connection.execute(statement, {"names": list(metadata.tables)})
        return {name: int(number) for name, number in rows}
    return {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in metadata.sorted_tables
    }


def schema_version(connection: Connection) -> int:
    """Return the number of the newest migration."""
    return int(connection.execute(select(schema_info.c.version)).scalar_one())
