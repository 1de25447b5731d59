"""The one way a job runs: open the run, take the lock, make passes within one budget, close the run, name the exit.

What decides the exit code:

- a pass returns: 0. The run was done before, or another run has the lock: 0, `skipped`.
- SIGTERM, a lost lock, the deadline: 75 and nothing booked, since nothing failed.
- `TemporaryError`: booked, retried after 2, 4 and 8 s; the fourth is a dead letter and 65. With a wait that the
  server named it is not booked; the deadline bounds it.
- the attempt or the dead letter cannot be written: 75 at once, so that the Job's own backoff covers the outage.
- `PermanentError`: 65. `MisconfiguredError`: 78. Anything else is a crash: 1, never retried in the process.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_jobs.domain.vocabulary import RunState
from catchup_jobs.jobs.run.context import JobBody, RunContext, RunInterruptedError, check_may_go_on, pause
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.run.ports import (
    Closing,
    Coordination,
    DeadLetter,
    Fence,
    HeldBy,
    Lock,
    Run,
    RunStore,
    Surroundings,
)
from catchup_jobs.jobs.run.retries import LEASE_MARGIN_SECONDS, RETRY_DELAYS_SECONDS

# One first attempt and a retry after each delay.
BUDGET: Final = 1 + len(RETRY_DELAYS_SECONDS)
EXIT_CRASHED: Final = 1
_JITTER: Final = 0.2
_LOCK_POLL_SECONDS: Final = 1.0
_LEAST_NAMED_WAIT_SECONDS: Final = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process's part in a run ended."""

    outcome: Outcome
    exit_code: int
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)
    letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What `run_job` hands back: the process's exit code and the summary for the termination message."""

    exit_code: int
    summary: Summary


def run_job(
    body: JobBody,
    run: Run,
    *,
    store: RunStore,
    coordination: Coordination,
    surroundings: Surroundings,
    deadline_seconds: float,
) -> Report:
    """Run a job by the contract above.

    Args:
        body: called once per pass, at most `BUDGET` times over all pods plus once per wait that a server named.
        deadline_seconds: how long this process may take.

    Raises:
        Nothing of the job's: every failure is in the report.
    """
    started_at = surroundings.now()
    execution = _Execution(
        body=body,
        run=run,
        store=store,
        coordination=coordination,
        surroundings=surroundings,
        deadline=started_at + timedelta(seconds=deadline_seconds),
        owner=surroundings.process_id,
    )
    with structlog.contextvars.bound_contextvars(
        run_key=run.key, user=run.subject, kind=run.job.value, slot=run.slot.isoformat() if run.slot else None
    ):
        ending = execution.perform(started_at)
        report = report_of(ending, run, started_at, surroundings.now(), attempts=execution.attempts)
        _log.info(
            "run ended",
            outcome=ending.outcome.value,
            reason=ending.reason.value if ending.reason else None,
            exit_code=ending.exit_code,
            attempts=execution.attempts,
            **{count.value: number for count, number in ending.counts.items()},
        )
    return report


def report_of(ending: Ending, run: Run, started_at: datetime, finished_at: datetime, *, attempts: int = 0) -> Report:
    """Return the report of an ending."""
    summary = Summary(
        job=run.job,
        outcome=ending.outcome,
        started_at=started_at,
        finished_at=finished_at,
        attempts=attempts,
        reason=ending.reason,
        counts=ending.counts,
    )
    return Report(int(ending.exit_code), summary)


def ending_of(error: JobError) -> Ending:
    """Return how a run ends on an error that no pass is repeated for."""
    if isinstance(error, MisconfiguredError):
        return Ending(Outcome.FAILED, ExitCode.MISCONFIGURED, error.reason)
    if isinstance(error, PermanentError):
        return Ending(Outcome.FAILED, ExitCode.PERMANENT, error.reason, letter=_letter_of(error))
    return Ending(Outcome.RETRY, ExitCode.TEMPORARY, error.reason)


def crash(error: Exception) -> Ending:
    """Log an error that nobody expected and return how it ends the run.

    The message is left out, it may quote anything; class and places in the code are not personal.
    """
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("crashed", error_class=type(error).__qualname__, frames=places)
    return Ending(Outcome.RETRY, EXIT_CRASHED, Reason.CRASHED)


def _letter_of(error: JobError) -> DeadLetter | None:
    # An unknown user is nothing to replay: the next slot finds it, or its resource goes.
    if error.reason is Reason.UNKNOWN_USER:
        return None
    return DeadLetter(error.reason, type(error).__name__)


@dataclass
class _Execution:
    body: JobBody
    run: Run
    store: RunStore
    coordination: Coordination
    surroundings: Surroundings
    deadline: datetime
    owner: str
    attempts: int = 0
    passes: int = 0
    is_closed: bool = False
    checkpoint: dict[str, Any] = field(default_factory=dict)

    def perform(self, started_at: datetime) -> Ending:
        lease_until = self.deadline + timedelta(seconds=LEASE_MARGIN_SECONDS)

        def opened() -> Ending:
            record = self.store.open(self.run, now=started_at, lease_until=lease_until)
            self.attempts, self.checkpoint = record.attempts, record.checkpoint
            if record.state is RunState.DONE:
                return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.ALREADY_DONE)
            return self._under_lock()

        return self._guarded(opened)

    def _guarded(self, step: Callable[[], Ending]) -> Ending:
        # What ends a run outside of its passes; nothing is booked and nothing repeated here.
        try:
            return step()
        except RunInterruptedError as interruption:
            _log.warning("stopping", why=str(interruption))
            return Ending(Outcome.RETRY, ExitCode.TEMPORARY, interruption.reason)
        except JobError as error:
            _log.error("failed", error_class=type(error).__name__, why=str(error))
            return ending_of(error)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it was, the run is closed and the lock released
            return crash(error)

    def _under_lock(self) -> Ending:
        lock: Lock | None = None

        def locked() -> Ending:
            nonlocal lock
            lock = self._wait_for_lock()
            if lock is None:
                return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.LOCKED)
            record = self.store.claim(self.run, self.owner)
            if record.state is RunState.DONE:
                self.is_closed = True
                return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.ALREADY_DONE)
            self.checkpoint = record.checkpoint
            self.attempts = max(record.attempts, self.coordination.attempts(self.run.key))
            return self._passes(lock)

        try:
            # Closed before the lock is released: a process that waits for it then sees how the run ended.
            return self._close(self._guarded(locked))
        finally:
            if lock is not None:
                lock.release()

    def _wait_for_lock(self) -> Lock | None:
        waiting = False
        while True:
            check_may_go_on(self.surroundings, self.deadline)
            answer = self.coordination.acquire(self.run.lock_name, self.run.key)
            if not isinstance(answer, HeldBy):
                return answer
            if answer.run_key != self.run.key:
                return None
            if not waiting:
                _log.info("waiting: another process has the lock for this run")
                waiting = True
            pause(self.surroundings, self.deadline, _LOCK_POLL_SECONDS)

    def _passes(self, lock: Lock) -> Ending:
        if self.attempts >= BUDGET:
            # The process that spent it could not say so.
            return self._spent(DeadLetter(Reason.UNAVAILABLE, TemporaryError.__name__))
        while True:
            context = RunContext(
                run=self.run,
                attempt=self.attempts + 1,
                deadline=self.deadline,
                fence=Fence(self.run.key, self.owner),
                lock=lock,
                surroundings=self.surroundings,
                checkpoint=self.checkpoint,
            )
            with structlog.contextvars.bound_contextvars(attempt=context.attempt):
                try:
                    context.check_stop()
                    result = self.body(context)
                except TemporaryError as error:
                    wait = self._after_failure(error)
                    if isinstance(wait, Ending):
                        return wait
                    pause(self.surroundings, self.deadline, wait)
                else:
                    return Ending(result.outcome, ExitCode.DONE, result.reason, dict(result.counts))

    def _after_failure(self, error: TemporaryError) -> float | Ending:
        # Returns the seconds to wait before the next pass, or the end.
        if error.wait_seconds is not None:
            _log.warning("waiting as asked", why=str(error), seconds=error.wait_seconds)
            return max(error.wait_seconds, _LEAST_NAMED_WAIT_SECONDS) + self.surroundings.random()
        self.passes += 1
        try:
            booked = self.coordination.book(self.run.key, f"{self.surroundings.process_id}:{self.passes}")
            # Redis may have lost its keys: the number never falls.
            self.attempts = max(booked, self.attempts + 1)
            self.store.book(
                Fence(self.run.key, self.owner),
                attempts=self.attempts,
                reason=error.reason,
                checkpoint=self.checkpoint,
            )
        except JobError as unbooked:
            _log.error("the attempt cannot be booked, leaving it to the Job's backoff", why=str(unbooked))
            return Ending(Outcome.RETRY, ExitCode.TEMPORARY, error.reason)
        if self.attempts >= BUDGET:
            _log.error("attempt failed, the budget is spent", why=str(error))
            return self._spent(DeadLetter(error.reason, type(error).__name__))
        delay = RETRY_DELAYS_SECONDS[self.attempts - 1] * (1 - _JITTER + 2 * _JITTER * self.surroundings.random())
        _log.warning("attempt failed", why=str(error), next_in_seconds=round(delay, 1))
        return delay

    def _spent(self, letter: DeadLetter) -> Ending:
        return Ending(Outcome.FAILED, ExitCode.PERMANENT, Reason.BUDGET_SPENT, letter=letter)

    def _close(self, ending: Ending) -> Ending:
        # Not by the reason: a digest whose date an earlier run settled is done already, too, and has a run to close.
        if self.is_closed:
            return ending
        closing = Closing(
            state=RunState(ending.outcome.value),
            reason=ending.reason,
            attempts=self.attempts,
            counts=ending.counts,
            checkpoint=self.checkpoint if ending.outcome is Outcome.RETRY else {},
            letter=ending.letter,
        )
        try:
            if not self.store.close(self.run, self.owner, closing, now=self.surroundings.now()):
                _log.warning("the run is another process's by now, its record was left alone")
        except JobError as error:
            _log.error("the run's end cannot be recorded", why=str(error))
            if ending.exit_code in {ExitCode.DONE, ExitCode.PERMANENT}:
                unrecorded = TemporaryError(str(error))
                return ending_of(error if isinstance(error, MisconfiguredError) else unrecorded)
        return ending
