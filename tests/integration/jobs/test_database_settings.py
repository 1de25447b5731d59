"""What a server, a database, a role or a pooler is set to changes nothing, or is told with the right exit code."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest
from integration.jobs.test_database_refusals import catchup
from integration.poolers import pgbouncer
from integration.services import free_port, postgres_server, standby_server
from sqlalchemy import select, text

from catchup_contract.outcomes import ExitCode
from catchup_jobs.adapters.database import migrate
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import contacts, interactions, users
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from pathlib import Path

    from integration.services import PostgresServer

NAME = "Zoë 愛"
PERSON = {
    "id": "zoe",
    "name": NAME,
    "contacts": [{"id": "c", "name": NAME, "interactions": ["2026-01-13T18:00:00+02:00"]}],
}


@pytest.fixture
def people(tmp_path: Path) -> str:
    file = tmp_path / "people.json"
    file.write_text(json.dumps(PERSON), encoding="utf-8")
    return str(file)


# Each is a parameter of a role in a public report of a driver that failed on it.
@pytest.mark.parametrize(
    "setting",
    [
        "DateStyle = 'German'",
        "DateStyle = 'SQL, DMY'",
        "DateStyle = 'Postgres, MDY'",
        "IntervalStyle = 'iso_8601'",
        "TimeZone = 'Asia/Kathmandu'",
        "client_encoding = 'LATIN1'",
        "client_encoding = 'SQL_ASCII'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
    ],
)
def test_a_role_may_be_set_to_any_style(
    postgres: PostgresServer, postgresql_url: str, people: str, setting: str
) -> None:
    role = f"styled_{postgresql_url.rpartition('/')[2]}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET {setting}".encode())
    url = postgresql_url.replace("catchup@", f"{role}@")
    for _ in range(2):
        assert catchup("user", "import", people, url=url) == (ExitCode.DONE, "")
    assert catchup("user", "show", "zoe", url=url) == (ExitCode.DONE, "")
    with closing(Database.open(postgresql_url)) as database, database.read() as stored:
        assert stored.execute(select(users.c.name, contacts.c.name).join(contacts)).all() == [(NAME, NAME)]
        (met,) = stored.execute(select(interactions.c.occurred_at)).scalars().all()
    assert met.isoformat() == "2026-01-13T16:00:00+00:00"


def test_a_url_may_name_any_client_encoding(postgresql_url: str, people: str) -> None:
    assert catchup("user", "import", people, url=f"{postgresql_url}?client_encoding=LATIN1") == (ExitCode.DONE, "")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_that_cannot_hold_every_name_is_refused_before_anything_is_made(
    postgres: PostgresServer, encoding: str
) -> None:
    name = f"encoded_{encoding.lower()}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
    code, said = catchup("db", "migrate", url=postgres.url(name))
    assert (code, encoding in said, "ENCODING 'UTF8'" in said) == (ExitCode.MISCONFIGURED, True, True), said
    with psycopg.connect(postgres.url(name)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@dataclass
class Pair:
    """A primary and its standby."""

    primary: PostgresServer
    standby: PostgresServer


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with postgres_server() as primary:
        migrate.upgrade(primary.url("postgres"))
        with standby_server(primary) as standby:
            yield Pair(primary, standby)


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "PgBouncer"])
@pytest.mark.parametrize(
    "command", [("user", "import"), ("user", "delete", "zoe", "--yes"), ("digest", "--user", "zoe"), ("suggestions",)]
)
def test_a_standby_is_temporary_and_told(pair: Pair, people: str, command: tuple[str, ...], pooled: bool) -> None:
    if command == ("user", "import"):
        command = (*command, people)
    else:
        assert catchup("user", "import", people, url=pair.primary.url("postgres"))[0] == ExitCode.DONE
    with ExitStack() as stack:
        port = stack.enter_context(pgbouncer(pair.standby.port)).port if pooled else pair.standby.port
        code, said = catchup(*command, url=f"postgresql://catchup@127.0.0.1:{port}/postgres")
    assert (code, "standby" in said) == (ExitCode.TEMPORARY, True), said


def test_of_several_hosts_the_one_that_takes_writes_is_used(pair: Pair, people: str) -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}"
    assert catchup("user", "import", people, url=f"postgresql://catchup@{hosts}/postgres") == (ExitCode.DONE, "")


def test_several_hosts_of_which_none_takes_writes_are_temporary_and_told(pair: Pair, people: str) -> None:
    hosts = f"127.0.0.1:{pair.standby.port},127.0.0.1:{free_port()}"
    code, said = catchup("user", "import", people, url=f"postgresql://catchup@{hosts}/postgres")
    assert (code, "standby" in said) == (ExitCode.TEMPORARY, True), said


def test_a_database_that_is_set_to_read_only_when_its_disk_is_full_is_temporary(
    postgresql_url: str, people: str
) -> None:
    # As managed services do; https://www.postgresql.org/docs/current/runtime-config-client.html
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        name = postgresql_url.rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    code, said = catchup("user", "import", people, url=postgresql_url)
    assert (code, "25006" in said) == (ExitCode.TEMPORARY, True), said


def test_statement_pooling_is_a_misconfiguration(postgres: PostgresServer, postgresql_url: str, people: str) -> None:
    with pgbouncer(postgres.port, pool_mode="statement") as pooler:
        name = postgresql_url.rpartition("/")[2]
        code, said = catchup("user", "import", people, url=postgres.url(name, port=pooler.port))
    assert (code, "pool_mode" in said) == (ExitCode.MISCONFIGURED, True), said


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("ALTER ROLE {role} CONNECTION LIMIT 0", "no connection free"),
        ("ALTER DATABASE {name} CONNECTION LIMIT 0", "no connection free"),
        ("ALTER DATABASE {name} ALLOW_CONNECTIONS false", "takes no connections"),
    ],
)
def test_a_server_that_admits_no_more_says_so(
    postgres: PostgresServer, postgresql_url: str, limit: str, told: str
) -> None:
    name = postgresql_url.rpartition("/")[2]
    role = f"limited_{name}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(limit.format(role=role, name=name).encode())
    code, said = catchup("user", "show", url=postgresql_url.replace("catchup@", f"{role}@"))
    assert (code, told in said) == (ExitCode.TEMPORARY, True), said


def test_a_pooler_that_admits_no_more_says_so(postgres: PostgresServer, postgresql_url: str) -> None:
    url = postgresql_url.replace(f":{postgres.port}/", ":{port}/")
    with pgbouncer(postgres.port, max_clients=1) as pooler, psycopg.connect(url.format(port=pooler.port)):
        code, said = catchup("user", "show", url=url.format(port=pooler.port))
    assert (code, "no connection free" in said) == (ExitCode.TEMPORARY, True), said


def test_a_server_that_shuts_down_says_so() -> None:
    with postgres_server() as server, psycopg.connect(server.url("postgres")):
        assert server.process is not None
        # A smart shutdown waits for the connection that is open and admits no other.
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(TemporaryError, match="takes no connections"):
            _until_refused(server)


def _until_refused(server: PostgresServer) -> None:
    while True:
        with closing(Database.open(server.url("postgres"))) as database, database.read() as connection:
            connection.execute(text("SELECT 1"))
