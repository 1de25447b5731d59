"""A backfill serves each user once, paced, and leaves the rest where it must stop."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.jobs.pool.backfill import Backfill, BackfillResult, exit_of
from catchup_jobs.jobs.pool.tick import GIVE_UP_AFTER
from catchup_jobs.jobs.run.endings import Ending, Report, report_of
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.run.ports import Process

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
ENDINGS = {
    "failed": Ending(Outcome.FAILED, ExitCode.PERMANENT, Reason.BUDGET_SPENT),
    "skipped": Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.NOT_CONNECTED),
    "locked": Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.LOCKED),
    "down": Ending(Outcome.RETRY, ExitCode.TEMPORARY, Reason.UNAVAILABLE),
    "misconfigured": Ending(Outcome.FAILED, ExitCode.MISCONFIGURED, Reason.MISCONFIGURED),
}
DONE = Ending(Outcome.DONE, ExitCode.DONE)


@dataclass
class World:
    """Users whose runs end as their names say; a clock that only waits turn."""

    now: datetime = NOW
    stopping: bool = False
    passed: set[str] = field(default_factory=set)
    begun: list[tuple[str, datetime]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)
    stop_after: int = 0
    released: set[str] = field(default_factory=set)
    """Users whose second run finds the lock free."""
    down_at: int = 0
    """The page at which the database is down."""
    pages: int = 0

    def serve(self, user_id: str) -> Report:
        self.begun.append((user_id, self.now))
        if len(self.begun) == self.stop_after:
            self.stopping = True
        ending = ENDINGS.get(user_id.split("-", maxsplit=1)[0], DONE)
        if user_id in self.released and len([user for user, _ in self.begun if user == user_id]) > 1:
            ending = DONE
        return report_of(ending, SYNC, self.now, self.now)

    def passed_of(self, page: Sequence[str]) -> Collection[str]:
        self.pages += 1
        if self.pages == self.down_at:
            raise TemporaryError("the database is down")
        return self.passed & set(page)

    def backfill(
        self, *user_ids: str, interval: timedelta = timedelta(seconds=0.5), workers: int = 1
    ) -> BackfillResult:
        return Backfill(
            serve=self.serve,
            passed_of=self.passed_of,
            process=Process(lambda: self.now, self._sleep, lambda: 0.5, lambda: self.stopping, "process"),
            interval=interval,
            on_end=lambda user_id, _: self.told.append(user_id),
            on_progress=lambda result: self.progress.append(result.left),
            workers=workers,
        )(user_ids)

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def counts(result: BackfillResult) -> tuple[int, int, int, int, int]:
    return result.served, result.skipped, result.failed, result.passed, result.left


def test_each_user_is_served_once_and_counted_by_how_the_run_ended() -> None:
    world = World(passed={"passed-1"})
    names = ["a", "failed-1", "skipped-1", "passed-1", "b"]
    result = world.backfill(*names)
    assert counts(result) == (2, 1, 1, 1, 0)
    assert [user for user, _ in world.begun] == world.told == ["a", "failed-1", "skipped-1", "b"]
    assert exit_of(result) is ExitCode.PERMANENT


@pytest.mark.parametrize("seconds", [0.05, 0.5, 7])
def test_runs_begin_no_faster_than_the_rate_and_a_backfill_says_how_far_it_is(seconds: float) -> None:
    world, interval = World(), timedelta(seconds=seconds)
    world.backfill(*(f"user-{number}" for number in range(250)), interval=interval)
    starts = [at for _, at in world.begun]
    assert len(starts) == 250
    assert min(later - sooner for sooner, later in pairwise(starts)) >= interval
    assert len(world.progress) == pytest.approx(250 * seconds / 10, abs=250 * seconds / 10 * 0.2 + 1)
    assert world.progress == sorted(world.progress, reverse=True)


def test_a_signal_ends_what_was_begun_and_leaves_the_rest() -> None:
    world = World(stop_after=3)
    result = world.backfill(*"abcdef")
    assert counts(result) == (3, 0, 0, 0, 3)
    assert exit_of(result) is ExitCode.TEMPORARY


@pytest.mark.parametrize(("name", "code"), [("down", ExitCode.TEMPORARY), ("misconfigured", ExitCode.MISCONFIGURED)])
def test_a_cause_of_the_installation_stops_it(name: str, code: ExitCode) -> None:
    world = World()
    result = world.backfill("a", *(f"{name}-{number}" for number in range(50)))
    assert (result.failed, result.left) == (GIVE_UP_AFTER, 50 - GIVE_UP_AFTER)
    assert exit_of(result) is code


def test_so_many_users_are_served_at_once_and_no_more() -> None:
    world, most, lock, both = World(), [0, 0], threading.Lock(), threading.Event()

    def serve(user_id: str) -> Report:
        with lock:
            most[0] += 1
            most[1] = max(most)
            if most[0] == 2:
                both.set()
        assert both.wait(30)
        with lock:
            most[0] -= 1
        return World.serve(world, user_id)

    world.serve = serve  # type: ignore[method-assign]
    result = world.backfill(*"abcdef", workers=2, interval=timedelta(0))
    assert (result.served, most[1]) == (6, 2)


def test_nobody_is_left_and_nobody_failed() -> None:
    assert exit_of(World().backfill("a", "b")) is ExitCode.DONE


def test_a_user_of_whom_another_run_is_at_work_is_tried_again_at_the_end_and_left_if_it_still_is() -> None:
    world = World(released={"locked-1"})
    result = world.backfill("locked-1", "locked-2", "a")
    assert [user for user, _ in world.begun] == ["locked-1", "locked-2", "a", "locked-1", "locked-2"]
    assert world.begun[3][1] - world.begun[2][1] >= timedelta(seconds=10)
    assert (counts(result), exit_of(result)) == ((2, 0, 0, 0, 1), ExitCode.TEMPORARY)
    world = World(released={"locked-1"})
    assert exit_of(world.backfill("locked-1", "a")) is ExitCode.DONE


def test_an_error_of_the_database_ends_what_was_begun_and_leaves_the_rest() -> None:
    world = World(down_at=2)
    result = world.backfill(*(f"user-{number}" for number in range(150)), workers=8)
    assert (world.pages, len(world.told)) == (2, 100)
    assert (counts(result), str(result.error)) == ((100, 0, 0, 0, 50), "the database is down")
    assert exit_of(result) is ExitCode.TEMPORARY


def test_a_clock_that_is_set_back_does_not_stall_a_backfill_nor_its_progress() -> None:
    world = World()
    serve, back = world.serve, timedelta(hours=1)

    def set_back(user_id: str) -> Report:
        report = serve(user_id)
        if user_id == "user-1":
            world.now -= back
        return report

    world.serve = set_back  # type: ignore[method-assign]
    result = world.backfill(*(f"user-{number}" for number in range(60)))

    assert result.served == 60
    times = [at for user_id, at in world.begun]
    assert max(times[2:]) < NOW - back + timedelta(minutes=1)
    assert len(world.progress) >= 2
