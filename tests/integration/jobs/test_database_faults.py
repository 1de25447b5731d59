"""A database that is full, or takes nobody in: real processes end as temporary, and the next one does the work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from integration.jobs.sync_world import EMAIL
from integration.jobs.test_sync_command import COMMAND, Shell, cluster_shell, connect, shell
from integration.services import POSTGRES_FOLDERS, PostgresServer, find_program, free_port, wait_until

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count

__all__ = ["cluster_shell", "shell"]  # the fixtures

# The home directory moves to a file system of its own, which is full for the first sync and has room for the second;
# in a mount namespace, so that it is gone with the shell.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=4m small "$1" && cp -R "$2"/. "$1" && export HOME="$1"
dd if=/dev/zero of="$1"/filler bs=4k 2>/dev/null
"$3" sync --user ada; first=$?; cp "$CATCHUP_TERMINATION_LOG" "$CATCHUP_TERMINATION_LOG.first"
rm "$1"/filler
"$3" sync --user ada; echo $first $?
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_temporary_and_the_next_sync_goes_on(shell: Shell, tmp_path: Path) -> None:
    connect(shell)
    for number in range(50):
        shell.google.add_event(EMAIL, f"e{number}", title="Meeting", at=f"+{1 + number // 5}d {10 + number % 5}:00")
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / ".local").rename(home / ".local")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", str(tmp_path / "disk"), str(home), COMMAND],
        env={"PATH": os.environ["PATH"]} | shell.environment | {"CATCHUP_TERMINATION_LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(int(ExitCode.TEMPORARY)), "0"], done.stderr
    assert "the SQLite database is not available" in done.stderr
    shell.environment["CATCHUP_TERMINATION_LOG"] = str(log)
    assert json.loads(log.read_text())["counts"][Count.EVENTS_ADDED] == 50
    assert json.loads((tmp_path / "log.first").read_text())["reason"] == Reason.UNAVAILABLE


# A PostgreSQL whose files are on such a file system.
SERVE_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=80m,mode=777 small /mnt
as_nobody="setpriv --reuid=$(id -u nobody) --regid=$(id -g nobody) --clear-groups"
$as_nobody "$1" -D /mnt/data -U catchup -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
exec $as_nobody "$2" -D /mnt/data -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off
"""


@pytest.fixture
def small_postgres() -> Iterator[tuple[str, Path]]:
    """The URL of a server with little room, and where its file system is seen from outside."""
    port = free_port()
    programs = [find_program(name, *POSTGRES_FOLDERS) for name in ("initdb", "postgres")]
    command = ["unshare", "--mount", "sh", "-ec", SERVE_ON_A_SMALL_DISK, "sh", *programs, str(port)]
    with subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL) as process:
        url = f"postgresql://catchup@127.0.0.1:{port}/postgres"
        try:
            wait_until(lambda: _admits(url), "postgres accepts connections")
            yield url, Path(f"/proc/{process.pid}/root/mnt")
        finally:
            process.send_signal(signal.SIGQUIT)


def fill(path: Path) -> None:
    """Write until nothing more is taken."""
    with path.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 8192):
            pass


def _admits(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_postgresql_without_room_is_temporary_and_the_next_sync_goes_on(
    cluster_shell: Shell, small_postgres: tuple[str, Path]
) -> None:
    shell, (url, disk) = cluster_shell, small_postgres
    shell.environment["CATCHUP_DATABASE_URL"] = url
    shell.run("db", "migrate")
    shell.run("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada"}))
    connect(shell)
    shell.run("sync", "--user", "ada")
    for number in range(50):
        at = f"+{1 + number // 5}d {10 + number % 5}:00"
        shell.google.add_event(EMAIL, f"e{number}", title="Meeting " * 40, at=at)
    with pytest.raises(OSError, match="No space left"):
        fill(disk / "filler")
    told = shell.run("sync", "--user", "ada", code=ExitCode.TEMPORARY)
    logged = [json.loads(line) for line in told.split("\n") if line]
    (why,) = {entry["why"] for entry in logged if "why" in entry}
    assert "SQLSTATE 53100: its disk is full" in why
    assert (shell.summary().outcome, shell.summary().reason) == (Outcome.RETRY, Reason.UNAVAILABLE)
    (disk / "filler").unlink()
    shell.run("sync", "--user", "ada")
    assert shell.summary().counts[Count.EVENTS_ADDED] == 50


# Another program that writes to the file, and does not come to an end.
HOLD = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], isolation_level=None).execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_process_keeps_locked_is_temporary_and_the_next_sync_goes_on(
    shell: Shell, tmp_path: Path
) -> None:
    connect(shell)
    shell.google.add_event(EMAIL, "e", title="Meeting", at="+1d 10:00")
    (file,) = (tmp_path / ".local").rglob("*.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        told = shell.run("sync", "--user", "ada", code=ExitCode.TEMPORARY)
        holder.kill()
    assert "SQLITE_BUSY" in told
    assert (shell.summary().outcome, shell.summary().reason) == (Outcome.RETRY, Reason.UNAVAILABLE)
    shell.run("sync", "--user", "ada")
    assert shell.summary().counts[Count.EVENTS_ADDED] == 1


@pytest.fixture
def crowded_url(postgres: PostgresServer, postgresql_url: str) -> str:
    """The database, for a role that gets no connection until its limit is raised."""
    name = postgresql_url.rpartition("/")[2]
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE crowd_{name} LOGIN CONNECTION LIMIT 0")
        connection.execute(f"GRANT pg_read_all_data, pg_write_all_data TO crowd_{name}")
    return postgresql_url.replace("catchup@", f"crowd_{name}@")


def test_no_free_connection_is_temporary_and_the_next_sync_goes_on(
    cluster_shell: Shell, crowded_url: str, postgresql_url: str
) -> None:
    shell = cluster_shell
    shell.environment["CATCHUP_DATABASE_URL"] = crowded_url
    shell.run("sync", "--user", "ada", code=ExitCode.TEMPORARY)
    assert (shell.summary().outcome, shell.summary().reason) == (Outcome.RETRY, Reason.UNAVAILABLE)
    role = crowded_url.partition("//")[2].partition("@")[0]
    with closing(psycopg.connect(postgresql_url, autocommit=True)) as connection:
        connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    shell.run("sync", "--user", "ada")
    assert shell.summary().outcome is Outcome.DONE
