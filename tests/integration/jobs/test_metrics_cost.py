"""What a reading of the metrics asks of PostgreSQL: no table that grows with users is read whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from benchmarks.metrics import filled
from integration.services import PostgresServer
from sqlalchemy import event

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.metrics.snapshot import Answers, take

# Bounded by hours and reasons, and one row.
SMALL = {"run_counts", "schema_info"}


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    """A fleet of which every second user fails, with the rows and statistics of the benchmark."""
    return filled(postgres, "fleet_cost", users=2_000, failing=2)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database.open(url)
    yield opened
    opened.close()


def asked(database: Database, earlier: Answers | None = None) -> list[tuple[str, Any]]:
    """Return the questions of a reading."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        take(database, datetime.now(UTC), shards=1, earlier=earlier)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    return statements


def test_every_question_about_users_is_answered_by_an_index(url: str, database: Database) -> None:
    questions = asked(database)
    assert len(questions) > 15
    plans = []
    with psycopg.connect(url) as connection:
        # Whether an index can serve at all: of so few rows the planner would rather read them all.
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in questions:
            rows = psycopg.ClientCursor(connection).execute(f"EXPLAIN {statement}", parameters).fetchall()
            plans.append("\n".join(row[0] for row in rows))
    assert {name for plan in plans for name in re.findall(r"Seq Scan on (?!pg_)(\w+)", plan)} <= SMALL
    (late,) = (plan for plan in plans if "ix_pool_slots_pool_kind_due_at" in plan)
    assert "ix_pool_slots_unfinished" in late
    # Of runs only those are read that failed or have a reason, the newest ones, and the last ones of their subjects.
    conditions = [line for plan in plans for line in re.findall(r"(?:ix|pk)_runs\w* .*\n *Index Cond: (.*)", plan)]
    assert conditions
    assert [line for line in conditions if not re.search(r"\b(state|subject|reason|run_key)\b", line)] == []


def test_what_is_dear_is_not_asked_in_every_reading(database: Database) -> None:
    clock = iter(range(10**6))  # each question takes a second
    earlier = Answers(timedelta(minutes=5), clock=lambda: float(next(clock)))
    assert len(asked(database, earlier)) > 15
    assert asked(database, earlier) == []
