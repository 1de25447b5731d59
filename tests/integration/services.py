"""Real servers for tests: started on a free loopback port, stopped with the test, never a system service."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from catchup_dev import ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_SECONDS = 120.0
# Where packages put the programs that nobody has in the search path.
POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/local/bin", "usr/pgsql-*/bin")


def free_port() -> int:
    """Return a TCP port of the loopback address on which nothing listens."""
    return ports.free_port("127.0.0.1")


def find_program(name: str, *folders: str) -> str:
    """Return the program's path, or fail the test, saying what is missing."""
    found = shutil.which(name) or next(
        (str(path) for folder in folders for path in sorted(Path("/").glob(f"{folder}/{name}"), reverse=True)),
        None,
    )
    if found is None:
        pytest.fail(f"{name} is not installed; `make test-integration` installs it as root on Debian")
    return found


def wait_until(holds: Callable[[], bool], what: str, seconds: float = _START_SECONDS) -> None:
    """Poll until `holds()`, or fail the test, naming `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Return whether a server accepts connections there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class RedisServer:
    """A Redis of its own, without persistence; it can be stopped and started again (empty) on the same port."""

    port: int = field(default_factory=free_port)
    password: str = ""
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    # A replica keeps what it received there, and any server that starts there would read it.
    folder: Path | None = None

    @property
    def url(self) -> str:
        """The URL that clients use."""
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it listens."""
        program = find_program("redis-server", "usr/bin")
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.folder = Path(tempfile.mkdtemp(prefix="catchup-redis-"))
        arguments += ["--dir", str(self.folder)]
        if self.password:
            arguments += ["--requirepass", self.password]
        arguments += self.options
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, cwd=self.folder)
        wait_until(lambda: listens(self.port), "redis-server listens")

    def stop(self) -> None:
        """Stop at once; all keys are lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


@contextmanager
def redis_server(password: str = "", *options: str) -> Iterator[RedisServer]:
    """Run a Redis for the time of the block, with more of its own options."""
    server = RedisServer(password=password, options=options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class PostgresServer:
    """A PostgreSQL cluster of its own in a temporary directory; it can be restarted on the same port."""

    port: int
    data: Path
    command: list[str]
    as_user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, *, port: int | None = None) -> str:
        """The URL of one of its databases, there or behind a proxy's port."""
        return f"postgresql://catchup@127.0.0.1:{port or self.port}/{database}"

    def create(self, name: str, template: str = "template1") -> None:
        """Make a database, as a copy of another."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    def drop(self, name: str) -> None:
        """Delete a database and end who is connected to it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        with (self.data.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.data.parent, stderr=log, **self.as_user)
        wait_until(self._is_ready, "postgres accepts connections")

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by SIGINT its connections are told, by SIGQUIT it dies as in a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def _is_ready(self) -> bool:
        # The last line of postmaster.pid is the server's own account of its state.
        file = self.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            lines = file.read_text().split()
            return self.process is not None and lines[:1] == [str(self.process.pid)] and "ready" in lines
        return False


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for the time of the block; as root, under an unprivileged user, as PostgreSQL demands."""
    initdb = find_program("initdb", *POSTGRES_FOLDERS)
    names = ["-U", "catchup", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    with _running_on(lambda data: [initdb, "-D", str(data), *names]) as server:
        yield server


@contextmanager
def standby_server(primary: PostgresServer) -> Iterator[PostgresServer]:
    """Run a hot standby of another server for the time of the block: all that it holds, to be read only."""
    basebackup = find_program("pg_basebackup", *POSTGRES_FOLDERS)
    source = ["-d", primary.url("postgres"), "-R", "-c", "fast", "--no-sync"]
    with _running_on(lambda data: [basebackup, "-D", str(data), *source]) as server:
        yield server


@contextmanager
def _running_on(make: Callable[[Path], list[str]]) -> Iterator[PostgresServer]:
    postgres = find_program("postgres", *POSTGRES_FOLDERS)
    as_user: dict[str, Any] = {}
    home = Path(tempfile.mkdtemp(prefix="catchup-postgres-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    data = home / "data"
    try:
        made = subprocess.run(make(data), cwd=home, capture_output=True, text=True, check=False, **as_user)
        assert made.returncode == 0, made.stderr
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": home,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 150,
            # It may be in memory, where a gigabyte of log would stay.
            "max_wal_size": "96MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server = PostgresServer(port, data, [postgres, "-D", str(data), *options], as_user)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
