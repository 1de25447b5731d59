"""A real PgBouncer before a PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from integration.services import find_program, free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

POOL_SIZE = 4
_SETTINGS = """
[databases]
{databases}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {users}
admin_users = catchup
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = {max_clients}
"""


@dataclass(frozen=True)
class PgBouncer:
    """One that is running."""

    port: int

    def show(self, what: str) -> list[dict[str, Any]]:
        """Return the rows of a `SHOW` of its console."""
        # The console knows the simple protocol only, and no transactions.
        with psycopg.connect(
            f"postgresql://catchup@127.0.0.1:{self.port}/pgbouncer",
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
        ) as console:
            cursor = console.execute(f"SHOW {what}".encode())
            assert cursor.description is not None
            return [dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor]


@contextmanager
def pgbouncer(
    server_port: int,
    *,
    database: str = "*",
    password: str = "",
    pool_mode: str = "transaction",
    pool_size: int = POOL_SIZE,
    max_clients: int = 100,
) -> Iterator[PgBouncer]:
    """Run one for the time of the block; as root, under an unprivileged user, as PgBouncer demands.

    Args:
        database: the only one that it knows; all by default.
        password: what it wants of clients; none by default.
        pool_mode: after what a client gives its connection back: `session`, `transaction` or `statement`.
        pool_size: how many connections to the server all clients of a database share.
        max_clients: how many it admits at once.
    """
    program = find_program("pgbouncer", "usr/sbin")
    as_user: dict[str, Any] = {}
    home = Path(tempfile.mkdtemp(prefix="catchup-pgbouncer-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    port = free_port()
    users = home / "users"
    users.write_text(f'"catchup" "{password}"\n', encoding="utf-8")
    settings = home / "pgbouncer.ini"
    settings.write_text(
        _SETTINGS.format(
            databases=f"{database} = host=127.0.0.1 port={server_port}",
            port=port,
            auth_type="scram-sha-256" if password else "trust",
            users=users,
            pool_size=pool_size,
            pool_mode=pool_mode,
            max_clients=max_clients,
        ),
        encoding="utf-8",
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, str(settings)], cwd=home, stdout=log, stderr=log, **as_user)
    try:
        wait_until(lambda: listens(port), "pgbouncer listens")
        yield PgBouncer(port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
