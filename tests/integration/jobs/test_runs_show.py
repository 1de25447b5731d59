"""`catchup-jobs runs show`: what became of one run, on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from integration.jobs.test_cli import Shell
from integration.jobs.test_runs_listing import end, run

from catchup_contract.outcomes import ADVICE, Reason
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.domain.stored_enums import RunState

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


@pytest.fixture
def shell(tmp_path: Path, database: Database) -> Shell:
    shell = Shell(tmp_path)
    shell.environment |= {
        "CATCHUP_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "CATCHUP_REDIS_URL": "redis://127.0.0.1:1/0",  # not asked
    }
    return shell


def test_a_run_that_was_given_up_says_why_and_how_to_retry_it(shell: Shell, database: Database) -> None:
    key = end(database, run(), reason=Reason.UNAVAILABLE)
    code, output, _ = shell.run("runs", "show", key)
    assert code == 1
    assert ADVICE[Reason.UNAVAILABLE].text in output
    assert f"catchup-jobs failures retry {key}" in output
    assert "TemporaryError" in output


def test_a_run_that_is_done_says_what_it_did(shell: Shell, database: Database) -> None:
    key = end(database, run(), state=RunState.DONE)
    code, output, _ = shell.run("runs", "show", key, "--output", "json")
    shown = json.loads(output)
    assert code == 0
    assert (shown["runKey"], shown["state"], shown["counts"]) == (key, "done", {"calendars": 1})
    assert shown["finishedAt"] == "2026-11-23T08:30:00Z"
    assert (shown["why"], shown["deadLetter"]) == (None, None)
    assert "next slot" in shown["next"]


def test_a_run_under_way_is_no_failure(shell: Shell, database: Database) -> None:
    open_ = run()
    DatabaseRunStore(database).open(open_, now=NOW, lease_until=NOW + timedelta(minutes=11))
    code, output, _ = shell.run("runs", "show", open_.key)
    assert code == 0
    assert "under way" in output


def test_a_key_that_no_run_has_is_65_and_names_the_list(shell: Shell) -> None:
    code, _, errors = shell.run("runs", "show", "sync:ada:never")
    assert code == 65
    assert "runs list" in errors
