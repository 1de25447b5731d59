"""Hourly counters of the ends of runs, kept for `HOURLY_COUNTERS_KEPT`: rows of runs are not.

Prometheus needs totals that never decrease. So the counters that are older are not deleted but added to a row of their
own, by the transaction that begins a new hour of the same key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from catchup_contract.cadence import stable_hash
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.engine import Database, insert_into
from catchup_jobs.adapters.database.schema import run_counts
from catchup_jobs.domain.stored_enums import RunState

HOURLY_COUNTERS_KEPT: Final = timedelta(days=14)
"""How long the counters of ended runs are kept by the hour; older ones are added up."""
# The hour of the row that has all earlier ones.
EARLIER: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A row is locked from its update to the commit: with four, some hundred runs may end in each second.
_STRIPES: Final = 4
"""Rows that one hour's counter is spread over, so that runs that end at once do not wait for each other."""


class End(NamedTuple):
    """How a run, or a process's part in it, ended; `seconds` since the run began."""

    kind: str
    state: RunState
    reason: Reason | None
    run_key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Total:
    """All ends of runs of a kind with one state and reason (empty for none), ever, and the sum of their seconds."""

    kind: str
    state: str
    reason: str
    runs: int
    seconds: float


def count_ends(database: Database, connection: Connection, ends: Iterable[End], now: datetime) -> bool:
    """Count ends of runs; the last step of a transaction, since others wait for its rows.

    Returns:
        Whether one of them is the first of its kind and sort in this hour, so that now and then is the time to tidy up.
    """
    runs: Counter[tuple[str, str, str, int]] = Counter()
    seconds: dict[tuple[str, str, str, int], float] = {}
    for end in ends:
        stripe = stable_hash("run_counts", end.run_key) % _STRIPES
        key = (end.kind, end.state.value, end.reason.value if end.reason else "", stripe)
        runs[key] += 1
        seconds[key] = seconds.get(key, 0.0) + max(end.seconds, 0.0)
    hour = now.replace(minute=0, second=0, microsecond=0)
    # In one order everywhere, or two transactions could wait for each other.
    is_first = False
    for key in sorted(runs):
        if _add(database, connection, hour, key, runs=runs[key], seconds=seconds[key]) == runs[key]:
            _fold(database, connection, key, hour - HOURLY_COUNTERS_KEPT)
            is_first = True
    return is_first


def totals(connection: Connection) -> list[Total]:
    """Return the totals since the table was made."""
    key = (run_counts.c.kind, run_counts.c.state, run_counts.c.reason)
    sums = (func.sum(run_counts.c.runs), func.sum(run_counts.c.seconds))
    rows = connection.execute(select(*key, *sums).group_by(*key).order_by(*key))
    return [Total(kind, state, reason, int(runs), float(seconds)) for kind, state, reason, runs, seconds in rows]


def _add(
    database: Database, connection: Connection, hour: datetime, key: tuple[Any, ...], *, runs: int, seconds: float
) -> int:
    """Add to a counter; return its new value."""
    row = {**_named(hour, key), "runs": runs, "seconds": seconds}
    return int(connection.execute(_added(database.backend), row).scalar_one())


@cache
def _added(backend: str) -> Any:
    added = insert_into(backend, run_counts)
    return added.on_conflict_do_update(
        index_elements=["hour", "kind", "state", "reason", "stripe"],
        set_={
            "runs": run_counts.c.runs + added.excluded.runs,
            "seconds": run_counts.c.seconds + added.excluded.seconds,
        },
    ).returning(run_counts.c.runs)


def _fold(database: Database, connection: Connection, key: tuple[Any, ...], before: datetime) -> None:
    """Add the counters of a key that are older to the row of the earlier ones."""
    same = [run_counts.c[name] == value for name, value in _named(EARLIER, key).items() if name != "hour"]
    old = connection.execute(
        delete(run_counts)
        .where(*same, run_counts.c.hour > EARLIER, run_counts.c.hour < before)
        .returning(run_counts.c.runs, run_counts.c.seconds)
    ).all()
    if old:
        _add(
            database,
            connection,
            EARLIER,
            key,
            runs=sum(row.runs for row in old),
            seconds=sum(row.seconds for row in old),
        )


def _named(hour: datetime, key: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("hour", "kind", "state", "reason", "stripe"), (hour, *key), strict=True))
