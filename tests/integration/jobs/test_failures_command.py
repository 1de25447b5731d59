"""`catchup-jobs failures` and `runs` as a person types them, over a run that really failed."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from integration.jobs.sync_world import EMAIL
from integration.jobs.test_runs_listing import end, run
from integration.jobs.test_sync_command import Shell, connect, shell

from catchup_contract.outcomes import ExitCode

__all__ = ["shell"]  # the fixture


@pytest.fixture
def key(shell: Shell) -> str:
    """A sync whose four attempts met a server that is down; its key."""
    connect(shell)
    shell.google.add_event(EMAIL, "dentist", title="Dentist", at="+1d 15:00")
    fault = shell.google.add_fault(kind="calendarList", status=503, times=4)
    shell.environment["CATCHUP_JOB_UID"] = "job-1"
    shell.run("sync", "--user", "ada", code=ExitCode.PERMANENT)
    assert [each["fired"] for each in shell.google.faults() if each["id"] == fault] == [4]
    del shell.environment["CATCHUP_JOB_UID"]
    return "sync:ada:job-1"


def test_a_given_up_run_is_listed_shown_and_retried_to_its_end(shell: Shell, key: str) -> None:
    listed = shell.run("failures", "list", code=1)
    assert key in listed
    assert "unavailable" in listed
    shown = shell.run("failures", "show", key)
    assert f"catchup-jobs failures retry {key}" in shown
    retried = shell.run("failures", "retry", key)
    assert f"[1/1] {key}  done" in retried
    assert "1 ended well, 0 failed again" in retried
    assert "no failures" in shell.run("failures", "list")
    (latest,) = json.loads(shell.out("runs", "list", "--user", "ada", "--limit", "1", "--output", "json"))
    assert (latest["runKey"], latest["state"], latest["counts"]["eventsAdded"]) == (f"{key}:r1", "done", 1)


@pytest.mark.release
def test_a_retry_that_fails_again_exits_1_and_is_kept_under_its_new_key(shell: Shell, key: str) -> None:
    shell.google.add_fault(kind="calendarList", status=503, times=4)
    (told,) = json.loads(shell.out("failures", "retry", key, "--output", "json", code=1))
    assert told == {"runKey": key, "outcome": "failed", "reason": "budget_spent", "exitCode": ExitCode.PERMANENT}
    (left,) = json.loads(shell.out("failures", "list", "--output", "json", code=1))
    assert (left["runKey"], left["attempts"]) == (f"{key}:r1", 4)
    assert "failed" in shell.run("runs", "list", "--user", "ada", code=1)


def test_discard_forgets_what_is_chosen_and_refuses_what_is_not_there(shell: Shell, key: str) -> None:
    assert "nothing was discarded" in shell.run("failures", "discard", key, "sync:ada:no-such", code=65)
    assert "discarded 0" in shell.run("failures", "discard", "--kind", "digest")
    assert json.loads(shell.out("failures", "discard", "--kind", "digest", "--output", "json")) == {"discarded": 0}
    assert "discarded 1" in shell.run("failures", "discard", "--kind", "sync", "--newer-than", "1h")
    assert "no failures" in shell.run("failures", "list")


def test_many_are_retried_one_after_the_other_with_a_pause(shell: Shell) -> None:
    shell.run("user", "import", "-", stdin=json.dumps({"id": "bob", "name": "Bob"}))
    with closing(shell.database()) as database:
        keys = [end(database, run(subject=user)) for user in ("ada", "bob")]
    told = json.loads(shell.out("failures", "retry", "--all", "--every", "2", "--output", "json"))
    assert [(each["runKey"], each["reason"], each["exitCode"]) for each in told] == [
        (key, "not_connected", ExitCode.DONE) for key in keys
    ]
    began = {
        each["runKey"]: datetime.fromisoformat(each["startedAt"])
        for each in json.loads(shell.out("runs", "list", "--output", "json"))
    }
    assert began[f"{keys[1]}:r1"] - began[f"{keys[0]}:r1"] >= timedelta(seconds=2)
    assert "no failures" in shell.run("failures", "list")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("failures", "retry"), "--all"),
        (("failures", "discard", "--all", "--kind", "sync"), "--all (alone)"),
        (("failures", "retry", "sync:ada:no-such"), "nothing was retried"),
        (("failures", "show", "sync:ada:no-such"), "failures list"),
        (("failures", "list", "--older-than", "soon"), "90m, 36h, 7d"),
        (("failures", "list", "--newer-than", "999999d"), "90m, 36h, 7d"),
        (("failures", "list", "--limit", "99999999999999999999"), "range"),
        (("failures", "retry", "--all", "--every", "nan"), "integer"),
        (("suggestion", "accept", "99999999999999999999"), "range"),
        (("runs", "list", "--kind", "syncs"), "'sync'"),
    ],
)
def test_a_mistake_is_told(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    assert message in shell.run(*arguments, code=65)
