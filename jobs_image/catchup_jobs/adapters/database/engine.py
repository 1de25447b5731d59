"""Connections and transactions; this module and `errors.py` have the differences between SQLite and PostgreSQL."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from catchup_jobs.adapters.database import postgresql_login
from catchup_jobs.adapters.database.errors import classify
from catchup_jobs.adapters.database.postgresql_errors import DeadlockError
from catchup_jobs.adapters.database.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.dialects.postgresql import Insert
    from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

_CONNECT_TIMEOUT_SECONDS: Final = 5
"""How long a connection to PostgreSQL may take."""
_BUSY_TIMEOUT_SECONDS: Final = 10
"""How long SQLite waits for another writer."""
_DEADLOCKS_MAX: Final = 5
"""How often a transaction is tried that PostgreSQL ends so that another one, which waits for it, can go on."""
# For one transaction each: behind a pooler, what a session sets stays with a connection that others use too.
# In UTC the driver's values need no conversion; it reads dates in the style ISO only.
_POSTGRES_VALUES: Final = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; "
_POSTGRES_TRANSACTION: Final = (
    f"{_POSTGRES_VALUES}"
    "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '120s'"
)
_POSTGRES_MIGRATION: Final = (
    f"{_POSTGRES_VALUES}"
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"
)
_PAUSE_SECONDS: Final = 1.0
"""After this time without use, a connection to PostgreSQL is checked before its next use."""
_USED_AT: Final = "catchup_used_at"
_READ_ONLY: Final = "catchup_read_only"

# These log errors that they ignore, in lines that are not JSON and may quote a row. Other errors are raised.
for _name in ("psycopg", "sqlalchemy.pool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Database:
    """One database and its small pool.

    Errors of the server or the file come out of `read` and `write` as `jobs.run.errors` errors, whose messages hold
    neither SQL parameters nor the server's details, since those may quote personal data.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str, *, connections: int = 2) -> Database:
        """Return the database behind a URL (`sqlite:///file`, `postgresql://…`); connects on first use.

        Args:
            connections: how many a process may have to PostgreSQL.

        Raises:
            MisconfiguredError: the URL is malformed or names another kind of database.
        """
        return cls(_engine(parse_url(url), connections=connections))

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction, which neither waits for writers nor blocks them.

        Raises:
            JobError: classified by `errors.classify`.
        """
        with self._classified(), self.engine.connect() as connection:
            yield connection.execution_options(**{_READ_ONLY: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is committed when the block ends and rolled back when it raises.

        On SQLite it takes the write lock at once: a transaction that begins with a read and then writes would fail
        with `database is locked` without waiting.

        Raises:
            JobError: classified by `errors.classify`. A lost reply to the commit is a `TemporaryError` too: the
                next pass reads whether it was stored.
        """
        with self._classified(), self.engine.begin() as connection:
            yield connection

    def write_anew(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` does in a transaction, done anew where it was ended for a deadlock with another.

        For transactions that lock rows in another order than those that they may meet.

        Raises:
            JobError: classified by `errors.classify`.
        """
        for _ in range(_DEADLOCKS_MAX - 1):
            with suppress(DeadlockError), self.write() as connection:
                return work(connection)
        with self.write() as connection:
            return work(connection)

    def insert(self, table: Table) -> Insert:
        """Return `insert_into` for this database."""
        return insert_into(self.backend, table)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _classified(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            classified = classify(error)
            if classified is None:
                raise
            raise classified from None


def insert_into(backend: str, table: Table) -> Insert:
    """Return an INSERT that knows `on_conflict_do_update` and `on_conflict_do_nothing`, for `Database.backend`."""
    if backend == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - each backend imports its own

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415

    # The two classes share these methods and their parameters, but no base class.
    insert: Any = sqlite.insert(table)
    return insert  # type: ignore[no-any-return]


def _engine(url: URL, *, migrating: bool = False, connections: int = 1) -> Engine:
    if url.get_backend_name() == "sqlite":
        # Rebuilding a table drops it first, which foreign keys would turn into the deletion of what refers to it.
        return _sqlite(url, foreign_keys=not migrating)
    return _postgresql(url, _POSTGRES_MIGRATION if migrating else _POSTGRES_TRANSACTION, connections)


def migration_engine(url: URL) -> Engine:
    """Return an engine for migrations: without SQLite's foreign keys, and without a limit of time for a statement."""
    return _engine(url, migrating=True)


def _postgresql(url: URL, settings: str, connections: int) -> Engine:
    parameters = {
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "application_name": "catchup-jobs",
        "tcp_user_timeout": 30_000,
        # Behind a pooler, the next transaction may be on another connection, which knows nothing of it.
        "prepare_threshold": None,
        # This module begins transactions, in one message with their settings: a round trip less for each.
        "autocommit": True,
        # Of several servers all but one are standbys as a rule, and libpq would take the first that answers.
        **({"target_session_attrs": "primary"} if "," in url.query.get("host", "") else {}),
        **url.query,
        # Whatever the role or the URL says: names and messages are of every language.
        "client_encoding": "UTF8",
    }
    engine = create_engine(
        # libpq gets the parameters as they are: SQLAlchemy would read some of them its own way.
        url.set(query={}),
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        connect_args=parameters,
        use_native_hstore=False,  # no column has that type, and a look for it costs a round trip
    )

    _ping_after_a_pause(engine)
    event.listen(engine, "do_connect", postgresql_login.connect)

    # Without READ WRITE: a standby refuses that as a feature that it does not have, not as a write.
    begins = {
        is_read_only: f"BEGIN{' READ ONLY' if is_read_only else ''}; {settings}" for is_read_only in (True, False)
    }

    def begin(connection: Connection) -> None:
        statement = begins[_is_read_only(connection)]
        driver: Any = connection.connection.driver_connection
        try:
            # Past SQLAlchemy, for which it would be as dear as any other statement.
            driver.execute(statement)
        except engine.dialect.loaded_dbapi.Error as error:
            # Once more by SQLAlchemy, which knows what the error means for the connection.
            with suppress(engine.dialect.loaded_dbapi.Error):
                driver.rollback()
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as again:
                # It may only say that the connection is closed; the first says why.
                again.orig = error
                raise

    event.listen(engine, "begin", begin)
    return engine


def _ping_after_a_pause(engine: Engine) -> None:
    """Check a connection before its use, as `pool_pre_ping` does, but only one that was not used for a moment.

    A ping is a round trip, and a job has a dozen short transactions one after the other.
    """

    def note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    def check(dbapi_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < _PAUSE_SECONDS:
            return
        try:
            engine.dialect.do_ping(dbapi_connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # The pool makes a new connection and tries again.
            raise DisconnectionError from error

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", check)


def _sqlite(url: URL, *, foreign_keys: bool) -> Engine:
    # This module begins transactions: the driver's implicit BEGIN comes too late and takes no write lock.
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "isolation_level": None}
    )

    def prepare(dbapi_connection: Any, _record: ConnectionPoolEntry) -> None:
        _use_wal(dbapi_connection)
        dbapi_connection.execute("PRAGMA synchronous = NORMAL")
        dbapi_connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if _is_read_only(connection) else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _is_read_only(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_READ_ONLY, False))


def _use_wal(dbapi_connection: sqlite3.Connection) -> None:
    # SQLite's busy timeout does not cover the change of the journal, which two first users may try at once.
    give_up = time.monotonic() + _BUSY_TIMEOUT_SECONDS
    while True:
        try:
            dbapi_connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return
