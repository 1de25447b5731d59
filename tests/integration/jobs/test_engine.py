"""What databases do to a job on a bad day, and what the job makes of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from integration.jobs.database_faults import be_impatient, losing_a_commit
from sqlalchemy import text

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database import engine
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.ports import Closing, DeadLetter, Run

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
RUN = Run(SYNC, "ada", NOW, "")

_COUNT_UP = """
import sys
from sqlalchemy import text
from catchup_jobs.adapters.database.engine import Database
database = Database.open(sys.argv[1])
for _ in range(200):
    with database.write() as connection:
        count = connection.execute(text("SELECT count FROM counter")).scalar_one()
        connection.execute(text("UPDATE counter SET count = :count"), {"count": count + 1})
"""


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(f"sqlite:///{tmp_path / 'catchup.db'}")) as database:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE counter (count INTEGER)"))
            connection.execute(text("INSERT INTO counter VALUES (0)"))
        yield database


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT count FROM counter")).scalar_one())


def test_two_processes_that_read_and_then_write_one_sqlite_file_lose_nothing(sqlite: Database) -> None:
    command = [sys.executable, "-c", _COUNT_UP, str(sqlite.engine.url)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert count(sqlite) == 400


def test_a_reader_of_sqlite_neither_waits_for_a_writer_nor_sees_half_of_it(sqlite: Database) -> None:
    with sqlite.write() as connection:
        connection.execute(text("UPDATE counter SET count = 1"))
        assert count(sqlite) == 0
    assert count(sqlite) == 1


def test_a_sqlite_file_that_stays_locked_is_temporary(sqlite: Database, tmp_path: Path) -> None:
    with closing(Database.open(f"sqlite:///{tmp_path / 'catchup.db'}")) as second:
        with second.read() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 10_000
        be_impatient(second)
        with (
            sqlite.write(),
            pytest.raises(TemporaryError, match="SQLITE_BUSY"),
            second.write(),
        ):
            pytest.fail("got the lock")


def test_a_full_disk_is_temporary(sqlite: Database) -> None:
    def fill() -> None:
        with sqlite.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 3")
            connection.execute(text("CREATE TABLE filler AS SELECT randomblob(100000) AS bytes"))

    with pytest.raises(TemporaryError, match="SQLITE_FULL"):
        fill()
    assert count(sqlite) == 0


def test_a_file_that_is_no_database_is_a_misconfiguration(tmp_path: Path) -> None:
    (tmp_path / "catchup.db").write_text("not a database, but long enough to be read as one" * 100)
    with (
        closing(Database.open(f"sqlite:///{tmp_path / 'catchup.db'}")) as database,
        pytest.raises(MisconfiguredError, match="SQLITE_NOTADB"),
    ):
        count(database)


def test_a_missing_table_names_the_command_that_helps(empty_database_url: str) -> None:
    with (
        closing(Database.open(empty_database_url)) as database,
        pytest.raises(TemporaryError, match="catchup-jobs db migrate"),
    ):
        count(database)


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    with closing(Database.open(postgresql_url)) as database:
        yield database


def test_a_connection_that_the_server_ended_is_temporary_and_the_next_one_works(
    postgresql: Database, postgresql_url: str
) -> None:
    def cut_off() -> None:
        with postgresql.write() as connection, closing(Database.open(postgresql_url)) as admin, admin.write() as other:
            backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            assert other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend}).scalar_one()
            connection.execute(text("SELECT 1"))

    with pytest.raises(TemporaryError):
        cut_off()
    with postgresql.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_deadlock_is_temporary_for_one_of_the_two(postgresql: Database) -> None:
    with postgresql.write() as connection:
        connection.execute(text("CREATE TABLE pair AS SELECT * FROM (VALUES (1), (2)) AS v (id)"))
    both_hold, errors = threading.Barrier(2), list[JobError]()

    def lock(first: int, second: int) -> None:
        try:
            with postgresql.write() as connection:
                connection.execute(text("UPDATE pair SET id = id WHERE id = :id"), {"id": first})
                both_hold.wait(timeout=120)
                connection.execute(text("UPDATE pair SET id = id WHERE id = :id"), {"id": second})
        except JobError as error:
            errors.append(error)

    threads = [threading.Thread(target=lock, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(isinstance(error, TemporaryError), "40P01" in str(error)) for error in errors] == [(True, True)]


def test_a_reader_of_postgresql_cannot_write(postgresql: Database) -> None:
    with pytest.raises(TemporaryError, match="25006"), postgresql.read() as connection:
        connection.execute(text("DELETE FROM users"))


@pytest.mark.parametrize("state", [RunState.DONE, RunState.FAILED])
def test_a_commit_whose_reply_was_lost_is_found_done_by_the_next_process(
    postgresql: Database, postgresql_url: str, state: RunState
) -> None:
    with losing_a_commit(postgresql_url) as (through, arm):
        store = DatabaseRunStore(through)
        store.open(RUN, now=NOW, lease_until=NOW + timedelta(minutes=11))
        store.take_over(RUN, "pod")
        letter = DeadLetter(Reason.UNAVAILABLE, "TemporaryError") if state is RunState.FAILED else None
        arm()
        with pytest.raises(TemporaryError):
            store.close(RUN, "pod", Closing(state, None, 4, {}, {}, letter), now=NOW)
    direct = DatabaseRunStore(postgresql)
    record = direct.open(RUN, now=NOW, lease_until=NOW + timedelta(minutes=11))
    assert record.state is (RunState.DONE if state is RunState.DONE else RunState.OPEN)
    # Of a run that is done nobody asks how often it was tried.
    assert record.attempts == (0 if state is RunState.DONE else 4)


@pytest.mark.parametrize(("pause", "trips"), [(1.0, 3), (0.0, 4)], ids=["used just now", "after a pause"])
def test_a_transaction_of_one_statement_takes_three_round_trips_and_one_more_after_a_pause(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, trips: int
) -> None:
    """The begin with its settings, the statement, the end; a look whether the server is there: by libpq's trace."""
    monkeypatch.setattr(engine, "_PAUSE_SECONDS", pause)
    with closing(Database.open(postgresql_url)) as database:
        for opened in (database.read, database.write):
            with opened() as connection:
                driver = connection.connection.driver_connection
            assert driver is not None
            with (tmp_path / "trace").open("w+") as trace:
                driver.pgconn.trace(trace.fileno())
                with opened() as connection:
                    connection.execute(text("SELECT 1"))
                driver.pgconn.untrace()
                trace.seek(0)
                sent = [line.split("\t")[3] for line in trace if line.split("\t")[1] == "F"]
            assert sent.count("Query") + sent.count("Sync") == trips
