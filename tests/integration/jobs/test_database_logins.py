"""A login that a server refuses is told with the right exit code, in whatever language the server speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest
from integration.jobs.test_database_refusals import SECRET, catchup
from integration.poolers import pgbouncer
from integration.services import postgres_server, wait_until

from catchup_contract.outcomes import ExitCode

if TYPE_CHECKING:
    from integration.services import PostgresServer

_ROLES = f"""
CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE nologin; CREATE ROLE full LOGIN CONNECTION LIMIT 0;
CREATE ROLE barred LOGIN; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
CREATE ROLE {SECRET}_alert LOGIN; ALTER ROLE {SECRET}_alert SET session_preload_libraries = 'nope';
GRANT CONNECT ON DATABASE postgres TO locked, nologin, full, {SECRET}_alert
"""
_HBA = """
host all locked 127.0.0.1/32 scram-sha-256
host all unlisted 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module", params=["", "de", "fr", "ja"], ids=["English", "German", "French", "Japanese"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that speaks the language, by gettext's variable; in the locale `C` it would speak English."""
    with ExitStack() as stack:
        # Only while it starts: other servers of the session speak English.
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("LANGUAGE", request.param)
            running = stack.enter_context(postgres_server())
        (running.data / "pg_hba.conf").write_text(_HBA)
        with psycopg.connect(running.url("postgres"), autocommit=True) as administrator:
            administrator.execute(_ROLES.encode())
            administrator.execute("SELECT pg_reload_conf()")
            with pytest.raises(psycopg.errors.UndefinedColumn) as refused:
                administrator.execute("SELECT nope")
        assert ("does not exist" in str(refused.value)) is (not request.param)
        wait_until(lambda: not _admits(running), "the server has read its pg_hba.conf")
        yield running


def _admits(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.url("postgres").replace("catchup@", "locked@")).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    ("login", "code", "told"),
    [
        (f"locked:{SECRET}@{{at}}/postgres", ExitCode.MISCONFIGURED, "user"),
        (f"nobody:{SECRET}@{{at}}/postgres", ExitCode.MISCONFIGURED, "user"),
        (f"unlisted:{SECRET}@{{at}}/postgres", ExitCode.MISCONFIGURED, "user"),
        (f"nologin:{SECRET}@{{at}}/postgres", ExitCode.MISCONFIGURED, "user"),
        (f"catchup:{SECRET}@{{at}}/nope", ExitCode.MISCONFIGURED, "database"),
        (f"barred:{SECRET}@{{at}}/postgres", ExitCode.MISCONFIGURED, "CONNECT"),
        (f"catchup:{SECRET}@{{at}}/postgres?options=-cnope%3D1", ExitCode.MISCONFIGURED, "not allowed"),
        (f"catchup:{SECRET}@{{at}}/postgres?options=-cwork_mem%3Dx", ExitCode.MISCONFIGURED, "not allowed"),
        (f"full:{SECRET}@{{at}}/postgres", ExitCode.TEMPORARY, "no connection free"),
        # What its words hold of names is no cause.
        (f"{SECRET}_alert@{{at}}/postgres", ExitCode.TEMPORARY, "58P01"),
        (f"locked:{SECRET}@127.0.0.1:1,{{at}}/postgres", ExitCode.MISCONFIGURED, "user"),
    ],
)
def test_a_refused_login_is_told_in_any_language(server: PostgresServer, login: str, code: ExitCode, told: str) -> None:
    found, said = catchup("db", "status", url=f"postgresql://{login.format(at=f'127.0.0.1:{server.port}')}")
    assert (found, told in said) == (code, True), said


@pytest.mark.parametrize("command", [("db", "status"), ("user", "show"), ("sync", "--user", "ada")])
def test_the_console_of_pgbouncer_is_told(postgres: PostgresServer, command: tuple[str, ...]) -> None:
    with pgbouncer(postgres.port) as pooler:
        code, said = catchup(*command, url=postgres.url("pgbouncer", port=pooler.port))
    assert (code, "console" in said) == (ExitCode.MISCONFIGURED, True), said


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("target_session_attrs=standby", "target_session_attrs"),
        ("target_session_attrs=read-only", "target_session_attrs"),
        ("replication=database", "replication"),
        ("sslnegotiation=direct", "not allowed"),
    ],
)
def test_a_url_that_asks_for_what_no_job_can_use_is_told(
    postgres: PostgresServer, empty_postgresql: str, parameters: str, told: str
) -> None:
    code, said = catchup("db", "status", url=f"{postgres.url(empty_postgresql)}?{parameters}")
    assert (code, told in said) == (ExitCode.MISCONFIGURED, True), said
