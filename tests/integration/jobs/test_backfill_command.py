"""`catchup-jobs backfill` as a person types it."""

from __future__ import annotations

import json
import shlex
import signal
from datetime import UTC, datetime

import pytest
from integration.jobs.test_pool_command import PEOPLE, enrol, let_ticks_end, states
from integration.jobs.test_sync_command import Shell, shell
from integration.services import wait_until
from sqlalchemy import update

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import ExitCode, Reason
from catchup_jobs.adapters.database.runs.listing import ended_since
from catchup_jobs.adapters.database.schema import runs
from catchup_jobs.domain.stored_enums import RunState

__all__ = ["shell"]  # a fixture


def test_all_members_are_synced_now_and_a_second_run_from_the_same_start_passes_them_over(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    shell.run("sync", "--pool", "people")

    printed = shell.run("backfill", "--pool", "people", "--rate", "50/s")

    assert "3 users: 3 synced, 0 skipped, 0 failed, 0 passed over" in printed
    made = json.loads(shell.out("runs", "list", "--output", "json"))
    assert {run["subject"] for run in made if run["slot"] is None} == set(PEOPLE)
    assert "0 synced, 0 skipped, 0 failed, 3 passed over" in shell.run("backfill", "--pool", "people", "--since", "5m")


def test_a_failure_is_one_line_and_the_command_that_is_printed_goes_on_with_it(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    users = "\n".join((*PEOPLE, "nobody", "ada"))

    out, err = shell.both("backfill", "--users", "-", "--rate", "50/s", stdin=users, code=ExitCode.PERMANENT)

    assert out == "nobody  unknown_user: the database has no such user; import the user, or delete this UserSchedule\n"
    assert "4 users: 3 synced, 0 skipped, 1 failed, 0 passed over" in err
    shell.run("user", "import", "-", stdin=json.dumps({"id": "nobody", "name": "Nobody"}))
    first, last = err.splitlines()[0], err.splitlines()[-1]
    command = first.partition("to go on after an interruption: ")[2]
    assert last == f"to go on: {command}"
    _, *arguments, note = shlex.split(command.replace("(", "'(").replace(")", ")'"))
    assert (arguments[:5], note) == (
        ["backfill", "--users", "-", "--rate", "50/s"],
        "(with the same users on standard input)",
    )
    again = shell.run(*arguments, stdin=users)
    assert "4 users: 0 synced, 1 skipped, 0 failed, 3 passed over" in again


def test_a_signal_ends_the_sync_that_was_begun_and_the_rest_is_left(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    shell.google.add_fault(kind="events", user="ada@example.net", delay=2)
    process = shell.start("backfill", "--pool", "people", "--unserved", "--rate", "1/m")
    wait_until(lambda: any(fault["fired"] for fault in shell.google.faults()), "ada's calendar is being read")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()

    assert process.returncode == ExitCode.TEMPORARY
    assert "3 users: 1 synced, 0 skipped, 0 failed, 0 passed over, 2 left" in err
    assert states(shell) == {"ada": ["done"]}
    assert "to go on: catchup-jobs backfill --pool people --unserved --rate 1/m --since 20" in err
    assert "no failures" in shell.run("failures", "list")


def test_a_sync_that_found_the_users_lock_held_is_not_passed_over(shell: Shell) -> None:
    enrol(shell, *PEOPLE)
    began, database = datetime.now(UTC), shell.database()
    shell.run("backfill", "--pool", "people", "--unserved", "--rate", "50/s")
    with database.write() as connection:
        skipped = {"state": RunState.SKIPPED, "reason": Reason.LOCKED}
        connection.execute(update(runs).where(runs.c.subject == "bob").values(skipped))
    assert ended_since(database, SYNC, PEOPLE, began) == {"ada", "cy"}
    database.close()


def test_a_pool_of_which_no_pod_has_run_for_an_hour_is_refused_unless_that_is_wanted(shell: Shell) -> None:
    enrol(shell, "ada", "bob")
    never = shell.run("backfill", "--pool", "people", code=ExitCode.PERMANENT)
    assert "no pod of the pool people has run, so that nobody serves its members" in never
    shell.run("digest", "--pool", "people")
    let_ticks_end(shell, datetime(2026, 1, 1, tzinfo=UTC))

    refused = shell.run("backfill", "--pool", "people", code=ExitCode.PERMANENT)

    assert "no pod of the pool people has run since 2026-01-01T00:00:00Z" in refused
    assert "--unserved syncs the 2 members that it had all the same" in refused
    assert states(shell) == {}
    assert "2 users: 2 synced" in shell.run("backfill", "--pool", "people", "--unserved", "--rate", "50/s")
    shell.run("digest", "--pool", "people")
    assert "2 users: 2 synced" in shell.run("backfill", "--pool", "people", "--rate", "50/s")


def test_the_command_that_goes_on_names_the_file(shell: Shell) -> None:
    file = shell.directory / "my users"
    file.write_text("nobody\n")
    _, err = shell.both("backfill", "--users", str(file), code=ExitCode.PERMANENT)
    assert f"to go on: catchup-jobs backfill --users '{file}' --rate 2/s --since 20" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give --users FILE or --pool NAME."),
        (("--users", "-", "--pool", "people"), "Give --users FILE or --pool NAME."),
        (("--pool", "people", "--rate", "fast"), "2/s, 30/m"),
        (("--pool", "people", "--rate", "0/s"), "2/s, 30/m"),
        (("--pool", "people", "--since", "yesterday"), "RFC 3339, or how long ago"),
        (("--pool", "people"), "pool people has no members"),
        (("--pool", "people", "--since", "2199-01-01T00:00:00Z"), "2199-01-01T00:00:00Z is in the future"),
        (("--users", "-"), 'line 2, "Bob": a user id is lower-case letters'),
    ],
)
def test_a_mistake_is_told(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    assert message in shell.run("backfill", *arguments, stdin="ada\nBob\n", code=ExitCode.PERMANENT)
