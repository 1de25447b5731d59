"""What an error of the database means for a run: temporary, permanent, or misconfigured."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from catchup_jobs.adapters.database.hints import MIGRATE_HINT, TAKEN
from catchup_jobs.adapters.database.postgresql_errors import classify_postgresql
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError

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
    return classify_postgresql(error)


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
    return _sqlite_by_words(str(error))


def _sqlite_by_words(said: str) -> JobError | None:
    if said.startswith(("no such table", "no such column")):
        return TemporaryError(f"the database's schema is missing or older than this version needs: {MIGRATE_HINT}")
    if said.endswith("already exists"):
        return MisconfiguredError(TAKEN.format(names=""))
    return None
