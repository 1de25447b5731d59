"""The retry, lock, run and exit contract, with everything around it scripted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.endings import EXIT_CRASHED, Report
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Closing, DeadLetter, Fence, HeldBy, Lock, Process, Run, RunRecord

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
RUN = Run(SYNC, "ada", NOW, "uid-1")
OTHER_RUN_KEY = "sync:ada:2026-11-23T08:00:00Z"


@dataclass
class World:
    """The outside of a run: everything that happens is written to `log`."""

    record: RunRecord = field(default_factory=lambda: RunRecord(RunState.OPEN))
    at_claim: RunRecord | None = None
    booked: set[str] = field(default_factory=set)
    holders: list[HeldBy] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    now: datetime = NOW
    stopping: bool = False
    lock_held: bool = True
    closing: Closing | None = None
    mirrored: list[int] = field(default_factory=list)

    def _happen(self, what: str) -> None:
        self.log.append(what)
        if what in self.faults:
            raise self.faults[what]

    def open(self, run: Run, *, now: datetime, lease_until: datetime, owner: str | None = None) -> RunRecord:
        assert lease_until == now + timedelta(seconds=600 + 60)
        self._happen("open")
        return self.record

    def take_over(self, run: Run, owner: str) -> RunRecord:
        self._happen("claim")
        return self.at_claim or self.record

    def mirror(self, fence: Fence, *, attempts: int, reason: Reason, checkpoint: dict[str, Any]) -> None:
        self._happen("mirror")
        self.mirrored.append(attempts)

    def close(self, run: Run, owner: str, closing: Closing, *, now: datetime) -> bool:
        self._happen("close")
        self.closing = closing
        return True

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        self._happen("acquire")
        if self.holders:
            return self.holders.pop(0)
        return self

    def is_held(self) -> bool:
        return self.lock_held

    def release(self) -> None:
        self._happen("release")

    def attempts(self, run_key: str) -> int:
        return len(self.booked)

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        self._happen("book")
        self.booked.add(attempt_id)
        return len(self.booked)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


class _Store:
    """`World` as a RunStore: its attempts are the row's, not Redis's."""

    def __init__(self, world: World) -> None:
        self.open, self.take_over, self.close, self.record_attempt = (
            world.open,
            world.take_over,
            world.close,
            world.mirror,
        )


def perform(world: World, *passes: Result | Exception | Callable[[RunContext], Result]) -> tuple[Report, int]:
    """Run a job whose passes end as scripted; return the report and the number of passes."""
    script = list(passes)
    made = 0

    def body(context: RunContext) -> Result:
        nonlocal made
        made += 1
        step = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Result) else step(context)

    process = Process(
        now=lambda: world.now,
        sleep=world.sleep,
        random=lambda: 0.5,
        stopping=lambda: world.stopping,
        process_id="pod",
    )
    report = run_job(body, RUN, store=_Store(world), locks=world, process=process, deadline_seconds=600)
    return report, made


def test_a_pass_that_returns_ends_the_run_with_its_counts() -> None:
    world = World()
    report, passes = perform(world, Result(counts={Count.CALENDARS: 2}))
    assert (report.exit_code, passes) == (0, 1)
    assert (report.summary.outcome, report.summary.counts) == (Outcome.DONE, {Count.CALENDARS: 2})
    assert world.log == ["open", "acquire", "claim", "close", "release"]
    assert world.closing == Closing(RunState.DONE, None, 0, {Count.CALENDARS: 2}, {})


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_temporary_failures_are_retried_within_the_budget(failures: int) -> None:
    world = World()
    report, passes = perform(world, *[TemporaryError("down")] * failures, Result())
    assert (report.exit_code, passes, report.summary.attempts) == (0, failures + 1, failures)
    assert world.slept == [2.0, 4.0, 8.0][:failures]
    assert world.mirrored == [1, 2, 3][:failures]


def test_the_fourth_temporary_failure_is_a_dead_letter_and_permanent() -> None:
    world = World()
    report, passes = perform(world, TemporaryError("down"))
    assert (report.exit_code, passes, report.summary.reason) == (65, 4, Reason.BUDGET_SPENT)
    assert world.closing is not None
    assert world.closing.dead_letter == DeadLetter(Reason.UNAVAILABLE, "TemporaryError")
    assert (world.closing.state, world.closing.attempts) == (RunState.FAILED, 4)


def test_all_that_is_logged_in_an_attempt_says_which_run_and_attempt_it_is_of() -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        perform(World(), TemporaryError("down"))
    of_attempts = [line for line in lines if line["event"].startswith("attempt failed")]
    assert [line["attempt"] for line in of_attempts] == [1, 2, 3, 4]
    assert all(
        {"run_key": "sync:ada:2026-11-23T08:30:00Z", "user": "ada", "kind": "sync"}.items() <= line.items()
        for line in lines
    )


@pytest.mark.parametrize(
    ("in_redis", "in_row", "passes_left"), [(0, 0, 4), (2, 0, 2), (0, 3, 1), (1, 3, 1), (3, 1, 1), (4, 0, 0), (0, 7, 0)]
)
def test_a_pod_goes_on_counting_from_the_larger_of_the_two_books(in_redis: int, in_row: int, passes_left: int) -> None:
    world = World(record=RunRecord(RunState.RETRY, in_row), booked={f"before:{n}" for n in range(in_redis)})
    report, passes = perform(world, TemporaryError("down"))
    assert (report.exit_code, passes) == (65, passes_left)
    assert world.closing is not None
    assert world.closing.dead_letter is not None


def test_keys_lost_in_redis_do_not_give_a_new_budget() -> None:
    world = World()

    def flushed(_: RunContext) -> Result:
        world.booked.clear()
        raise TemporaryError("down")

    report, passes = perform(world, flushed)
    assert (report.exit_code, passes, world.mirrored) == (65, 4, [1, 2, 3, 4])


def test_a_wait_that_the_server_named_books_nothing() -> None:
    world = World()
    report, passes = perform(world, *[TemporaryError("quota", wait_seconds=30)] * 6, Result())
    assert (report.exit_code, passes, report.summary.attempts) == (0, 7, 0)
    assert world.slept == [30.5] * 6
    assert "book" not in world.log


def test_named_waits_are_bounded_by_the_deadline() -> None:
    world = World()
    report, passes = perform(world, TemporaryError("quota", wait_seconds=200))
    assert (report.exit_code, passes, report.summary.reason) == (75, 3, Reason.DEADLINE)
    assert world.now < NOW + timedelta(seconds=600)
    assert "book" not in world.log


def test_a_named_wait_of_nothing_does_not_spin() -> None:
    world = World()
    perform(world, TemporaryError("quota", wait_seconds=0), Result())
    assert world.slept == [1.5]


@pytest.mark.parametrize("fault", ["book", "mirror"])
def test_an_attempt_that_cannot_be_booked_is_left_to_the_jobs_backoff(fault: str) -> None:
    world = World(faults={fault: TemporaryError("gone")})
    report, passes = perform(world, TemporaryError("down"))
    assert fault in world.log
    assert (report.exit_code, passes, world.slept) == (75, 1, [])


def test_a_dead_letter_that_cannot_be_written_is_temporary() -> None:
    world = World(faults={"close": TemporaryError("gone")})
    report, _ = perform(world, TemporaryError("down"))
    assert (report.exit_code, report.summary.outcome) == (75, Outcome.RETRY)
    assert world.log[-1] == "release"


def test_an_end_that_cannot_be_recorded_is_temporary() -> None:
    world = World(faults={"close": PermanentError("refused")})
    report, _ = perform(world, Result())
    assert (report.exit_code, report.summary.outcome) == (75, Outcome.RETRY)


@pytest.mark.parametrize(
    ("error", "exit_code", "reason", "letter"),
    [
        (PermanentError("bad"), 65, Reason.BAD_DATA, DeadLetter(Reason.BAD_DATA, "PermanentError")),
        (PermanentError("who", reason=Reason.UNKNOWN_USER), 65, Reason.UNKNOWN_USER, None),
        (MisconfiguredError("no key"), 78, Reason.MISCONFIGURED, None),
    ],
)
def test_permanent_errors_end_the_run_at_once(
    error: Exception, exit_code: int, reason: Reason, letter: DeadLetter | None
) -> None:
    world = World()
    report, passes = perform(world, error)
    assert (report.exit_code, passes, report.summary.reason) == (exit_code, 1, reason)
    assert world.closing is not None
    assert (world.closing.state, world.closing.dead_letter) == (RunState.FAILED, letter)


def test_a_crash_is_not_retried_here_nor_booked_and_keeps_its_lease() -> None:
    world = World()
    report, passes = perform(world, ZeroDivisionError("ada@example.com"))
    assert (report.exit_code, passes, report.summary.reason) == (EXIT_CRASHED, 1, Reason.CRASHED)
    assert world.closing is not None
    assert world.closing.state is RunState.RETRY
    assert world.log[-1] == "release"
    assert "book" not in world.log


def test_termination_stops_at_the_next_safe_point_and_books_nothing() -> None:
    world = World()

    def terminated(context: RunContext) -> Result:
        world.stopping = True
        context.checkpoint["page"] = 3
        context.check_stop()
        raise AssertionError("went on")

    report, passes = perform(world, terminated)
    assert (report.exit_code, passes, report.summary.reason) == (75, 1, Reason.TERMINATED)
    assert world.closing == Closing(RunState.RETRY, Reason.TERMINATED, 0, {}, {"page": 3})
    assert world.log[-2:] == ["close", "release"]


def test_a_lost_lock_stops_the_job_before_its_next_side_effect() -> None:
    world = World()

    def lost(context: RunContext) -> Result:
        world.lock_held = False
        context.check_stop()
        raise AssertionError("went on")

    report, _ = perform(world, lost)
    assert (report.exit_code, report.summary.reason) == (75, Reason.UNAVAILABLE)


def test_a_near_deadline_stops_the_job() -> None:
    world = World()

    def slow(context: RunContext) -> Result:
        world.now += timedelta(seconds=595)
        context.check_stop()
        raise AssertionError("went on")

    report, _ = perform(world, slow)
    assert (report.exit_code, report.summary.reason) == (75, Reason.DEADLINE)


def test_another_run_with_the_lock_is_a_skip() -> None:
    world = World(holders=[HeldBy(OTHER_RUN_KEY)])
    report, passes = perform(world, Result())
    assert (report.exit_code, passes) == (0, 0)
    assert (report.summary.outcome, report.summary.reason) == (Outcome.SKIPPED, Reason.LOCKED)
    assert "release" not in world.log


def test_a_lock_of_the_same_run_is_waited_for() -> None:
    world = World(holders=[HeldBy(RUN.key)] * 60)
    report, passes = perform(world, Result())
    assert (report.exit_code, passes, sum(world.slept)) == (0, 1, 60.0)


def test_waiting_for_the_lock_ends_with_the_deadline_and_books_nothing() -> None:
    world = World(holders=[HeldBy(RUN.key)] * 1000)
    report, passes = perform(world, Result())
    assert (report.exit_code, passes, report.summary.reason) == (75, 0, Reason.DEADLINE)
    assert "book" not in world.log


def test_a_run_that_is_done_is_not_done_again() -> None:
    world = World(record=RunRecord(RunState.DONE))
    report, passes = perform(world, Result())
    assert (report.exit_code, passes, report.summary.reason) == (0, 0, Reason.ALREADY_DONE)
    assert world.log == ["open"]


def test_a_run_that_was_finished_while_its_lock_was_waited_for_is_not_done_again() -> None:
    world = World(holders=[HeldBy(RUN.key)], at_claim=RunRecord(RunState.DONE))
    report, passes = perform(world, Result())
    assert (report.exit_code, passes, report.summary.reason) == (0, 0, Reason.ALREADY_DONE)
    assert world.log[-1] == "release"
    assert "close" not in world.log


@pytest.mark.parametrize("where", ["open", "acquire", "claim"])
@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(TemporaryError("down"), 75), (MisconfiguredError("wrong"), 78), (RuntimeError("?"), EXIT_CRASHED)],
)
def test_an_outage_before_the_first_pass_books_nothing(where: str, error: Exception, exit_code: int) -> None:
    world = World(faults={where: error})
    report, passes = perform(world, Result())
    assert where in world.log
    assert (report.exit_code, passes) == (exit_code, 0)
    assert ("release" in world.log) == (where == "claim")


def test_the_checkpoint_is_handed_from_pass_to_pass_and_from_pod_to_pod() -> None:
    world = World(record=RunRecord(RunState.RETRY, 1, {"page": 1}))
    seen: list[dict[str, Any]] = []

    def step(context: RunContext) -> Result:
        seen.append(dict(context.checkpoint))
        context.checkpoint["page"] += 1
        if len(seen) == 1:
            raise TemporaryError("down")
        return Result()

    perform(world, step)
    assert seen == [{"page": 1}, {"page": 2}]
    assert world.closing is not None
    assert world.closing.checkpoint == {}
