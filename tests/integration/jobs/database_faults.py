"""What happens to a job at a given point of its talk with a database: by the server, the file, or another writer.

The points are found by SQLAlchemy's own events; the program under test is the one that runs in a pod. Whatever never
came to its point fails its test.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from integration.jobs.proxy import LossyProxy
from sqlalchemy import event, make_url, text

from catchup_jobs.adapters.database.engine import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import ExceptionContext


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Give the list to which the block's statements are added."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "SET LOCAL")):
            seen.append(statement)

    with _listening(database, "before_cursor_execute", note):
        yield seen


@dataclass
class Work:
    """What a database did.

    Attributes:
        statements: how many it was asked.
        rows: that it gave; PostgreSQL alone counts them.
        steps: instructions of SQLite's virtual machine, to the thousand; 0 on PostgreSQL.
    """

    statements: int = 0
    rows: int = 0
    steps: int = 0


@contextmanager
def work(database: Database) -> Iterator[Work]:
    """Count what the database does in the block.

    Statements on the counters of runs are left out: the first run of an hour has one more.
    """
    done = Work()
    watched: list[Any] = []

    def step() -> None:
        done.steps += 1000

    def begin(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        done.statements += "run_counts" not in statement
        if database.backend == "sqlite":
            cursor.connection.set_progress_handler(step, 1000)

    def end(_connection: Any, cursor: Any, *_: Any) -> None:
        done.rows += max(cursor.rowcount, 0)
        if database.backend == "sqlite":
            watched.append(cursor.connection)

    with _listening(database, "before_cursor_execute", begin), _listening(database, "after_cursor_execute", end):
        yield done
    for connection in watched:
        connection.set_progress_handler(None, 0)


@contextmanager
def after(words: str, database: Database, act: Callable[[], object], *, nth: int = 1) -> Iterator[None]:
    """Do something once: when the nth statement that holds these words was carried out, and before what comes next.

    What `act` does by other connections comes between two statements of the same process.
    """
    passed = 0

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal passed
        if words in statement:
            passed += 1
            if passed == nth:
                act()

    with _listening(database, "after_cursor_execute", count):
        yield
    assert passed >= nth, f"{passed} statements held {words!r}"


def end_connections(database: Database) -> int:
    """Let the server end all connections to a PostgreSQL database, as a restart does; return how many."""
    with closing(_administrator(database)) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [database.engine.url.database],
        )
        return len(ended.fetchall())


@contextmanager
def outage(database: Database) -> Iterator[Callable[[], None]]:
    """Give what makes the database go away until it has failed somebody once.

    PostgreSQL ends all connections and takes nobody in; SQLite's file is locked for longer than anybody waits.
    """
    go_away, come_back = (_sqlite_outage if database.backend == "sqlite" else _postgresql_outage)(database)
    failed = 0

    def note(context: ExceptionContext) -> None:
        nonlocal failed
        # A connection that is found dead when it is taken from the pool has failed nobody yet.
        if not context.is_pre_ping:
            failed += 1
            come_back()

    with _listening(database, "handle_error", note):
        try:
            yield go_away
        finally:
            come_back()
    assert failed, "the database failed nobody"


def _postgresql_outage(database: Database) -> tuple[Callable[[], None], Callable[[], None]]:
    name = database.engine.url.database

    def admit(admitted: str) -> None:
        with closing(_administrator(database)) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {admitted}")

    def go_away() -> None:
        admit("false")
        end_connections(database)

    return go_away, lambda: admit("true")


def _sqlite_outage(database: Database) -> tuple[Callable[[], None], Callable[[], None]]:
    path = database.engine.url.database
    assert path is not None
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def go_away() -> None:
        be_impatient(database)
        other.execute("BEGIN IMMEDIATE")

    def come_back() -> None:
        other.close()  # and so rolls back

    return go_away, come_back


@contextmanager
def dying_before_a_commit(url: str) -> Iterator[tuple[Database, Callable[[], None]]]:
    """Give a PostgreSQL database, and what lets the server end the connections to it within a transaction."""
    ended = 0

    def end() -> None:
        nonlocal ended
        ended += end_connections(database)

    with closing(Database.open(url)) as database:
        yield database, end
    assert ended, "there was no connection to end"


@contextmanager
def losing_a_commit(url: str) -> Iterator[tuple[Database, Callable[[], None]]]:
    """Give a PostgreSQL database behind a proxy, and what lets the reply to its next commit be lost."""
    direct = make_url(url)
    assert direct.port is not None
    with closing(LossyProxy(direct.port)) as proxy:

        def arm() -> None:
            proxy.marker = b"COMMIT"

        with closing(Database.open(direct.set(port=proxy.port).render_as_string(hide_password=False))) as database:
            yield database, arm
        assert proxy.lost == 1, "no reply was lost"


def be_impatient(database: Database) -> None:
    """Let this process wait for a locked SQLite file no longer than a moment, instead of the product's ten seconds."""

    def hurry(connection: sqlite3.Connection, *_: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 50")

    event.listen(database.engine, "checkout", hurry)


@contextmanager
def refusing(what: str, database: Database) -> Iterator[None]:
    """Let the database refuse what a trigger names, such as `UPDATE ON suggestions`, by a rule of its own."""
    refused = 0

    def note(context: ExceptionContext) -> None:
        nonlocal refused
        refused += "a rule of the test" in str(context.original_exception)

    with database.write() as connection:
        for statement in _TRIGGERS[database.backend]:
            connection.execute(text(statement.format(what=what)))
    with _listening(database, "handle_error", note):
        yield
    with database.write() as connection:
        table = "" if database.backend == "sqlite" else what.partition(" ")[2]
        connection.execute(text(f"DROP TRIGGER refuse {table}"))
    assert refused, f"nobody tried {what}"


_TRIGGERS = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE {what} BEGIN SELECT RAISE(ABORT, 'a rule of the test'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger AS"  # noqa: ISC004
        " $$ BEGIN RAISE check_violation USING MESSAGE = 'a rule of the test'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE {what} FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}


def _administrator(database: Database) -> psycopg.Connection[Any]:
    url = database.engine.url
    return psycopg.connect(host=url.host, port=url.port, user=url.username, dbname="postgres", autocommit=True)


@contextmanager
def _listening(database: Database, name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(database.engine, name, listener)
    try:
        yield
    finally:
        event.remove(database.engine, name, listener)
