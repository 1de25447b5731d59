"""What PostgreSQL, libpq and PgBouncer refuse is told in one line with the right exit code, and never with a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from cryptography.fernet import Fernet
from integration.jobs import nursery
from integration.poolers import pgbouncer
from integration.services import free_port
from sqlalchemy import inspect, text

from catchup_contract.outcomes import ExitCode
from catchup_jobs.adapters.database import migrate
from catchup_jobs.adapters.database.engine import Database, migration_engine
from catchup_jobs.adapters.database.schema import SCHEMA_VERSION, VERSION_TABLE
from catchup_jobs.adapters.database.url import parse_url
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from integration.services import PostgresServer

SECRET = "s3cret"


def catchup(*arguments: str, url: str) -> tuple[int, str]:
    """Run the command on a database; return its exit code and what it said of an error, which is one line.

    A job has another line for the end of its run.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "CATCHUP_DATABASE_URL": url,
        "CATCHUP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    code, out, err = nursery.run(arguments, environment)
    assert "Traceback" not in err
    assert SECRET not in out + err
    assert len([line for line in err.splitlines() if '"run ended"' not in line]) <= 1, err
    return code, err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("postgresql://catchup:s3cret@{at}/nope", ExitCode.MISCONFIGURED, "no such database"),
        ("postgresql://nobody:s3cret@{at}/{name}", ExitCode.MISCONFIGURED, "no such database or user"),
        ("postgresql://catchup:s3cret@{at}/{name}?sslmode=verify_full", ExitCode.MISCONFIGURED, "sslmode"),
        ("postgresql://catchup:s3cret@{at}/{name}?sslmode=require", ExitCode.MISCONFIGURED, "TLS"),
        (
            "postgresql://catchup:s3cret@{at}/{name}?sslmode=verify-full&sslrootcert=/none",
            ExitCode.MISCONFIGURED,
            "TLS",
        ),
        ("postgresql://catchup:s3cret@{at}/{name}?connect_timeout=soon", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?port=1,2", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?port=x", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?hostaddr=x", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?service=none", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?keepalives=x", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?require_auth=md5,!none", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?require_auth=md5", ExitCode.MISCONFIGURED, "require_auth"),
        ("postgresql://catchup:s3cret@{at}/{name}?gssencmode=require", ExitCode.MISCONFIGURED, "gssencmode"),
        ("postgresql://catchup:s3cret@{at}/{name}?options=-csearch_path", ExitCode.MISCONFIGURED, "not allowed"),
        ("postgresql://catchup:s3cret@{at}/{name}?pgbouncer=true&schema=public", ExitCode.MISCONFIGURED, "pgbouncer"),
        ("postgresql://catchup:s3cret@{at}s3cret/{name}", ExitCode.MISCONFIGURED, "told apart"),
        ("postgresql://catchup:s3cret@127.0.0.1:{free}/{name}", ExitCode.TEMPORARY, "host answers"),
        ("postgresql://catchup:s3cret@/{name}?host=/nowhere", ExitCode.TEMPORARY, "host answers"),
        ("postgresql://catchup:p@:/%s3cret@{at}/{name}", ExitCode.MISCONFIGURED, "told apart"),
        # What works: any password where none is asked for, several hosts of which one answers, a Secret's newline.
        ("postgresql://catchup:p@:%s3cret@{at}/{name}", ExitCode.TEMPORARY, ""),
        ("postgresql://catchup@127.0.0.1:{free},{at}/{name}", ExitCode.TEMPORARY, ""),
        ("postgresql://catchup@{at}/{name}\n", ExitCode.TEMPORARY, ""),
    ],
)
def test_a_url_is_used_or_its_refusal_told(
    postgres: PostgresServer, empty_postgresql: str, url: str, code: ExitCode, told: str
) -> None:
    at = f"127.0.0.1:{postgres.port}"
    found, said = catchup(
        "db", "status", url=url.format(at=at, name=empty_postgresql, free=free_port()) if "{" in url else url
    )
    assert found == code, said
    assert told in said
    assert bool(said) == bool(told) or code is ExitCode.MISCONFIGURED


def test_what_pgbouncer_refuses_is_a_misconfiguration(postgres: PostgresServer, empty_postgresql: str) -> None:
    with pgbouncer(postgres.port, database=empty_postgresql, password="right") as pooler:
        at = f"127.0.0.1:{pooler.port}"
        for url, told in (
            (f"postgresql://catchup:{SECRET}@{at}/{empty_postgresql}", "user or password"),
            (f"postgresql://nobody:{SECRET}@{at}/{empty_postgresql}", "user or password"),
            (f"postgresql://catchup:right@{at}/nope", "no such database"),
            (f"postgresql://catchup:right@{at}/{empty_postgresql}?options=-cwork_mem%3D1MB", "leave out"),
            (f"postgresql://catchup:right@{at}/{empty_postgresql}?sslmode=require", "TLS"),
        ):
            code, said = catchup("db", "status", url=url)
            assert (code, told in said) == (ExitCode.MISCONFIGURED, True), (told, said)


@pytest.fixture
def as_administrator(postgres: PostgresServer, empty_postgresql: str) -> Callable[[str], None]:
    """What carries out statements in the empty database."""

    def run(statements: str) -> None:
        with psycopg.connect(postgres.url(empty_postgresql), autocommit=True) as connection:
            connection.execute(statements.encode())

    return run


@pytest.fixture
def plain_url(postgres: PostgresServer, empty_postgresql: str, as_administrator: Callable[[str], None]) -> str:
    """The URL of the empty database for a role without privileges."""
    as_administrator(f"CREATE ROLE plain_{empty_postgresql} LOGIN")
    return f"postgresql://plain_{empty_postgresql}@127.0.0.1:{postgres.port}/{empty_postgresql}"


def test_a_role_that_may_not_create_is_told_what_to_grant(plain_url: str) -> None:
    # PostgreSQL 15 gives nobody CREATE on `public` any more.
    code, said = catchup("db", "migrate", url=plain_url)
    assert (code, "USAGE" in said, "CREATE" in said) == (ExitCode.MISCONFIGURED, True, True)


def test_a_migration_that_waits_for_another_ends_at_its_timeout_and_changes_nothing(
    postgres: PostgresServer, empty_postgresql: str
) -> None:
    url = postgres.url(empty_postgresql)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [migrate._ADVISORY_LOCK])
        code, said = catchup("db", "migrate", "--timeout", "2", url=url)
    assert (code, "not over within 2 s" in said) == (ExitCode.TEMPORARY, True)
    assert catchup("db", "status", url=url)[0] == ExitCode.TEMPORARY
    assert catchup("db", "migrate", "--timeout", "300", url=url) == (ExitCode.DONE, "")


@pytest.mark.parametrize("command", [("db", "migrate"), ("db", "status"), ("sync", "--user", "ada")])
def test_a_schema_that_the_role_may_not_use_is_no_missing_migration(
    plain_url: str, as_administrator: Callable[[str], None], command: tuple[str, ...]
) -> None:
    as_administrator("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    code, said = catchup(*command, url=plain_url)
    assert (code, "grant" in said) == (ExitCode.MISCONFIGURED, True), said


def test_tables_that_the_role_may_not_read_are_no_missing_migration(
    postgres: PostgresServer, empty_postgresql: str, plain_url: str
) -> None:
    migrate.upgrade(postgres.url(empty_postgresql))
    code, said = catchup("user", "show", url=plain_url)
    assert (code, "grant" in said) == (ExitCode.MISCONFIGURED, True), said


def test_a_schema_of_its_own_by_the_search_path_is_used(
    postgres: PostgresServer, empty_postgresql: str, plain_url: str, as_administrator: Callable[[str], None]
) -> None:
    role = f"plain_{empty_postgresql}"
    as_administrator(
        f"CREATE TABLE public.users (id int); CREATE SCHEMA catchup AUTHORIZATION {role};"
        f" ALTER ROLE {role} SET search_path = catchup"
    )
    assert catchup("db", "migrate", url=plain_url) == (ExitCode.DONE, "")
    assert catchup("user", "show", url=plain_url)[0] == ExitCode.DONE


def test_a_foreign_version_table_stays_and_ours_is_beside_it(empty_database_url: str) -> None:
    with closing(Database.open(empty_database_url)) as database:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('8f2e3d4c5b6a')"))
        assert catchup("db", "migrate", url=empty_database_url) == (ExitCode.DONE, "")
        with database.read() as connection:
            assert connection.execute(text("SELECT * FROM alembic_version")).scalars().all() == ["8f2e3d4c5b6a"]
        assert migrate.status(database).current == SCHEMA_VERSION


@pytest.mark.parametrize("version", ["0001", "0002", "0003", "0004"])
def test_the_version_that_an_earlier_install_counted_is_carried_over(empty_database_url: str, version: str) -> None:
    engine = migration_engine(parse_url(empty_database_url))
    with engine.begin() as connection:
        migrate._run_alembic(connection, version)
        connection.execute(text(f"ALTER TABLE {VERSION_TABLE} RENAME TO alembic_version"))
        migrate._run_alembic(connection)
        tables = set(inspect(connection).get_table_names())
        newest = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608
    engine.dispose()
    assert VERSION_TABLE in tables
    assert "alembic_version" not in tables
    assert newest == [f"{SCHEMA_VERSION:04d}"]


@pytest.mark.parametrize("table", ["users", "schema_info", "suggestions"])
@pytest.mark.parametrize("command", [("db", "migrate"), ("db", "status"), ("user", "show")])
def test_foreign_tables_under_our_names_are_refused_and_left_alone(
    empty_database_url: str, table: str, command: tuple[str, ...]
) -> None:
    with closing(Database.open(empty_database_url)) as database:
        with database.write() as connection:
            connection.execute(text(f"CREATE TABLE {table} (email VARCHAR(100))"))
            connection.execute(text(f"INSERT INTO {table} VALUES ('{SECRET}')"))  # noqa: S608
        code, said = catchup(*command, url=empty_database_url)
        if command == ("db", "migrate") or table == "schema_info":
            assert (code, table in said, "of its own" in said) == (ExitCode.MISCONFIGURED, True, True), said
        else:
            assert code == ExitCode.TEMPORARY, said
        with database.read() as connection:
            assert connection.execute(text(f"SELECT * FROM {table}")).all() == [(SECRET,)]  # noqa: S608
            assert set(inspect(connection).get_table_names()) == {table}


def test_a_foreign_table_that_only_a_later_migration_meets_is_refused(empty_database_url: str) -> None:
    engine = migration_engine(parse_url(empty_database_url))
    with engine.begin() as connection:
        migrate._run_alembic(connection, "0001")
        connection.execute(text("CREATE TABLE contacts (email VARCHAR(100))"))
    engine.dispose()
    code, said = catchup("db", "migrate", url=empty_database_url)
    assert (code, "of its own" in said) == (ExitCode.MISCONFIGURED, True), said


def test_a_schema_whose_two_versions_differ_is_told(database_url: str) -> None:
    with closing(Database.open(database_url)) as database, database.write() as connection:
        connection.execute(text("UPDATE schema_info SET version = version - 1"))
    code, said = catchup("db", "migrate", url=database_url)
    assert (code, "not of one backup" in said) == (ExitCode.MISCONFIGURED, True), said


@pytest.mark.parametrize("state", ["42883", "0A000", "HV000", "99999"])
def test_what_a_trigger_of_somebody_else_fails_at_is_told_without_its_words(
    postgresql_url: str, state: str, tmp_path: Path
) -> None:
    person = tmp_path / "person.json"
    person.write_text('{"id": "ada", "name": "Ada"}', encoding="utf-8")
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = '{state}'; END $$;"
            " CREATE TRIGGER fails BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION fail()".encode()
        )
    code, said = catchup("user", "import", str(person), url=postgresql_url)
    assert (code in {ExitCode.MISCONFIGURED, ExitCode.TEMPORARY}, state in said) == (True, True), said


def _idle_for_too_long(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10ms'"))
        time.sleep(0.5)
        connection.execute(text("SELECT 1"))


def test_a_transaction_that_the_server_ended_for_idling_is_temporary(postgresql_url: str) -> None:
    with closing(Database.open(postgresql_url)) as database:
        with pytest.raises(TemporaryError):
            _idle_for_too_long(database)
        with database.read() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_missing_table_names_the_other_causes_too(postgresql_url: str) -> None:
    with closing(Database.open(postgresql_url)) as database:
        with database.write() as connection:
            connection.execute(text("DROP TABLE interactions"))
        with pytest.raises(TemporaryError, match=r"db migrate.*search_path"), database.read() as connection:
            connection.execute(text("SELECT * FROM interactions"))
