"""PgBouncer in transaction mode: what a session knows is gone with the transaction, and what it sets would stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from integration.jobs.sync_world import BERLIN, CLIENT_ID, CLIENT_SECRET
from integration.jobs.test_sync_command import Shell
from integration.poolers import POOL_SIZE, PgBouncer, pgbouncer
from sqlalchemy import func, select, text

from catchup_jobs.adapters.database.engine import Database, migration_engine
from catchup_jobs.adapters.database.schema import digests, runs, suggestions
from catchup_jobs.adapters.database.url import parse_url
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from integration.services import PostgresServer

    from catchup_dev.doubles.google.client import GoogleDouble
    from catchup_dev.doubles.smtp.server import SmtpDouble

USERS = ("ada", "ben", "cem", "dan")
# What a session can hold that the next client of the connection would meet.
_SESSION = """
SELECT (SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
         WHERE source = 'session' AND name <> 'application_name'),
       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_listening_channels())
"""


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with pgbouncer(postgres.port) as running:
        yield running


@pytest.fixture
def pooled_url(empty_postgresql: str, postgres: PostgresServer, pooler: PgBouncer) -> str:
    return postgres.url(empty_postgresql, port=pooler.port)


def _person(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name.title(),
        "timeZone": BERLIN,
        "channels": {"email": {"address": f"{name}@example.com", "mode": "on"}},
        "contacts": [
            {"id": f"c-{number}", "name": f"Eve {number}", "createdAt": "2020-01-10T12:00:00Z"} for number in range(30)
        ],
    }


@pytest.fixture
def shell(tmp_path: Path, google: GoogleDouble, mail: SmtpDouble, redis_url: str, pooled_url: str) -> Shell:
    made = Shell(tmp_path, google)
    made.environment = {
        "CATCHUP_DATABASE_URL": pooled_url,
        "CATCHUP_REDIS_URL": redis_url,
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CATCHUP_GOOGLE_CLIENT_ID": CLIENT_ID,
        "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "CATCHUP_GOOGLE_API_ENDPOINT": google.api_endpoint,
        "CATCHUP_GOOGLE_TOKEN_URI": google.token_uri,
        "CATCHUP_SMTP_HOST": "localhost",
        "CATCHUP_SMTP_PORT": str(mail.port),
        "CATCHUP_SMTP_FROM": "digest@example.com",
        "CATCHUP_SMTP_USERNAME": "catchup",
        "CATCHUP_SMTP_PASSWORD": "double",
        "CATCHUP_SMTP_CA_FILE": str(mail.ca_file),
    }
    return made


def _sessions(url: str) -> list[Any]:
    """Return what each connection of the pool holds: as many transactions at once as it has connections."""
    with ExitStack() as opened:
        connections = [opened.enter_context(psycopg.connect(url, prepare_threshold=None)) for _ in range(POOL_SIZE)]
        pids = {connection.execute("SELECT pg_backend_pid()").fetchone() for connection in connections}
        assert len(pids) == POOL_SIZE
        return [connection.execute(_SESSION).fetchone() for connection in connections]


def test_import_and_all_jobs_work_behind_pgbouncer_and_leave_nothing_on_its_connections(
    shell: Shell, google: GoogleDouble, mail: SmtpDouble, pooled_url: str, pooler: PgBouncer
) -> None:
    _import_and_connect(shell, google)
    _at_once(shell, [("sync", "--user", name) for name in USERS])
    _at_once(shell, [("sync", "--user", name, "--full") for name in USERS])
    _at_once(shell, [("suggestions", "--user", name) for name in USERS])
    _at_once(shell, [("digest", "--user", name) for name in USERS])
    shell.run("suggestions")
    assert len(mail.control.messages()) == len(USERS)
    with closing(Database.open(pooled_url)) as database, database.read() as connection:
        assert connection.execute(select(func.count()).select_from(digests)).scalar_one() == len(USERS)
        assert connection.execute(select(func.count()).select_from(suggestions)).scalar_one() >= len(USERS)
        assert set(connection.execute(select(runs.c.state)).scalars()) == {"done"}
        # The limits hold within a transaction.
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "1min"
        assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"
    name = pooled_url.rpartition("/")[2]
    (pool,) = [row for row in pooler.show("POOLS") if row["database"] == name]
    assert pool["pool_mode"] == "transaction"
    assert _sessions(pooled_url) == [(None, 0, 0, 0, 0)] * POOL_SIZE


def _import_and_connect(shell: Shell, google: GoogleDouble) -> None:
    shell.run("db", "migrate")
    shell.run("user", "import", "-", stdin=json.dumps([_person(name) for name in USERS]))
    for name in USERS:
        google.add_user(f"{name}@example.com", time_zone=BERLIN)
        token = json.dumps(google.grant(f"{name}@example.com"))
        shell.run("calendar", "connect", name, "--token-file", "-", stdin=token)


def _at_once(shell: Shell, commands: Sequence[tuple[str, ...]]) -> None:
    with ThreadPoolExecutor(len(commands)) as pool:
        list(pool.map(lambda command: shell.run(*command), commands))


def test_one_connection_suffices_for_all_jobs(
    shell: Shell, google: GoogleDouble, mail: SmtpDouble, postgres: PostgresServer, empty_postgresql: str
) -> None:
    with pgbouncer(postgres.port, pool_size=1) as narrow:
        shell.environment["CATCHUP_DATABASE_URL"] = postgres.url(empty_postgresql, port=narrow.port)
        _import_and_connect(shell, google)
        _at_once(shell, [("sync", "--user", name) for name in USERS])
        # Each batch is read by a thread while the one before is stored.
        shell.run("suggestions", "--batch-size", "1")
        _at_once(shell, [("digest", "--user", name) for name in USERS])
    assert len(mail.control.messages()) == len(USERS)


def test_what_is_looked_for_on_the_connections_would_be_found(pooled_url: str) -> None:
    with psycopg.connect(pooled_url, autocommit=True) as careless:
        careless.execute("SET statement_timeout = '60s'")
        careless.execute("SELECT 1", prepare=True)
    assert ("statement_timeout=60000", 1, 0, 0, 0) in _sessions(pooled_url)


def test_a_migration_knows_no_statement_timeout_of_the_role(pooled_url: str, postgres: PostgresServer) -> None:
    name = pooled_url.rpartition("/")[2]
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} SET statement_timeout = '1s'".encode())
    with pytest.raises(psycopg.errors.QueryCanceled), psycopg.connect(pooled_url) as connection:
        connection.execute("SELECT pg_sleep(2)")
    engine = migration_engine(parse_url(pooled_url))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(2)"))
    engine.dispose()


def test_a_connection_that_postgresql_ends_within_many_inserts_is_temporary(
    pooled_url: str, postgres: PostgresServer
) -> None:
    name = pooled_url.rpartition("/")[2]
    with closing(Database.open(pooled_url)) as database, psycopg.connect(postgres.url(name)) as administrator:
        administrator.execute("CREATE TABLE noted (number int, filler text)")
        # The server ends this connection itself at one of the rows, wherever the driver is then.
        administrator.execute(
            "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$;"
            " CREATE TRIGGER leaves BEFORE INSERT ON noted FOR EACH ROW WHEN (new.number = 3000)"
            " EXECUTE FUNCTION leave()"
        )
        administrator.commit()
        rows = [{"number": number, "filler": "x" * 3000} for number in range(6000)]
        with pytest.raises(TemporaryError), database.write() as connection:
            connection.execute(text("INSERT INTO noted VALUES (:number, :filler)"), rows)
        assert administrator.execute("SELECT count(*) FROM noted").fetchone() == (0,)
