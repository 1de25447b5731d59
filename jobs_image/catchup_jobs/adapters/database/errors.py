"""What an error of the database means for a run: temporary, permanent, or misconfigured."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError

MIGRATE_HINT: Final = "run `catchup-jobs db migrate`"

# SQLSTATE classes and codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_TEMPORARY_STATES: Final = ("08", "40", "53", "55", "57", "58", "25006", "XX000")
_MISCONFIGURED_STATES: Final = ("28", "3D", "3F", "42501")
_SCHEMA_STATES: Final = ("42P01", "42703")
_BAD_DATA_STATES: Final = ("22", "23")

# A refused connection has no SQLSTATE in psycopg, only the server's message. In other languages it counts as temporary.
_MISCONFIGURED_WORDS: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed",
    "does not exist",
    "invalid connection option",
    "certificate verify failed",
)

# Primary result codes, https://www.sqlite.org/rescode.html
_SQLITE_TEMPORARY: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
    }
)
_SQLITE_MISCONFIGURED: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)
_SQLITE_BAD_DATA: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}
)


def classify(error: SQLAlchemyError) -> JobError | None:
    """Return what the error means, or None where it is a bug of this program.

    The messages hold codes only: the server's own message may quote a row.
    """
    if isinstance(error, PoolTimeoutError):
        return TemporaryError("no database connection became free in time")
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite(error.orig)
    return _postgresql(error)


def _sqlite(error: sqlite3.Error) -> JobError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    name = getattr(error, "sqlite_errorname", str(code))
    primary = code & 0xFF
    if primary in _SQLITE_TEMPORARY:
        return TemporaryError(f"the SQLite database is not available ({name})")
    if primary in _SQLITE_MISCONFIGURED:
        return MisconfiguredError(
            f"the SQLite database file cannot be used ({name}): check that it exists, is a database, and is writable"
        )
    if primary in _SQLITE_BAD_DATA:
        return PermanentError(f"the database refused the data ({name})")
    if str(error).startswith(("no such table", "no such column")):
        return TemporaryError(f"the database's schema is missing or older than this version needs: {MIGRATE_HINT}")
    return None


def _postgresql(error: DBAPIError) -> JobError | None:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return _without_state(error)
    if state.startswith(_SCHEMA_STATES):
        return TemporaryError(
            f"the database's schema is missing or older than this version needs ({state}): {MIGRATE_HINT}"
        )
    if state.startswith(_MISCONFIGURED_STATES):
        return MisconfiguredError(
            f"PostgreSQL refused access (SQLSTATE {state}): check user, password, database and privileges in"
            " CATCHUP_DATABASE_URL"
        )
    if state.startswith(_TEMPORARY_STATES):
        return TemporaryError(f"PostgreSQL is not available (SQLSTATE {state})")
    if state.startswith(_BAD_DATA_STATES):
        return PermanentError(f"the database refused the data (SQLSTATE {state})")
    return None


def _without_state(error: DBAPIError) -> JobError | None:
    if isinstance(error, DataError | IntegrityError):
        return PermanentError(f"the database refused the data ({type(error.orig).__name__})")
    if error.connection_invalidated or type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"}:
        if any(words in str(error.orig) for words in _MISCONFIGURED_WORDS):
            return MisconfiguredError(
                "PostgreSQL refused the connection: check user, password, database and TLS in CATCHUP_DATABASE_URL"
            )
        return TemporaryError(
            "PostgreSQL cannot be reached, or the connection was lost: check that CATCHUP_DATABASE_URL's host answers"
        )
    return None
