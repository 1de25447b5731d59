"""What each kind of database error means for a run, and that none of the server's words come with it."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from catchup_jobs.adapters.database.errors import classify
from catchup_jobs.adapters.database.postgresql_errors import DeadlockError
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError

CANARY = "ada@example.com"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("40001", TemporaryError),  # serialization_failure
        ("40P01", DeadlockError),  # deadlock_detected
        ("53100", TemporaryError),  # disk_full
        ("53300", TemporaryError),  # too_many_connections
        ("55P03", TemporaryError),  # lock_not_available
        ("57014", TemporaryError),  # query_canceled: the statement's timeout
        ("57P01", TemporaryError),  # admin_shutdown
        ("57P03", TemporaryError),  # cannot_connect_now
        ("08006", TemporaryError),  # connection_failure
        ("25006", TemporaryError),  # read_only_sql_transaction: a failover's replica
        ("42P01", TemporaryError),  # undefined_table: not migrated yet
        ("42703", TemporaryError),  # undefined_column
        ("28P01", MisconfiguredError),  # invalid_password
        ("3D000", MisconfiguredError),  # invalid_catalog_name
        ("42501", MisconfiguredError),  # insufficient_privilege
        ("23505", PermanentError),  # unique_violation
        ("23514", PermanentError),  # check_violation
        ("22001", PermanentError),  # string_data_right_truncation
        ("25P03", TemporaryError),  # idle_in_transaction_session_timeout
        ("25P04", TemporaryError),  # transaction_timeout
        ("26000", TemporaryError),  # invalid_sql_statement_name: prepared on another connection of a pooler
        ("42P07", MisconfiguredError),  # duplicate_table: somebody else's
        ("3F000", MisconfiguredError),  # invalid_schema_name: nowhere to create
        ("XX001", MisconfiguredError),  # data_corrupted
        ("P0001", PermanentError),  # raise_exception: somebody's trigger
        ("42883", MisconfiguredError),  # undefined_function: in somebody's trigger, or of another kind of server
        ("0A000", MisconfiguredError),  # feature_not_supported: likewise
        ("42601", MisconfiguredError),  # syntax_error: likewise
        ("HV000", TemporaryError),  # fdw_error: a table that is on another server
    ],
)
def test_postgresql_states_are_classified(state: str, expected: type[Exception]) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.errors.lookup(state)(f"Key (email)=({CANARY}) exists")))
    assert type(found) is expected
    assert CANARY not in str(found)


def test_every_state_of_postgresqls_own_table_has_a_meaning() -> None:
    known = [
        value
        for value in vars(psycopg.errors).values()
        if isinstance(value, type) and issubclass(value, psycopg.Error) and value.sqlstate
    ]
    assert len(known) > 200
    for error in known:
        state = error.sqlstate or ""
        meant = classify(DBAPIError("SELECT", {}, error(CANARY)))
        assert meant is not None, state
        assert CANARY not in str(meant)


class _OtherServersError(psycopg.Error):
    sqlstate = "TT001"


def test_a_state_that_only_another_kind_of_server_has_is_told() -> None:
    found = classify(DBAPIError("SELECT", {}, _OtherServersError(CANARY)))
    assert (type(found), "TT001" in str(found), CANARY in str(found)) == (MisconfiguredError, True, False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("connection refused", TemporaryError),
        ("could not translate host name", TemporaryError),
        (f'FATAL:  password authentication failed for user "{CANARY}"', MisconfiguredError),
        ('FATAL:  database "nope" does not exist', MisconfiguredError),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "x", database "y", no encryption', MisconfiguredError),
        # The words of PgBouncer, as its `disconnect_client` says them.
        ("FATAL:  unsupported startup parameter: options", MisconfiguredError),
        ("FATAL:  no such database: nope", MisconfiguredError),
        ("FATAL:  SASL authentication failed", MisconfiguredError),
        ("FATAL:  SSL required", MisconfiguredError),
        ("FATAL:  no more connections allowed (max_client_conn)", TemporaryError),
        ("FATAL:  client_login_timeout (server down)", TemporaryError),
        ("FATAL:  login rejected", MisconfiguredError),
        ("FATAL:  bouncer config error", MisconfiguredError),
        ("FATAL:  server login failed: wrong password type", MisconfiguredError),
        ("FATAL:  bad packet header: '0000005b00030002'", MisconfiguredError),
        # The words of libpq.
        ('invalid sslmode value: "verify_full"', MisconfiguredError),
        ("server does not support SSL, but SSL was required", MisconfiguredError),
        ('server certificate for "db" does not match host name "localhost"', MisconfiguredError),
        ("SSL error: certificate verify failed", MisconfiguredError),
        ("session is not read-only", MisconfiguredError),
        ("server is not in hot standby mode", MisconfiguredError),
        ("SSL SYSCALL error: EOF detected", TemporaryError),
        ("SSL connection has been closed unexpectedly", TemporaryError),
    ],
)
def test_refused_connections_are_told_apart_by_the_servers_words(words: str, expected: type[Exception]) -> None:
    found = classify(_not_connected(words))
    assert type(found) is expected
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # Of PostgreSQL 15's postmaster and of libpq 17, by cause.
        ("FATAL:  sorry, too many clients already", "no connection free"),
        ("FATAL:  remaining connection slots are reserved for non-replication superuser connections", "no connection"),
        ('FATAL:  too many connections for role "catchup"', "no connection free"),
        ('FATAL:  too many connections for database "catchup"', "no connection free"),
        ("FATAL:  no more connections allowed (max_client_conn)", "no connection free"),
        ("FATAL:  query_wait_timeout", "no connection free"),
        ("FATAL:  the database system is starting up", "takes no connections"),
        ("FATAL:  the database system is not yet accepting connections", "takes no connections"),
        ("FATAL:  the database system is not accepting connections", "takes no connections"),
        ("FATAL:  the database system is shutting down", "takes no connections"),
        ("FATAL:  the database system is in recovery mode", "takes no connections"),
        ('FATAL:  database "catchup" is not currently accepting connections', "takes no connections"),
        ('FATAL:  database "catchup" is disabled', "takes no connections"),
        ("server is in hot standby mode", "standby"),
        ("session is read-only", "standby"),
        ("FATAL:  server login has been failing, try again later (server_login_retry)", "PgBouncer does not reach"),
        ("received invalid response to SSL negotiation: H", "no PostgreSQL"),
    ],
)
def test_a_connection_that_is_refused_for_a_time_says_why(words: str, told: str) -> None:
    found = classify(_not_connected(words))
    assert (type(found), told in str(found)) == (TemporaryError, True), found


def _not_connected(words: str) -> DBAPIError:
    """Return the error of a login, in whose words psycopg puts the server's and libpq's."""
    at = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
    return DBAPIError(None, {}, psycopg.OperationalError(f"{at}{words}"))


@pytest.mark.parametrize(
    "words",
    [
        # Of libpq 18, before it has tried a host.
        'weak sslmode "prefer" may not be used with sslnegotiation=direct (use "require")',
        'syntax error in service file "/etc/pg_service.conf", line 9',
        "invalid SCRAM client key",
        'Unix-domain socket path "/long/.s.PGSQL.5432" is too long (maximum 107 bytes)',
        'invalid sslmode value: "verify_full"',
    ],
)
def test_what_libpq_refuses_before_it_tries_a_host_is_a_wrong_value(words: str) -> None:
    found = classify(DBAPIError(None, {}, psycopg.OperationalError(f"connection is bad: {words}")))
    assert (type(found), "not allowed" in str(found)) == (MisconfiguredError, True)


@pytest.mark.parametrize(
    "words",
    [
        "failed to resolve host 'alert.example.com': [Errno -2] Name or service not known",
        'connection failed: connection to server at "certificate", port 5432 failed: Connection refused',
        'connection is bad: connection to server on socket "/does not exist/.s.PGSQL.5432" failed: No such file',
        (
            'connection failed: connection to server at "10.0.0.1", port 5432 failed: Connection refused\nMultiple'
            " connection attempts failed. All failures were:\n- host: 'alert', port: '5432', hostaddr: '10.0.0.1'"
        ),
    ],
)
def test_a_name_that_is_like_a_refusal_is_only_a_name(words: str) -> None:
    assert isinstance(classify(DBAPIError(None, {}, psycopg.OperationalError(words))), TemporaryError)


def test_what_psycopg_could_not_do_on_a_lost_connection_is_no_refusal() -> None:
    # Its words where PgBouncer loses PostgreSQL's connection within an `executemany`.
    words = "sending query failed: cannot exit pipeline mode while busy\nPQsendQuery not allowed in pipeline mode"
    assert isinstance(classify(DBAPIError(None, {}, psycopg.OperationalError(words))), TemporaryError)


def test_a_login_that_is_not_answered_says_so() -> None:
    found = classify(DBAPIError(None, {}, psycopg.errors.ConnectionTimeout("connection timeout expired")))
    assert (type(found), "PAUSE" in str(found)) == (TemporaryError, True)


@pytest.mark.parametrize(
    ("words", "expected", "told"),
    [
        # PgBouncer gives all of its own the SQLSTATE 08P01.
        ("query_wait_timeout", TemporaryError, "no connection free"),
        ("idle transaction timeout", TemporaryError, "by a timeout of its settings"),
        ("query timeout", TemporaryError, "by a timeout of its settings"),
        ("invalid command 'select pg_catalog.version()', use SHOW HELP;", MisconfiguredError, "console"),
        ("bad packet header: '000000'", TemporaryError, "see its log"),
    ],
)
def test_what_a_pooler_says_of_a_statement_is_read(words: str, expected: type[Exception], told: str) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.errors.ProtocolViolation(words)))
    assert (type(found), told in str(found)) == (expected, True), found


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", "disk is full"),
        ("57014", "took too long"),
        ("40P01", "another transaction"),
        ("53300", "no connection"),
    ],
)
def test_a_state_that_one_can_do_something_about_is_put_into_words(state: str, told: str) -> None:
    assert told in str(classify(DBAPIError("SELECT", {}, psycopg.errors.lookup(state)(CANARY))))


def test_a_pool_that_is_used_up_is_temporary() -> None:
    assert isinstance(classify(PoolTimeoutError()), TemporaryError)


def test_a_mistake_of_ours_is_left_to_be_a_crash() -> None:
    assert classify(ProgrammingError("SELEC", {}, sqlite3.ProgrammingError("closed"))) is None
