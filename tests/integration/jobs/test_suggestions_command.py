"""`catchup-jobs suggestions` and `progress` as processes, the way a person and a pod run them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from integration.jobs import nursery
from integration.jobs.fleet_world import FleetWorld, person
from integration.services import wait_until

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.redis.progress import RedisProgress
from catchup_jobs.jobs.suggestions.ports import PROGRESS_KEPT_SECONDS

COMMAND = str(Path(sys.executable).with_name("catchup-jobs"))
SLOT = "29401200"


@dataclass
class Shell:
    """Runs `catchup-jobs` against a database; `fleet` looks into it, with the real clock."""

    directory: Path
    fleet: FleetWorld
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(environment),
        )

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.directory)} | self.environment | more

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Return what the command printed to standard output; nothing may print a traceback."""
        ended, out, err = nursery.run(arguments, self._environment(environment), seconds=120)
        assert "Traceback" not in err
        assert ended == code, out + err
        return out

    def summary(self) -> Summary:
        return Summary.from_json((self.directory / "termination-log").read_text(encoding="utf-8"))

    def progress(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(self.run("progress", "--output", "json"))
        return shown


@pytest.fixture
def shell(database_url: str, database: Database, tmp_path: Path, redis_url: str) -> Shell:
    made = Shell(tmp_path, FleetWorld(database, tmp_path / "locks", now=datetime.now(UTC)))
    made.environment = {
        "CATCHUP_DATABASE_URL": database_url,
        "CATCHUP_TERMINATION_LOG": str(tmp_path / "termination-log"),
        "CATCHUP_ENCRYPTION_KEYS": "",
    }
    if database.backend == "postgresql":
        made.environment["CATCHUP_REDIS_URL"] = redis_url
    return made


def names(count: int) -> list[str]:
    return [f"u{number:04d}" for number in range(count)]


def test_all_users_are_planned_and_the_summary_says_so(shell: Shell) -> None:
    shell.fleet.add_users(names(51))
    shell.fleet.add_contacts(names(51))
    shell.run("suggestions")
    summary = shell.summary()
    assert (summary.outcome, summary.reason) == (Outcome.DONE, None)
    assert (summary.counts[Count.USERS], summary.counts[Count.SUGGESTIONS_CREATED]) == (51, 51)
    (shown,) = shell.progress()
    assert (shown["shard"], shown["state"], shown["users"], shown["total"]) == ("0", "done", 51, 51)
    text = shell.run("progress")
    assert text.startswith("shard 0: done, 51 of about 51 users (100%): 51 new, 0 moved")


def test_one_user_by_hand(shell: Shell) -> None:
    shell.fleet.add_user("ada", [person()])
    shell.fleet.add_user("bob", [person()], paused=True)
    shell.run("suggestions", "--user", "ada")
    assert [row.user_id for row in shell.fleet.rows()] == ["ada"]
    shell.run("suggestions", "--user", "bob")
    assert (shell.summary().outcome, shell.summary().reason) == (Outcome.SKIPPED, Reason.PAUSED)
    shell.run("suggestions", "--user", "cleo", code=ExitCode.PERMANENT)


def test_the_pods_of_an_indexed_job_plan_the_fleet_between_them(shell: Shell) -> None:
    shell.fleet.add_users(names(40))
    shell.fleet.add_contacts(names(40))
    slot: dict[str, Any] = {"CATCHUP_CRONJOB_NAME": "suggestions", "CATCHUP_JOB_NAME": f"suggestions-{SLOT}"}
    pods = [
        shell.start("suggestions", CATCHUP_SUGGESTION_SHARDS="3", JOB_COMPLETION_INDEX=str(index), **slot)
        for index in range(3)
    ]
    assert [pod.wait(timeout=120) for pod in pods] == [0, 0, 0]
    for pod in pods:
        pod.communicate()
    assert [row.user_id for row in shell.fleet.rows()] == names(40)
    assert {shown["shard"] for shown in shell.progress()} == {"0", "1", "2"}


@pytest.mark.parametrize(
    "environment",
    [
        {"CATCHUP_SUGGESTION_SHARDS": "3"},
        {"CATCHUP_SUGGESTION_SHARDS": "3", "JOB_COMPLETION_INDEX": "3"},
        {"JOB_COMPLETION_INDEX": "1"},
        {"CATCHUP_SUGGESTION_SHARDS": "0", "JOB_COMPLETION_INDEX": "0"},
    ],
)
def test_shards_that_would_leave_users_out_are_a_misconfiguration(shell: Shell, environment: dict[str, Any]) -> None:
    shell.run("suggestions", code=ExitCode.MISCONFIGURED, **environment)
    assert shell.summary().reason is Reason.MISCONFIGURED


@pytest.mark.parametrize("arguments", [("--batch-size", "0"), ("--after", "Ada!"), ("--user", "ada", "--after", "a")])
def test_wrong_arguments_are_refused(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.run("suggestions", *arguments, code=ExitCode.PERMANENT)


def test_a_killed_run_goes_on_at_the_batch_where_it_stopped(shell: Shell, redis_url: str) -> None:
    shell.fleet.add_users(names(1500))
    shell.fleet.add_contacts(names(1500))
    slot: dict[str, Any] = {"CATCHUP_CRONJOB_NAME": "suggestions", "CATCHUP_JOB_NAME": f"suggestions-{SLOT}"}
    process = shell.start("suggestions", "--batch-size", "2", **slot)
    wait_until(lambda: len(shell.fleet.rows()) > 20, "the run is under way", 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with redis.Redis.from_url(redis_url) as client:
        # In Redis the lock of a killed process lives on for 60 s: as if they were over.
        locked = client.delete("catchup:lock:suggestions:0")
    assert bool(locked) is (shell.fleet.database.backend == "postgresql")
    first = len(shell.fleet.rows())
    assert first < 1500, "killed in the middle"
    (shown,) = shell.progress()
    assert (shown["state"], shown["total"]) == ("running", 1500)
    assert shown.get("users", 0) <= first, "shown at most twice a second"
    row = shell.fleet.run_row()
    assert row.checkpoint["after"] == names(1500)[first - 1]
    written = {one.user_id: one.updated_at for one in shell.fleet.rows()}
    shell.run("suggestions", **slot)
    assert [one.user_id for one in shell.fleet.rows()] == names(1500)
    assert shell.summary().counts[Count.SUGGESTIONS_CREATED] == 1500, "those of the killed process included"
    assert {one.user_id: one.updated_at for one in shell.fleet.rows() if one.user_id in written} == written
    shell.run("suggestions", **slot)
    assert shell.summary().reason is Reason.ALREADY_DONE


def test_a_terminal_gets_a_bar_for_each_shard(shell: Shell) -> None:
    shell.fleet.add_users(names(3))
    shell.run("suggestions")
    reader, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(shell.directory)} | shell.environment
    shown = subprocess.run([COMMAND, "progress"], stdout=terminal, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(terminal)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    assert shown.returncode == 0
    assert text.strip() == f"shard   0 [{'█' * 40}] 100% 3 users, 0 new"


def test_a_user_shows_how_many_contacts_there_are(shell: Shell) -> None:
    shell.fleet.add_user("ada", [person("Ben"), person("Cleo", excluded=True)])
    assert "contacts    2 (1 of them excluded or archived)" in shell.run("user", "show", "ada")


def test_progress_says_where_there_is_none(shell: Shell) -> None:
    process = shell.start("progress")
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "no suggestion run is under way" in err) == (0, True)
    assert shell.progress() == []


def test_progress_in_redis_runs_out_and_holds_no_personal_data(redis_url: str) -> None:
    clock = [0.0]
    board = RedisProgress(redis.Redis.from_url(redis_url, decode_responses=True), monotonic=lambda: clock[0])
    board.show("0", {"state": "running", "users": 1})
    board.show("0", {"state": "running", "users": 2})
    assert board.read() == {"0": {"state": "running", "users": "1"}}, "at most twice a second"
    clock[0] = 1.0
    board.show("0", {"state": "running", "users": 3})
    board.show("0", {"state": "done", "users": 4})
    assert board.read() == {"0": {"state": "done", "users": "4"}}
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("catchup:progress:*")
        assert 0 < client.ttl(key) <= PROGRESS_KEPT_SECONDS
    board.close()


def test_progress_that_cannot_be_shown_stops_nothing_and_is_rarely_tried() -> None:
    clock, asked = [0.0], list[float]()

    class Down(redis.Redis):
        def pipeline(self, *_: Any, **__: Any) -> Any:
            asked.append(clock[0])
            raise redis.ConnectionError

    board = RedisProgress(Down(), monotonic=lambda: clock[0])
    for clock[0] in (0.0, 1.0, 29.0, 31.0):
        board.show("0", {"state": "running"})
    assert asked == [0.0, 31.0]
    board.close()


def test_a_pod_that_is_told_to_stop_ends_as_temporary_and_another_goes_on(shell: Shell) -> None:
    shell.fleet.add_users(names(600))
    shell.fleet.add_contacts(names(600))
    slot: dict[str, Any] = {"CATCHUP_CRONJOB_NAME": "suggestions", "CATCHUP_JOB_NAME": f"suggestions-{SLOT}"}
    process = shell.start("suggestions", "--batch-size", "2", **slot)
    wait_until(lambda: len(shell.fleet.rows()) > 20, "the run is under way", 60)
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == ExitCode.TEMPORARY
    assert shell.summary().reason is Reason.TERMINATED
    shell.run("suggestions", **slot)
    assert [one.user_id for one in shell.fleet.rows()] == names(600)


def test_the_clock_of_these_tests_is_the_real_one(shell: Shell) -> None:
    assert abs(shell.fleet.now - datetime.now(UTC)) < timedelta(minutes=5)
