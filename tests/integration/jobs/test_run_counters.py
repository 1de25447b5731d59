"""Hourly counters of runs, on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from integration.jobs.test_runs_listing import end, run
from sqlalchemy import select

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.counters import EARLIER, HOURLY_COUNTERS_KEPT, totals
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import run_counts
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.ports import Closing

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def counted(database: Database) -> dict[tuple[str, str, str], int]:
    with database.read() as connection:
        return {(total.kind, total.state, total.reason): total.runs for total in totals(connection)}


def hours(database: Database) -> set[datetime]:
    with database.read() as connection:
        return set(connection.execute(select(run_counts.c.hour)).scalars())


def test_each_end_counts_once_by_kind_state_and_reason_with_its_seconds(database: Database) -> None:
    end(database, run(), state=RunState.DONE)
    end(database, run(minutes=30), state=RunState.DONE)
    end(database, run(DIGEST), reason=Reason.MISCONFIGURED)
    store, slow = DatabaseRunStore(database), run(DIGEST, "grace")
    store.open(slow, now=NOW, lease_until=NOW + timedelta(hours=1))
    store.take_over(slow, "pod")
    later = NOW + timedelta(seconds=90)
    done = Closing(RunState.DONE, None, 0, {}, {})
    assert store.close(slow, "pod", done, now=later)
    assert not store.close(slow, "pod", done, now=later)  # the reply was lost: the same end again
    assert counted(database) == {
        ("sync", "done", ""): 2,
        ("digest", "failed", "misconfigured"): 1,
        ("digest", "done", ""): 1,
    }
    with database.read() as connection:
        assert [total.seconds for total in totals(connection) if (total.kind, total.state) == ("digest", "done")] == [
            90
        ]


def test_a_run_whose_process_died_counts_as_crashed_once_its_lease_has_expired(database: Database) -> None:
    store = DatabaseRunStore(database)
    for subject in ("ada", "grace", "alan"):
        store.open(run(subject=subject), now=NOW, lease_until=NOW + timedelta(minutes=11))
    assert counted(database) == {}
    store.open(run(subject="eve"), now=NOW + timedelta(hours=1), lease_until=NOW + timedelta(hours=2))
    assert counted(database) == {("sync", "failed", "crashed"): 3}


def test_hours_are_kept_for_14_days_and_the_totals_never_decrease(database: Database) -> None:
    before: Counter[tuple[str, str, str]] = Counter()
    for days in range(0, 40, 2):
        end(database, run(minutes=days * 1440), state=RunState.DONE, at=NOW + timedelta(days=days))
        now = Counter(counted(database))
        assert now == before + Counter({("sync", "done", ""): 1})
        before = now
    last = NOW + timedelta(days=38)
    # Each stripe of a key tidies up its own rows when it begins an hour.
    kept = {hour for hour in hours(database) if hour != EARLIER}
    assert max(kept) == last.replace(minute=0)
    assert EARLIER in hours(database)
    for minutes in range(60):  # every stripe begins this hour
        end(database, run(subject=f"u{minutes}"), state=RunState.DONE, at=last + timedelta(hours=1))
    assert (
        min(hour for hour in hours(database) if hour != EARLIER)
        >= last.replace(minute=0) + timedelta(hours=1) - HOURLY_COUNTERS_KEPT
    )
    assert counted(database) == before + Counter({("sync", "done", ""): 60})


def test_runs_that_end_at_once_and_sweeps_between_them_lose_no_count(database: Database) -> None:
    errors: list[Exception] = []

    def pod(number: int) -> None:
        try:
            for turn in range(8):
                at = NOW + timedelta(minutes=turn)
                kind = (SYNC, DIGEST)[(number + turn) % 2]
                end(database, run(kind, f"u{number}", turn), state=RunState.DONE, at=at)
        except Exception as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)

    threads = [threading.Thread(target=pod, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(counted(database).values()) == 48
