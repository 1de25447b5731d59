"""`catchup-jobs sync` and `catchup-jobs calendar` as processes, the way a user and a pod run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from integration.jobs import nursery
from integration.jobs.sync_world import BERLIN, CLIENT_ID, CLIENT_SECRET, EMAIL
from integration.services import wait_until

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_jobs.adapters.database.engine import Database

if TYPE_CHECKING:
    from catchup_dev.doubles.google.client import GoogleDouble

COMMAND = str(Path(sys.executable).with_name("catchup-jobs"))


@dataclass
class Shell:
    """Runs `catchup-jobs` with an environment of its own."""

    directory: Path
    google: GoogleDouble
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def termination_log(self) -> Path:
        return self.directory / "termination-log"

    def database(self) -> Database:
        """Open the SQLite file that the command keeps where no other database is named; close it."""
        return Database.open(f"sqlite:///{self.directory / '.local/share/catchup-jobs/catchup.db'}")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.directory)} | self.environment

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """Return what the command printed, logs and errors included; nothing may print a traceback."""
        return "".join(self._ended(arguments, stdin, code))

    def out(self, *arguments: str, code: int = 0) -> str:
        """Return what the command printed on its standard output."""
        return self._ended(arguments, "", code)[0]

    def both(self, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        """Return what the command printed on its standard output and on its standard error."""
        return self._ended(arguments, stdin, code)

    def _ended(self, arguments: tuple[str, ...], stdin: str, code: int) -> tuple[str, str]:
        ended, out, err = nursery.run(arguments, self._environment(), stdin=stdin)
        assert "Traceback" not in err
        assert ended == code, out + err
        return out, err

    def summary(self) -> Summary:
        return Summary.from_json(self.termination_log.read_text(encoding="utf-8"))


@pytest.fixture
def shell(tmp_path: Path, google: GoogleDouble) -> Shell:
    """A laptop: nothing configured but Google, at the double; user ada imported."""
    google.add_user(EMAIL, time_zone=BERLIN)
    made = Shell(tmp_path, google)
    made.environment = {
        "CATCHUP_GOOGLE_CLIENT_ID": CLIENT_ID,
        "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "CATCHUP_GOOGLE_API_ENDPOINT": google.api_endpoint,
        "CATCHUP_GOOGLE_TOKEN_URI": google.token_uri,
        "CATCHUP_GOOGLE_AUTH_URI": google.auth_uri,
        "CATCHUP_TERMINATION_LOG": str(made.termination_log),
    }
    made.run("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada", "timeZone": BERLIN}))
    return made


def connect(shell: Shell) -> None:
    shell.run("calendar", "connect", "ada", "--token-file", "-", stdin=json.dumps(shell.google.grant(EMAIL)))


@pytest.fixture
def cluster_shell(shell: Shell, redis_url: str, postgresql_url: str) -> Shell:
    """The user in an installation with PostgreSQL and Redis."""
    shell.environment |= {
        "CATCHUP_DATABASE_URL": postgresql_url,
        "CATCHUP_REDIS_URL": redis_url,
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    shell.run("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada"}))
    connect(shell)
    return shell


def test_a_laptop_with_no_server_at_all_connects_and_syncs(shell: Shell) -> None:
    shell.google.add_event(EMAIL, "dentist", title="Dentist", at="+1d 15:00")
    connect(shell)
    shell.run("sync", "--user", "ada")
    summary = shell.summary()
    assert (summary.outcome, summary.reason) == (Outcome.DONE, None)
    assert summary.counts[Count.EVENTS_ADDED] == 1
    listed = shell.run("calendar", "list", "ada")
    assert f"* {EMAIL}"[:20] in listed
    assert "synced" in listed


def test_calendars_are_selected_by_name_or_id(shell: Shell) -> None:
    shell.google.add_calendar(EMAIL, "family-id", summary="Family")
    shell.google.add_event("family-id", "zoo", title="Zoo", at="+2d 10:00")
    connect(shell)
    assert "no calendars known yet" in shell.run("calendar", "list", "ada")
    shell.run("sync", "--user", "ada")
    assert "selected" in shell.run("calendar", "select", "ada", "Family")
    shell.run("sync", "--user", "ada")
    assert shell.summary().counts[Count.EVENTS_ADDED] == 1
    shell.run("calendar", "deselect", "ada", "family-id")
    shell.run("sync", "--user", "ada")
    assert shell.summary().counts[Count.CALENDARS] == 1
    assert "no such calendar" in shell.run("calendar", "select", "ada", "Work", code=65)


def test_the_full_option_reads_everything(shell: Shell) -> None:
    connect(shell)
    shell.run("sync", "--user", "ada")
    shell.run("sync", "--user", "ada", "--full")
    assert shell.summary().counts[Count.FULL_SYNCS] == 1


def test_consent_in_a_browser_connects(shell: Shell) -> None:
    process = shell.start("calendar", "connect", "ada", "--installed-app", "--no-browser")
    assert process.stdout is not None
    url = next(line for line in process.stdout if line.startswith("http"))
    with urllib.request.urlopen(url.strip(), timeout=5):
        pass
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "connected" in out
    shell.run("sync", "--user", "ada")
    assert shell.summary().outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sync", "--user", "nobody"), 65, "user import"),
        (("sync", "--user", "../etc"), 65, "user id"),
        (("sync",), 65, "--user"),
        (("calendar", "connect", "ada"), 65, "--token-file"),
        (("calendar", "connect", "nobody", "--installed-app"), 65, "user import"),
        (("calendar", "connect", "ada", "--token-file", "/nowhere"), 65, "No such file"),
        (("calendar", "list", "nobody"), 65, "user import"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(
    shell: Shell, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in shell.run(*arguments, code=code)


def test_a_wrong_token_file_changes_nothing(shell: Shell) -> None:
    connect(shell)
    assert "nothing was stored" in shell.run("calendar", "connect", "ada", "--token-file", "-", stdin="{}", code=65)
    shell.run("sync", "--user", "ada")


@pytest.mark.parametrize(
    ("missing", "code", "outcome", "reason"),
    [
        (("CATCHUP_GOOGLE_CLIENT_ID", "CATCHUP_GOOGLE_CLIENT_SECRET"), 0, Outcome.SKIPPED, Reason.NOT_CONFIGURED),
        (("CATCHUP_GOOGLE_CLIENT_SECRET",), 78, Outcome.FAILED, Reason.MISCONFIGURED),
    ],
)
def test_google_not_configured_is_skipped_and_half_configured_is_78(
    shell: Shell, missing: tuple[str, ...], code: int, outcome: Outcome, reason: Reason
) -> None:
    connect(shell)
    for name in missing:
        del shell.environment[name]
    shell.run("sync", "--user", "ada", code=code)
    assert (shell.summary().outcome, shell.summary().reason) == (outcome, reason)


def test_another_encryption_key_is_78_and_wipes_nothing(shell: Shell) -> None:
    connect(shell)
    shell.environment["CATCHUP_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    shell.run("sync", "--user", "ada", code=ExitCode.MISCONFIGURED)
    del shell.environment["CATCHUP_ENCRYPTION_KEYS"]
    shell.run("sync", "--user", "ada")


def test_keys_are_rotated_on_a_live_system_and_a_wrong_key_changes_nothing(cluster_shell: Shell) -> None:
    environment, name = cluster_shell.environment, "CATCHUP_ENCRYPTION_KEYS"
    old, new = environment[name], Fernet.generate_key().decode()
    environment[name] = Fernet.generate_key().decode()
    assert "nothing was changed" in cluster_shell.run("tokens", "rotate", code=ExitCode.MISCONFIGURED)
    # A pod from before the roll-out, which stores a refreshed token in the middle of the rotation.
    environment[name] = old
    cluster_shell.google.expire_access_tokens(EMAIL)
    fault = cluster_shell.google.add_fault(kind="token", delay=3)
    pod = cluster_shell.start("sync", "--user", "ada")
    wait_until(lambda: fired(cluster_shell, fault), "the pod refreshes its token")
    environment[name] = f"{new},{old}"
    assert "1 tokens" in cluster_shell.run("tokens", "rotate")
    assert pod.poll() is None, "the rotation was to be over before the pod"
    pod.communicate(timeout=120)
    assert pod.returncode == ExitCode.DONE
    assert "1 tokens" in cluster_shell.run("tokens", "rotate")
    keys = json.loads(cluster_shell.out("tokens", "status", "--output", "json"))
    assert [(key["role"], key["values"]) for key in keys] == [("newest", 1), ("older", 0)]
    environment[name] = new
    cluster_shell.run("sync", "--user", "ada")


def fired(shell: Shell, fault: int) -> bool:
    return any(each["id"] == fault and each["fired"] for each in shell.google.faults())


def test_user_show_and_calendar_list_name_a_calendar_that_cannot_be_read_and_what_follows(shell: Shell) -> None:
    connect(shell)
    fault = shell.google.add_fault(kind="events", status=403, reason="forbidden", times=None)
    shell.run("sync", "--user", "ada")
    assert fired(shell, fault)
    assert shell.summary().reason is Reason.CALENDAR_UNREADABLE
    for command in (("user", "show"), ("calendar", "list")):
        shown = shell.run(*command, "ada")
        assert f"{EMAIL} (primary)" in shown
        assert "cannot be read (forbidden): no new suggestions until it can be read" in shown
    (calendar,) = json.loads(shell.run("user", "show", "ada", "--output", "json"))["calendars"]
    assert (calendar["primary"], calendar["error"], calendar["unreadableEvents"]) == (True, "forbidden", 0)


def test_the_userschedules_zone_is_taken_over_with_the_run(shell: Shell) -> None:
    connect(shell)
    shell.environment |= {
        "CATCHUP_TIME_ZONE": "Asia/Tokyo",
        "CATCHUP_DIGEST_DAY": "Friday",
        "CATCHUP_DIGEST_TIME": "18:30",
        "CATCHUP_SYNC_EVERY": "1h",
    }
    shell.run("sync", "--user", "ada")
    shown = shell.run("user", "show", "ada")
    assert "Asia/Tokyo" in shown
    assert "Friday 18:30" in shown


def test_sigterm_in_the_middle_ends_with_75_and_the_same_run_is_completed_by_another_pod(shell: Shell) -> None:
    connect(shell)
    shell.environment["CATCHUP_JOB_UID"] = "job-1"
    shell.google.add_event(EMAIL, "dentist", title="Dentist", at="+1d 15:00")
    fault = shell.google.add_fault(kind="events", delay=3)
    process = shell.start("sync", "--user", "ada")
    wait_until(lambda: fired(shell, fault), "the sync reads events")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == ExitCode.TEMPORARY
    assert (shell.summary().outcome, shell.summary().reason) == (Outcome.RETRY, Reason.TERMINATED)
    shell.run("sync", "--user", "ada")
    assert shell.summary().counts[Count.EVENTS_ADDED] == 1
    assert shell.summary().attempts == 0


def test_two_processes_of_one_user_are_one_effect(shell: Shell) -> None:
    connect(shell)
    shell.google.add_event(EMAIL, "dentist", title="Dentist", at="+1d 15:00")
    shell.google.add_fault(kind="events", delay=2)
    processes = [shell.start("sync", "--user", "ada") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0]
    assert shell.google.count("events") == 1


def test_sigterm_while_the_process_still_imports_is_75_at_once(shell: Shell) -> None:
    process = shell.start("sync", "--user", "ada")
    deadline = time.monotonic() + 120
    while not _handles(process.pid, signal.SIGTERM):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (ExitCode.TEMPORARY, "", "")


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal by now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_a_sync_imports_no_client_that_it_does_not_use(shell: Shell) -> None:
    connect(shell)
    shell.run("sync", "--user", "ada")
    probe = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules));"
        "from catchup_jobs.cli import main; sys.argv[1:] = ['sync', '--user', 'ada']; main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PATH": os.environ["PATH"], "HOME": str(shell.directory)} | shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = set(process.stdout.split())
    assert "googleapiclient" in imported
    unused = {"alembic", "google_auth_oauthlib", "jinja2", "opentelemetry", "psycopg", "redis", "smtplib", "twilio"}
    assert imported & unused == set()


# Giving the consent back --------------------------------------------------------------------------------------------


def grants(shell: Shell) -> int:
    """Return how many consents Google knows, by taking all back."""
    found: int = shell.google.revoke(EMAIL)
    return found


def test_deleting_a_user_gives_the_consent_at_google_back(shell: Shell) -> None:
    connect(shell)
    assert "the consent at Google was given back" in shell.run("user", "delete", "ada", "--yes")
    assert shell.google.count("revoke", status=200) == 1
    assert grants(shell) == 0


def test_a_consent_that_ended_already_or_never_was_is_told(shell: Shell) -> None:
    shell.run("user", "import", "-", stdin=json.dumps({"id": "grace", "name": "Grace"}))
    assert "the consent at Google was never given" in shell.run("user", "delete", "grace", "--yes")
    connect(shell)
    assert grants(shell) == 1
    assert "the consent at Google had ended already" in shell.run("user", "delete", "ada", "--yes")


def test_a_user_is_deleted_though_google_cannot_be_asked_and_it_is_said_what_to_do(shell: Shell) -> None:
    connect(shell)
    fault = shell.google.add_fault(kind="revoke", status=503)
    told = shell.run("user", "delete", "ada", "--yes")
    assert "could not be given back (the OAuth server answers 503): the user can withdraw it" in told
    assert [each["fired"] for each in shell.google.faults() if each["id"] == fault] == [1]
    assert grants(shell) == 1
    assert "there is no user" in shell.run("user", "delete", "ada", "--yes", code=65)


def test_a_token_that_cannot_be_opened_does_not_keep_a_user_from_being_deleted(shell: Shell) -> None:
    connect(shell)
    shell.environment["CATCHUP_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    told = json.loads(shell.out("user", "delete", "ada", "--yes", "--output", "json"))
    assert (told["id"], told["removed"]["tokens"]) == ("ada", 1)
    assert "could not be given back" in told["googleConsent"]
    assert shell.google.count("revoke") == 0


def test_an_account_that_another_user_is_connected_to_stays_connected(shell: Shell) -> None:
    connect(shell)
    shell.run("sync", "--user", "ada")
    shell.run("user", "import", "-", stdin=json.dumps({"id": "grace", "name": "Grace"}))
    token = json.dumps(shell.google.grant(EMAIL))
    shell.run("calendar", "connect", "grace", "--token-file", "-", stdin=token)
    shell.run("sync", "--user", "grace")
    assert "stays: another user is connected to the same account" in shell.run("user", "delete", "ada", "--yes")
    shell.run("sync", "--user", "grace")
    assert shell.summary().outcome is Outcome.DONE
