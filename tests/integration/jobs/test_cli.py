"""The command as a person and a pod type it: real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from cryptography.fernet import Fernet
from integration.jobs import nursery
from integration.services import free_port, wait_until

from catchup_contract.env import Env
from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Summary
from catchup_jobs.adapters.database.schema import SCHEMA_VERSION
from catchup_jobs.cli import cli

ROOT = Path(__file__).parents[3]
ADA = {"id": "ada", "name": "Ada", "timeZone": "Europe/Berlin", "digest": {"day": "Friday", "time": "18:30"}}
# A job of this module: `run_process.py` tests the contract, this the way from the environment to it.
JOB = """
import sys
from catchup_jobs.cli.jobs.job_runner import execute
from catchup_contract.kinds import SYNC
from catchup_contract.summary import Count
from catchup_jobs.jobs.run.context import Result

def body(context, resources):
    print(context.run_key, resources.database.backend, flush=True)
    context.check_stop()
    if len(sys.argv) > 1:
        raise RuntimeError("canary@example.com")
    return Result(counts={Count.CALENDARS: 2})

sys.exit(execute(SYNC, "ada", body))
"""


class Shell:
    """Runs commands in an environment that holds nothing of ours but what is given."""

    def __init__(self, home: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image")),
            "XDG_DATA_HOME": str(home),
            "HOME": str(home),
        }

    def start(self, code: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**self.environment, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, code: str | None = None, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run `catchup-jobs`, or else a piece of code."""
        if code is None:
            ended, output, errors = nursery.run(arguments, {**self.environment, **(env or {})}, stdin=stdin)
        else:
            process = self.start(code, *arguments, env=env)
            output, errors = process.communicate(stdin, timeout=120)
            ended = process.returncode
        assert "Traceback" not in errors
        return ended, output, errors


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_help_names_the_commands_and_imports_no_client(shell: Shell) -> None:
    code, output, _ = shell.run("--help")
    assert code == 0
    assert {"user", "schedule", "db"} <= set(re.findall(r"^  ([a-z]+) ", output, re.MULTILINE))
    heavy = ("pydantic", "sqlalchemy", "alembic", "redis", "google", "googleapiclient", "structlog", "cryptography")
    listing = (
        "import sys; from catchup_jobs.cli import cli; cli.main(['--help'], standalone_mode=False);"
        f" print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert shell.run(code=listing)[1].splitlines()[-1] == "[]"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_the_help_of_every_command_has_an_example_of_it() -> None:
    helps = {" ".join(path): CliRunner().invoke(cli, [*path, "--help"]).output for path in commands(cli)}
    assert {"failures retry", "runs list", "user delete", "deliveries list"} < helps.keys()
    assert [path for path, text in helps.items() if f"catchup-jobs {path}" not in text.partition("Example")[2]] == []


def test_on_a_laptop_users_are_imported_shown_and_rendered_with_no_server_at_all(shell: Shell) -> None:
    assert shell.run("user", "import", "-", stdin=json.dumps([ADA, {"id": "0x1", "name": "Bob"}]))[:2] == (
        0,
        "2 created, 0 updated\n",
    )
    assert "ada" in shell.run("user", "show")[1]
    code, output, _ = shell.run("user", "show", "ada")
    assert code == 0
    assert "Friday 18:30" in output
    code, output, _ = shell.run("schedule", "render", "--namespace", "people")
    documents = list(yaml.safe_load_all(output))
    assert [document["spec"]["userId"] for document in documents] == ["0x1", "ada"]
    assert documents[1] == {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {
            "name": "ada",
            "namespace": "people",
            "labels": {"app.kubernetes.io/part-of": "catchup-jobs"},
        },
        "spec": {
            "userId": "ada",
            "timeZone": "Europe/Berlin",
            "calendarSync": {"every": "30m"},
            "digest": {"day": "Friday", "time": "18:30"},
        },
    }


def test_an_import_names_everybody_whom_it_leaves_out_however_many_they_are(shell: Shell) -> None:
    wrong = [{"id": f"user-{number}", "name": ""} for number in range(60)]
    code, _, errors = shell.run("user", "import", "-", stdin=json.dumps([ADA, *wrong]))
    assert code == 65
    assert "60 of 61 users left out" in errors
    assert {f"user-{number}" for number in range(60)} == set(re.findall(r"user-\d+", errors))
    assert len(errors.splitlines()) < 30


def test_a_key_file_that_is_gone_is_not_made_anew_while_values_need_it(shell: Shell) -> None:
    sms = {"phone": "+49 30 23125 001", "consentAt": "2026-09-01T08:00:00Z"}
    reachable = ADA | {"channels": {"sms": sms}}
    assert shell.run("user", "import", "-", stdin=json.dumps(reachable))[0] == 0
    (path,) = Path(shell.environment["XDG_DATA_HOME"]).rglob("encryption.keys")
    kept = path.read_text()
    (row,) = json.loads(shell.run("tokens", "status", "--output", "json")[1])
    path.unlink()
    for command in (["tokens", "status"], ["tokens", "rotate"], ["sync", "--user", "ada"]):
        code, _, errors = shell.run(*command)
        assert code == 78
        assert all(word in errors for word in (str(path), "put the file back", row["keyId"]))
        assert not path.exists()
    assert shell.run("user", "import", "-", stdin=json.dumps(reachable))[0] == 78
    path.write_text(kept)
    path.chmod(0o600)
    assert shell.run("user", "import", "-", stdin=json.dumps(reachable))[0] == 0
    path.unlink()
    shell.run("user", "delete", "ada", "--yes")
    # The consent belongs to the number, and is found by the key only.
    assert shell.run("tokens", "status")[0] == 78


def test_keys_that_open_nothing_of_what_is_stored_seal_nothing_new(shell: Shell) -> None:
    ada, ben = (
        json.dumps(ADA | {"id": name, "channels": {"email": {"address": f"{name}@example.com"}}})
        for name in ("ada", "ben")
    )
    token = json.dumps({"client_id": "c", "client_secret": "s", "refresh_token": "r", "type": "authorized_user"})
    assert shell.run("user", "import", "-", stdin=ada)[0] == 0
    (path,) = Path(shell.environment["XDG_DATA_HOME"]).rglob("encryption.keys")
    first, second = path.read_text(), Fernet.generate_key().decode()
    path.write_text(second)
    for command, stdin in (
        (("user", "import", "-"), ada),
        (("user", "import", "-"), ben),
        (("calendar", "connect", "ada", "--token-file", "-"), token),
    ):
        code, _, errors = shell.run(*command, stdin=stdin)
        assert (code, "put the key that sealed it back" in errors) == (78, True), errors
    # Who has no address needs no key.
    assert shell.run("user", "import", "-", stdin=json.dumps(ADA | {"id": "cem"}))[0] == 0
    path.write_text(first)
    assert "a***@example.com" in shell.run("user", "show", "ada")[1]
    assert shell.run("user", "show", "ben")[0] == 65
    # A new key before the old one, as for a rotation.
    path.write_text(f"{second},{first}")
    assert shell.run("user", "import", "-", stdin=ben)[0] == 0
    path.write_text(second)
    assert shell.run("user", "import", "-", stdin=ada)[0] == 0


def test_where_the_keys_are_lost_for_good_one_goes_on_with_others(shell: Shell) -> None:
    ada = json.dumps(ADA | {"channels": {"email": {"address": "ada@example.com"}}})
    assert shell.run("user", "import", "-", stdin=ada)[0] == 0
    (path,) = Path(shell.environment["XDG_DATA_HOME"]).rglob("encryption.keys")
    path.write_text(Fernet.generate_key().decode())
    assert shell.run("user", "import", "-", stdin=ada)[0] == 78
    assert shell.run("user", "import", "-", "--keys-lost", stdin=ada)[0] == 0
    assert "a***@example.com" in shell.run("user", "show", "ada")[1]
    # From then on what is stored is of the new key.
    assert shell.run("user", "import", "-", stdin=ada)[0] == 0


def test_names_that_only_a_newer_version_knows_are_shown_and_nothing_of_it_is_lost(shell: Shell) -> None:
    sms = {"phone": "+49 30 23125 001", "consentAt": "2026-09-01T08:00:00Z"}
    person = json.dumps(ADA | {"channels": {"sms": sms, "email": {"address": "ada@example.com"}}})
    shell.run("user", "import", "-", stdin=person)
    shell.run("sync", "--user", "ada")
    (path,) = Path(shell.environment["XDG_DATA_HOME"]).rglob("catchup.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET kind = 'birthday', reason = 'too_shy', state = 'failed'")
        connection.execute(
            "INSERT INTO dead_letters SELECT run_key, kind, subject, slot, reason, 'E', 4, started_at FROM runs"
        )
        connection.execute("UPDATE addresses SET channel = 'pigeon' WHERE channel = 'email'")
        ((key,),) = connection.execute("SELECT run_key FROM runs").fetchall()
    for command, code in (
        (("runs", "list"), 1),
        (("runs", "list", "--output", "json"), 1),
        (("runs", "show", key), 1),
        (("failures", "list"), 1),
        (("failures", "show", key), 0),
        (("user", "show", "ada"), 0),
    ):
        found, output, errors = shell.run(*command)
        assert (found, errors) == (code, "")
        assert "too_shy" in output
        assert "birthday" in output or command == ("failures", "list")  # which has the run's key in place of its kind
    assert "newer version" in shell.run("failures", "show", key)[1]
    code, _, errors = shell.run("failures", "retry", "--all")
    assert code == 78
    assert "birthday" in errors
    assert shell.run("digest", "--user", "ada")[0] == 0
    assert shell.run("user", "import", "-", stdin=person)[0] == 0
    code, _, errors = shell.run("tokens", "rotate")
    assert code == 78
    assert "pigeon" in errors
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT channel FROM addresses ORDER BY channel").fetchall()
    assert kept == [("email",), ("pigeon",), ("sms",)]


def test_rendered_fields_are_those_of_the_crd(shell: Shell) -> None:
    shell.run("user", "import", "-", stdin=json.dumps(ADA))
    (document,) = yaml.safe_load_all(shell.run("schedule", "render", "ada")[1])
    crd = yaml.safe_load((ROOT / "crds" / "userschedules.yaml").read_text())
    version = crd["spec"]["versions"][0]
    assert document["apiVersion"] == f"{crd['spec']['group']}/{version['name']}"
    assert document["kind"] == crd["spec"]["names"]["kind"]
    assert "namespace" not in document["metadata"]

    def known(value: Any, schema: dict[str, Any]) -> None:
        for name, child in value.items():
            assert name in schema["properties"]
            if isinstance(child, dict):
                known(child, schema["properties"][name])

    known(document["spec"], version["schema"]["openAPIV3Schema"]["properties"]["spec"])


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "told"),
    [
        (["user", "show", "nobody"], "", 65, "there is no user nobody"),
        (["user", "show", "$(SECRET)"], "", 65, "a user id is lower-case"),
        (["user", "import", "-"], "{", 65, "not JSON"),
        (["user", "import", "-"], '{"id": "ada"}', 65, "ada: name: is missing"),
        (["user", "import", "/nonexistent"], "", 65, "No such file"),
        (["schedule", "render", "nobody"], "", 65, "there is no user nobody"),
        (["schedule", "render", "-n", "a b"], "", 65, "a namespace is lower-case"),
        (["schedule", "render"], "", 0, "no users yet"),
        (["user", "show"], "", 0, "no users yet"),
        (["nonsense"], "", 65, "No such command"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(
    shell: Shell, arguments: list[str], stdin: str, code: int, told: str
) -> None:
    found, _, errors = shell.run(*arguments, stdin=stdin)
    assert (found, told in errors) == (code, True), errors


def test_an_import_leaves_out_the_users_that_are_wrong_and_names_them(shell: Shell) -> None:
    document = "\ufeff" + json.dumps([ADA, {"id": "bob", "name": "s3cret\n"}, {"id": "Cem", "name": "s3cret"}])
    code, output, errors = shell.run("user", "import", "-", stdin=document)
    assert (code, "1 created" in output) == (65, True), errors
    assert "2 of 3 users left out" in errors
    assert "bob: name: must not be blank" in errors
    assert "users[2]: id: must be lower-case" in errors
    assert "s3cret" not in errors
    assert [row["id"] for row in json.loads(shell.run("user", "show", "--output", "json")[1])] == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "people"), [(["--strict"], [ADA, {"id": "bob"}]), ([], [{"id": "bob"}]), ([], [{}] * 50)]
)
def test_a_failed_import_writes_nothing(shell: Shell, arguments: list[str], people: list[Any]) -> None:
    code, _, errors = shell.run("user", "import", *arguments, "-", stdin=json.dumps(people))
    assert (code, "nothing was imported" in errors) == (65, True)
    assert len(errors.splitlines()) <= 22
    assert "no users yet" in shell.run("user", "show")[2]


def test_db_status_and_migrate_tell_where_the_schema_stands(shell: Shell, empty_database_url: str) -> None:
    env = {Env.DATABASE_URL.value: empty_database_url.replace("catchup@", "catchup:s3cret@")}
    code, output, errors = shell.run("db", "status", env=env)
    assert code == 75
    assert "catchup-jobs db migrate" in output
    code, migrated, _ = shell.run("db", "migrate", env=env)
    assert (code, f"migrated from revision 0000 to {SCHEMA_VERSION:04d}" in migrated) == (0, True)
    assert "nothing to do" in shell.run("db", "migrate", env=env)[1]
    code, output, more = shell.run("db", "status", env=env)
    assert (code, re.findall(r"^(current|wanted) +(\w+)$", output, re.MULTILINE)) == (
        0,
        [("current", f"{SCHEMA_VERSION:04d}"), ("wanted", f"{SCHEMA_VERSION:04d}")],
    )
    assert empty_database_url.partition(":")[0] in output
    assert "s3cret" not in output + migrated + errors + more


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("postgresql://x:s3cret@127.0.0.1:{port}/y", 75, "cannot be reached"),
        ("mysql://x:s3cret@127.0.0.1/y", 78, "must begin with postgresql://"),
        ("s3cret", 78, "must begin with postgresql://"),
        ("sqlite://", 78, "must name a file"),
        ("sqlite:////nonexistent/catchup.db", 78, "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(
    shell: Shell, url: str, code: int, told: str
) -> None:
    found, output, errors = shell.run("db", "status", env={Env.DATABASE_URL: url.format(port=free_port())})
    assert (found, told in errors) == (code, True), errors
    assert "s3cret" not in output + errors


def test_a_wrong_database_or_user_at_postgresql_is_a_misconfiguration(shell: Shell, postgresql_url: str) -> None:
    for wrong in (postgresql_url + "nope", postgresql_url.replace("catchup@", "nobody-here@")):
        assert shell.run("db", "status", env={Env.DATABASE_URL: wrong})[0] == 78


def job_env(database_url: str, redis_url: str, summary: Path) -> dict[str, str]:
    return {
        Env.DATABASE_URL: database_url,
        Env.REDIS_URL: redis_url,
        Env.CRONJOB_NAME: "sync-ada-1a2b",
        Env.JOB_NAME: "sync-ada-1a2b-29401200",
        Env.JOB_UID: "job-uid",
        Env.POD_UID: "pod-uid",
        Env.DEADLINE_SECONDS: "600",
        Env.TERMINATION_LOG: str(summary),
        Env.LOG_FORMAT: "json",
    }


@pytest.fixture
def job_environment(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return job_env(database_url, redis_url, tmp_path / "summary")


def test_a_pods_environment_becomes_its_run_and_its_summary(
    shell: Shell, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = job_env(database_url, redis_url, tmp_path / "summary")
    code, output, logs = shell.run(code=JOB, env=env)
    assert (code, output.split()[0]) == (0, "sync:ada:2025-11-25T12:00:00Z")
    summary = Summary.from_json((tmp_path / "summary").read_text())
    assert (summary.kind, summary.outcome, dict(summary.counts)) == (SYNC, Outcome.DONE, {"calendars": 2})
    last = json.loads(logs.splitlines()[-1])
    assert {"run_key", "user", "kind", "slot", "event", "level", "timestamp"} <= set(last)
    code, _, _ = shell.run(code=JOB, env=env)
    again = Summary.from_json((tmp_path / "summary").read_text())
    assert (code, again.outcome, again.reason) == (0, Outcome.SKIPPED, Reason.ALREADY_DONE)
    manual = shell.run(code=JOB, env=env | {Env.JOB_NAME.value: "by-hand"})
    assert manual[1].split()[0] == "sync:ada:job-uid"


def test_a_crash_names_the_place_in_the_code_and_not_the_message(
    shell: Shell, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = job_env(database_url, redis_url, tmp_path / "summary")
    code, _, logs = shell.run("crash", code=JOB, env=env)
    assert code == 1
    assert "RuntimeError" in logs
    assert "body" in logs
    assert "canary" not in logs + (tmp_path / "summary").read_text()
    assert Summary.from_json((tmp_path / "summary").read_text()).reason is Reason.CRASHED


def test_on_a_laptop_a_job_runs_on_lock_files_and_every_run_is_its_own(shell: Shell, tmp_path: Path) -> None:
    outputs = [shell.run(code=JOB) for _ in range(2)]
    assert [code for code, _, _ in outputs] == [0, 0]
    assert outputs[0][1] != outputs[1][1]
    assert (tmp_path / "catchup-jobs" / "catchup.db.locks" / "sync-ada.lock").exists()


@pytest.mark.parametrize(
    ("name", "value", "ending"),
    [
        (Env.REDIS_URL, "http://x", (78, Reason.MISCONFIGURED)),
        (Env.DEADLINE_SECONDS, "x", (78, Reason.MISCONFIGURED)),
        (Env.DATABASE_URL, "mysql://x", (78, Reason.MISCONFIGURED)),
        (Env.DATABASE_URL, "postgresql://127.0.0.1:1/x", (75, Reason.UNAVAILABLE)),
        (Env.REDIS_URL, "redis://127.0.0.1:1", (75, Reason.UNAVAILABLE)),
    ],
)
def test_a_job_that_cannot_start_says_so_in_its_exit_code_and_summary(
    shell: Shell, job_environment: dict[str, str], name: Env, value: str, ending: tuple[int, Reason]
) -> None:
    code, output, _ = shell.run(code=JOB, env=job_environment | {name.value: value})
    summary = Summary.from_json(Path(job_environment[Env.TERMINATION_LOG]).read_text())
    assert ((code, summary.reason), output) == (ending, "")


def test_postgresql_without_redis_is_a_misconfiguration(shell: Shell, postgresql_url: str, tmp_path: Path) -> None:
    assert shell.run(code=JOB, env=job_env(postgresql_url, "", tmp_path / "summary"))[:2] == (78, "")


def test_sigterm_while_a_job_waits_for_the_schema_ends_it_at_once(
    shell: Shell, empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    process = shell.start(JOB, env=job_env(empty_database_url, redis_url, tmp_path / "summary"))
    stat = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: _catches_sigterm(stat), "the job handles SIGTERM")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)  # the wait would take 60 s
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, output) == (75, "")
    assert Summary.from_json((tmp_path / "summary").read_text()).reason is Reason.TERMINATED


def _catches_sigterm(status: Path) -> bool:
    caught = int(re.findall(r"^SigCgt:\s+(\w+)$", status.read_text(), re.MULTILINE)[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
