"""The book of runs and dead letters, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore, check_fence
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.context import RunInterruptedError
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.run.ports import LEASE_EXPIRED, Closing, DeadLetter, Fence, Run, RunRecord

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LEASE = timedelta(seconds=660)
LETTER = DeadLetter(Reason.UNAVAILABLE, "TemporaryError")


def run_at(minutes: int, subject: str = "ada") -> Run:
    return Run(SYNC, subject, NOW + timedelta(minutes=minutes), "")


def closing(state: RunState, letter: DeadLetter | None = None, attempts: int = 0) -> Closing:
    reason = None if state is RunState.DONE else Reason.UNAVAILABLE
    return Closing(state, reason, attempts, {}, {}, letter)


@pytest.fixture
def store(database: Database) -> DatabaseRunStore:
    return DatabaseRunStore(database)


def rows(database: Database, table: Any = runs) -> dict[str, Any]:
    with database.read() as connection:
        return {row.run_key: row for row in connection.execute(select(table))}


def opened(store: DatabaseRunStore, run: Run, owner: str = "pod", now: datetime = NOW) -> Run:
    store.open(run, now=now, lease_until=now + LEASE)
    store.take_over(run, owner)
    return run


def test_a_new_run_is_open_with_a_lease(store: DatabaseRunStore, database: Database) -> None:
    record = store.open(run_at(0), now=NOW, lease_until=NOW + LEASE)
    assert record == RunRecord(RunState.OPEN, 0, {}, is_new=True)
    assert rows(database)[run_at(0).key].lease_until == NOW + LEASE


def test_a_run_that_is_done_stays_done_when_opened_again(store: DatabaseRunStore, database: Database) -> None:
    run = opened(store, run_at(0))
    counts = {Count.CALENDARS: 2}
    assert store.close(run, "pod", Closing(RunState.DONE, None, 1, counts, {}), now=NOW)
    assert store.open(run, now=NOW + LEASE, lease_until=NOW + 2 * LEASE).state is RunState.DONE
    row = rows(database)[run.key]
    assert (row.state, row.counts, row.lease_until, row.owner) == (RunState.DONE, {"calendars": 2}, None, None)


@pytest.mark.parametrize("state", [RunState.RETRY, RunState.FAILED, RunState.SKIPPED])
def test_any_other_run_opens_again_with_its_attempts_and_without_its_letter(
    store: DatabaseRunStore, database: Database, state: RunState
) -> None:
    run = opened(store, run_at(0))
    store.close(run, "pod", closing(state, LETTER, attempts=3), now=NOW)
    assert list(rows(database, dead_letters)) == [run.key]
    assert store.open(run, now=NOW, lease_until=NOW + LEASE) == RunRecord(RunState.OPEN, 3, {})
    assert rows(database, dead_letters) == {}


def test_the_number_of_attempts_never_falls(store: DatabaseRunStore, database: Database) -> None:
    run = opened(store, run_at(0))
    fence = Fence(run.key, "pod")
    for attempts in (3, 1):
        store.record_attempt(fence, attempts=attempts, reason=Reason.UNAVAILABLE, checkpoint={"page": attempts})
    assert store.take_over(run, "pod") == RunRecord(RunState.OPEN, 3, {"page": 1})
    store.close(run, "pod", closing(RunState.RETRY, attempts=2), now=NOW)
    assert rows(database)[run.key].attempts == 3


@pytest.mark.parametrize(
    ("state", "letter_reason"), [(RunState.OPEN, Reason.CRASHED), (RunState.RETRY, Reason.UNAVAILABLE)]
)
def test_a_run_whose_lease_ran_out_is_swept_into_the_dead_letters(
    store: DatabaseRunStore, database: Database, state: RunState, letter_reason: Reason
) -> None:
    lost = opened(store, run_at(0))
    if state is RunState.RETRY:
        store.close(lost, "pod", closing(RunState.RETRY, attempts=2), now=NOW)
    store.open(run_at(0, "bob"), now=NOW + LEASE, lease_until=NOW + 2 * LEASE)
    assert rows(database, dead_letters) == {}
    another_process = DatabaseRunStore(database)
    another_process.open(run_at(0, "bob"), now=NOW + LEASE + timedelta(seconds=1), lease_until=NOW + 2 * LEASE)
    letter = rows(database, dead_letters)[lost.key]
    assert (letter.reason, letter.error_class) == (letter_reason, LEASE_EXPIRED)
    assert (letter.kind, letter.subject, letter.slot) == (SYNC, "ada", lost.slot)
    row = rows(database)[lost.key]
    assert (row.state, row.reason, row.lease_until) == (RunState.FAILED, letter_reason, None)


def test_a_late_pod_of_a_swept_run_takes_its_letter_away(store: DatabaseRunStore, database: Database) -> None:
    lost = opened(store, run_at(0))
    later = NOW + 2 * LEASE
    store.open(run_at(0, "bob"), now=later, lease_until=later + LEASE)
    assert lost.key in rows(database, dead_letters)
    store.open(lost, now=later, lease_until=later + LEASE)
    assert rows(database, dead_letters) == {}
    assert rows(database)[lost.key].state is RunState.OPEN


def test_a_process_that_was_replaced_cannot_write_nor_close(store: DatabaseRunStore, database: Database) -> None:
    run = opened(store, run_at(0), "old")
    store.take_over(run, "new")
    stale = Fence(run.key, "old")
    with pytest.raises(RunInterruptedError):
        store.record_attempt(stale, attempts=1, reason=Reason.UNAVAILABLE, checkpoint={})
    with pytest.raises(RunInterruptedError), database.write() as connection:
        check_fence(connection, stale)
    assert not store.close(run, "old", closing(RunState.FAILED, LETTER), now=NOW)
    assert rows(database)[run.key].state is RunState.OPEN
    assert rows(database, dead_letters) == {}
    with database.write() as connection:
        check_fence(connection, Fence(run.key, "new"))


def test_a_newer_run_of_the_same_user_makes_the_older_ones_writes_stale(
    store: DatabaseRunStore, database: Database
) -> None:
    older = opened(store, run_at(0), "old")
    opened(store, run_at(0, "bob"), "bobs")
    opened(store, run_at(30), "new")
    with pytest.raises(RunInterruptedError), database.write() as connection:
        check_fence(connection, Fence(older.key, "old"))
    with database.write() as connection:
        check_fence(connection, Fence(run_at(0, "bob").key, "bobs"))


@pytest.mark.parametrize("is_new", [True, False])
def test_who_opens_a_run_as_its_owner_takes_it_over_as_well(
    store: DatabaseRunStore, database: Database, is_new: bool
) -> None:
    older, run = opened(store, run_at(0), "old"), run_at(30)
    if not is_new:
        store.open(run, now=NOW, lease_until=NOW + LEASE)
        opened(store, older, "old")
        with database.write() as connection:
            connection.execute(runs.update().where(runs.c.run_key == run.key).values(attempts=2))
    opened(store, run_at(0, "bob"), "bobs")
    record = store.open(run, now=NOW, lease_until=NOW + LEASE, owner="new")
    assert (record.state, record.attempts, record.is_new) == (RunState.OPEN, 0 if is_new else 2, is_new)
    assert {key: row.owner for key, row in rows(database).items()} == {
        older.key: None,
        run.key: "new",
        run_at(0, "bob").key: "bobs",
    }


def test_a_new_run_has_no_letter_of_its_own_and_replaces_that_of_the_run_it_replays(
    store: DatabaseRunStore, database: Database
) -> None:
    failed = opened(store, run_at(0))
    store.close(failed, "pod", closing(RunState.FAILED, LETTER), now=NOW)
    replay = Run(SYNC, "ada", failed.slot, "", replays=failed.key)
    assert store.open(replay, now=NOW, lease_until=NOW + LEASE, owner="pod").is_new
    assert rows(database, dead_letters) == {}


def test_the_first_run_of_an_hour_deletes_dead_letters_of_more_than_90_days_of_all_users(
    store: DatabaseRunStore, database: Database
) -> None:
    for subject, days in (("old", -91), ("young", -89)):
        now = NOW + timedelta(days=days)
        store.close(opened(store, run_at(0, subject), now=now), "pod", closing(RunState.FAILED, LETTER), now=now)
    store.close(opened(store, run_at(0)), "pod", closing(RunState.DONE), now=NOW)
    assert [row.subject for row in rows(database, dead_letters).values()] == ["young"]


def test_a_process_that_only_waited_does_not_close_another_ones_run(
    store: DatabaseRunStore, database: Database
) -> None:
    run = opened(store, run_at(0), "worker")
    store.open(run, now=NOW, lease_until=NOW + LEASE)
    assert not store.close(run, "waiter", closing(RunState.RETRY), now=NOW)
    assert rows(database)[run.key].owner == "worker"


def test_only_the_latest_run_of_a_user_is_kept_and_failures_of_90_days(
    store: DatabaseRunStore, database: Database
) -> None:
    bobs = opened(store, run_at(-1, "bob"))
    store.close(bobs, "pod", closing(RunState.DONE), now=NOW)
    ages = {"old failure": -91, "failure": -89, "done": -2, "latest": 0}
    made: dict[str, Run] = {}
    for what, days in ages.items():
        now = NOW + timedelta(days=days)
        made[what] = opened(store, run_at(days * 24 * 60), now=now)
        state = RunState.FAILED if "failure" in what else RunState.DONE
        store.close(made[what], "pod", closing(state, LETTER if "failure" in what else None), now=now)
    assert set(rows(database)) == {bobs.key, made["failure"].key, made["latest"].key}
    assert set(rows(database, dead_letters)) == {made["failure"].key}


def test_a_slow_older_run_does_not_remove_a_newer_one(store: DatabaseRunStore, database: Database) -> None:
    older = opened(store, run_at(0))
    newer = opened(store, run_at(30), now=NOW + timedelta(minutes=30))
    store.close(newer, "pod", closing(RunState.DONE), now=NOW + timedelta(minutes=31))
    store.close(older, "pod", closing(RunState.RETRY), now=NOW + timedelta(minutes=32))
    assert set(rows(database)) == {older.key, newer.key}


def test_an_unknown_reason_is_refused_by_the_database(database: Database) -> None:
    with pytest.raises(PermanentError), database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO runs (run_key, kind, subject, state, attempts, started_at)"
            " VALUES ('k', 'sync', 'ada', 'lost', 0, CURRENT_TIMESTAMP)"
        )
