"""What each kind of database error means for a run, and that none of the server's words come with it."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from catchup_jobs.adapters.database.errors import classify
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError

CANARY = "ada@example.com"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("40001", TemporaryError),  # serialization_failure
        ("40P01", TemporaryError),  # deadlock_detected
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
        ("42601", None),  # syntax_error: ours
    ],
)
def test_postgresql_states_are_classified(state: str, expected: type[Exception] | None) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.errors.lookup(state)(f"Key (email)=({CANARY}) exists")))
    assert type(found) is (expected or type(None))
    assert CANARY not in str(found)


# What only a mistake of ours can cause, and what we do not use; each has a class of its own in PostgreSQL's table.
_OURS = {"00", "01", "02", "03", "09", "0A", "0F", "0L", "0P", "0Z", "10", "20", "21", "2B", "2D", "2F", "3B", "42"} | {
    "F0",
    "HV",
    "XX",
}


def test_every_class_of_postgresqls_own_table_has_a_meaning_or_is_a_mistake_of_ours() -> None:
    known = [
        value
        for value in vars(psycopg.errors).values()
        if isinstance(value, type) and issubclass(value, psycopg.Error) and value.sqlstate
    ]
    assert len(known) > 200
    for error in known:
        state = error.sqlstate or ""
        meant = classify(DBAPIError("SELECT", {}, error(CANARY)))
        assert (meant is not None) or state[:2] in _OURS, state
        assert CANARY not in str(meant)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("connection refused", TemporaryError),
        ("connection timeout expired", TemporaryError),
        ("could not translate host name", TemporaryError),
        (f'FATAL:  password authentication failed for user "{CANARY}"', MisconfiguredError),
        ('FATAL:  database "nope" does not exist', MisconfiguredError),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', MisconfiguredError),
        # The words of PgBouncer, as its `disconnect_client` says them.
        ("FATAL:  unsupported startup parameter: options", MisconfiguredError),
        ("FATAL:  no such database: nope", MisconfiguredError),
        ("FATAL:  SASL authentication failed", MisconfiguredError),
        ("FATAL:  SSL required", MisconfiguredError),
        ("FATAL:  no more connections allowed (max_client_conn)", TemporaryError),
        ("FATAL:  client_login_timeout (server down)", TemporaryError),
        # The words of libpq.
        ('invalid sslmode value: "verify_full"', MisconfiguredError),
        ("server does not support SSL, but SSL was required", MisconfiguredError),
        ('server certificate for "db" does not match host name "localhost"', MisconfiguredError),
        ("SSL error: certificate verify failed", MisconfiguredError),
        ("SSL SYSCALL error: EOF detected", TemporaryError),
        ("SSL connection has been closed unexpectedly", TemporaryError),
    ],
)
def test_refused_connections_are_told_apart_by_the_servers_words(words: str, expected: type[Exception]) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.OperationalError(words)))
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
    ],
)
def test_a_connection_that_is_refused_for_a_time_says_why(words: str, told: str) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.OperationalError(words)))
    assert (type(found), told in str(found)) == (TemporaryError, True), found


def test_a_pool_that_is_used_up_is_temporary() -> None:
    assert isinstance(classify(PoolTimeoutError()), TemporaryError)


def test_a_mistake_of_ours_is_left_to_be_a_crash() -> None:
    assert classify(ProgrammingError("SELEC", {}, sqlite3.ProgrammingError("closed"))) is None
