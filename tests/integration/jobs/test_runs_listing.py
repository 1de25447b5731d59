"""Reading and tidying the book of runs and dead letters, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC, Kind
from catchup_contract.outcomes import NO_NEWS, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.listing import DatabaseHistory, Failures
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import runs
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.ports import Closing, DeadLetter, Run

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LEASE = timedelta(seconds=660)


@pytest.fixture
def history(database: Database) -> DatabaseHistory:
    return DatabaseHistory(database)


def end(
    database: Database,
    run: Run,
    *,
    state: RunState = RunState.FAILED,
    reason: Reason = Reason.UNAVAILABLE,
    error_class: str = "TemporaryError",
    at: datetime = NOW,
) -> str:
    """Let a run end as said; a failed one leaves a dead letter."""
    store = DatabaseRunStore(database)
    store.open(run, now=at, lease_until=at + LEASE)
    store.take_over(run, "pod")
    letter = DeadLetter(reason, error_class) if state is RunState.FAILED else None
    done = state is RunState.DONE
    closing = Closing(state, None if done else reason, 4, {Count.CALENDARS: 1} if done else {}, {}, letter)
    assert store.close(run, "pod", closing, now=at)
    return run.key


def run(kind: Kind = SYNC, subject: str = "ada", minutes: int = 0, replays: str | None = None) -> Run:
    return Run(kind, subject, NOW + timedelta(minutes=minutes), "", replays)


@pytest.fixture
def keys(database: Database) -> dict[str, str]:
    """Four dead letters that differ in every way of choosing."""
    return {
        "sync": end(database, run(minutes=0)),
        "digest": end(database, run(DIGEST, minutes=5), at=NOW + timedelta(minutes=5)),
        "bob": end(database, run(subject="bob", minutes=10), reason=Reason.BAD_DATA, at=NOW + timedelta(minutes=10)),
        "crash": end(database, run(subject="eve", minutes=15), error_class="KeyError", at=NOW + timedelta(minutes=15)),
    }


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (Failures(), ["sync", "digest", "bob", "crash"]),
        (Failures(kind=DIGEST), ["digest"]),
        (Failures(subject="ada"), ["sync", "digest"]),
        (Failures(reason=Reason.BAD_DATA), ["bob"]),
        (Failures(error_class="KeyError"), ["crash"]),
        (Failures(before=NOW + timedelta(minutes=5)), ["sync"]),
        (Failures(after=NOW + timedelta(minutes=10)), ["bob", "crash"]),
        (Failures(kind=SYNC, subject="bob"), ["bob"]),
        (Failures(kind=SUGGESTIONS), []),
    ],
)
def test_failures_are_chosen_by_kind_user_reason_class_and_age(
    database: Database, history: DatabaseHistory, keys: dict[str, str], which: Failures, expected: list[str]
) -> None:
    wanted = [keys[name] for name in expected]
    assert [failure.run_key for failure in history.failures(which, limit=10)] == wanted
    assert history.count_failures(which) == len(wanted)
    assert history.discard(which) == len(wanted)
    assert {failure.run_key for failure in history.failures(Failures(), limit=10)} == set(keys.values()) - set(wanted)


def test_pages_of_failures_meet_without_gap_or_overlap(database: Database, history: DatabaseHistory) -> None:
    expected = sorted(end(database, run(subject=f"user-{number}")) for number in range(7))
    found: list[str] = []
    after = None
    while page := history.failures(Failures(), limit=3, after=after):
        found += [failure.run_key for failure in page]
        after = (page[-1].created_at, page[-1].run_key)
    assert found == expected


def test_a_replay_answers_for_the_run_that_was_given_up(
    database: Database, history: DatabaseHistory, keys: dict[str, str]
) -> None:
    replay = run(minutes=0, replays=keys["sync"])
    assert replay.key == f"{keys['sync']}:r1"
    end(database, replay, state=RunState.DONE, at=NOW + timedelta(hours=1))
    assert keys["sync"] not in {failure.run_key for failure in history.failures(Failures(), limit=10)}


def test_a_replay_that_fails_again_is_given_up_under_its_own_key(
    database: Database, history: DatabaseHistory, keys: dict[str, str]
) -> None:
    first = end(database, run(minutes=0, replays=keys["sync"]), at=NOW + timedelta(hours=1))
    second = end(database, run(minutes=0, replays=first), at=NOW + timedelta(hours=2))
    assert (first, second) == (f"{keys['sync']}:r1", f"{keys['sync']}:r2")
    left = {failure.run_key for failure in history.failures(Failures(), limit=10)}
    assert left & {keys["sync"], first, second} == {second}


@pytest.mark.parametrize("reason", sorted(NO_NEWS))
@pytest.mark.parametrize("state", [RunState.FAILED, RunState.DONE])
def test_a_firing_that_had_nothing_to_do_does_not_hide_how_the_last_digest_ended(
    database: Database, history: DatabaseHistory, state: RunState, reason: Reason
) -> None:
    """In a zone with two offsets one comes an hour before each digest, half of the year; two come after each."""
    last = end(database, run(DIGEST), state=state)
    for hours in (20, 44):
        idle = run(DIGEST, minutes=60 * hours)
        end(database, idle, state=RunState.SKIPPED, reason=reason, at=NOW + timedelta(hours=hours))
    shown = [idle.key] if reason is Reason.ALREADY_DONE else []  # the newest of them alone is kept
    assert [past.run_key for past in history.runs(limit=10)] == [*shown, last]
    served = end(database, run(DIGEST, minutes=60 * 45), state=RunState.DONE, at=NOW + timedelta(hours=45))
    listed = [past.run_key for past in history.runs(limit=10)]
    assert listed == ([served, last] if state is RunState.FAILED else [served])
    with database.read() as connection:
        stored = set(connection.execute(select(runs.c.run_key)).scalars())
    assert stored == set(listed)


def test_runs_are_listed_the_latest_first_and_by_kind_user_and_state(
    database: Database, history: DatabaseHistory, keys: dict[str, str]
) -> None:
    done = end(database, run(minutes=30), state=RunState.DONE, at=NOW + timedelta(minutes=30))
    listed = history.runs(limit=10)
    assert [past.run_key for past in listed] == [done, keys["crash"], keys["bob"], keys["digest"], keys["sync"]]
    assert listed[0].counts == {Count.CALENDARS: 1}
    assert [past.run_key for past in history.runs(limit=1, state=RunState.FAILED)] == [keys["crash"]]
    assert [past.run_key for past in history.runs(limit=10, kind=DIGEST)] == [keys["digest"]]
    assert [past.run_key for past in history.runs(limit=10, subject="ada")] == [done, keys["digest"], keys["sync"]]


def test_names_that_only_newer_code_knows_are_listed_and_kept_as_they_are(
    database: Database, history: DatabaseHistory
) -> None:
    end(database, run(), reason=Reason.BAD_DATA)
    ended = end(database, run(subject="bob"), state=RunState.DONE)
    died = run(subject="eve")
    DatabaseRunStore(database).open(died, now=NOW, lease_until=NOW + LEASE)
    with database.write() as connection:
        connection.execute(text("UPDATE runs SET kind = 'birthday', reason = 'too_shy'"))
        connection.execute(text("UPDATE dead_letters SET kind = 'birthday', reason = 'too_shy'"))
    # Whichever run comes next ends those whose lease has expired.
    end(database, run(subject="zoe"), state=RunState.DONE, at=NOW + 2 * LEASE)
    letters = {letter.run_key: letter for letter in history.failures(Failures(), limit=9)}
    assert {(letter.kind.name, letter.reason.value) for letter in letters.values()} == {
        ("birthday", "too_shy"),
        ("birthday", "crashed"),
    }
    assert letters[died.key].reason is Reason.CRASHED
    listed = {past.run_key: past for past in history.runs(limit=9)}
    assert (listed[ended].kind.name, listed[ended].reason) == ("birthday", "too_shy")
