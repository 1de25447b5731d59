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
        ("42601", None),  # syntax_error: ours
    ],
)
def test_postgresql_states_are_classified(state: str, expected: type[Exception] | None) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.errors.lookup(state)(f"Key (email)=({CANARY}) exists")))
    assert type(found) is (expected or type(None))
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("connection refused", TemporaryError),
        ("connection timeout expired", TemporaryError),
        ("could not translate host name", TemporaryError),
        (f'FATAL:  password authentication failed for user "{CANARY}"', MisconfiguredError),
        ('FATAL:  database "nope" does not exist', MisconfiguredError),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', MisconfiguredError),
    ],
)
def test_refused_connections_are_told_apart_by_the_servers_words(words: str, expected: type[Exception]) -> None:
    found = classify(DBAPIError("SELECT", {}, psycopg.OperationalError(words)))
    assert type(found) is expected
    assert CANARY not in str(found)


def test_a_pool_that_is_used_up_is_temporary() -> None:
    assert isinstance(classify(PoolTimeoutError()), TemporaryError)


def test_a_mistake_of_ours_is_left_to_be_a_crash() -> None:
    assert classify(ProgrammingError("SELEC", {}, sqlite3.ProgrammingError("closed"))) is None
