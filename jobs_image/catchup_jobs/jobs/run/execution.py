"""The execution of a run: open it, take the lock, make passes within one retry budget, close it, return the exit code.

What decides the exit code:

- a pass returns: 0. The run was done before, or another run has the lock: 0, `skipped`.
- SIGTERM, a lost lock, the deadline: 75 and no attempt is recorded, since nothing failed.
- `TemporaryError`: recorded as an attempt and retried after a delay (`retries.py`); the last is a dead letter and 65.
  One with a wait that the server named is not recorded; the deadline bounds the wait.
- the attempt or the dead letter cannot be written: 75 at once, so that the Job's own backoff covers the outage.
- `PermanentError`: 65. `MisconfiguredError`: 78. Anything else is a crash: 1, never retried in the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.context import JobBody, RunContext, RunInterruptedError, check_may_go_on, pause
from catchup_jobs.jobs.run.endings import Ending, Report, budget_spent, crash, ending_of, report_of
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.ports import (
    Closing,
    DeadLetter,
    Fence,
    HeldBy,
    Lock,
    Process,
    Run,
    RunLocks,
    RunRecord,
    RunStore,
)
from catchup_jobs.jobs.run.retries import named_wait, retry_delay
from catchup_jobs.jobs.run.spans import Span, span

_LOCK_POLL_SECONDS: Final = 1.0
"""How often a run that waits for its lock asks for it."""
LEASE_MARGIN: Final = timedelta(seconds=60)
"""How long after its deadline a run that was not closed counts as crashed."""

_log = structlog.get_logger()


def run_job(
    body: JobBody,
    run: Run,
    *,
    store: RunStore,
    locks: RunLocks,
    process: Process,
    deadline_seconds: float,
    waits: bool = True,
    lease_margin: timedelta = LEASE_MARGIN,
) -> Report:
    """Run a job by the contract above.

    Args:
        body: called once per pass: over all pods, once and as often again as the kind has retries, and once more after
            each wait that a server named.
        deadline_seconds: how long this process may take.
        waits: whether it waits before the next pass. Otherwise the run ends for this process, and the report says after
            how many seconds it may be tried again.
        lease_margin: how long after its deadline the run counts as crashed if nobody has closed it or tried it again.

    Every failure of the job is in the report; none is raised.
    """
    started_at = process.now()
    execution = _Execution(
        body=body,
        run=run,
        store=store,
        locks=locks,
        process=process,
        deadline=started_at + timedelta(seconds=deadline_seconds),
        owner=process.process_id,
        waits=waits,
        lease_margin=lease_margin,
    )
    slot = run.slot.isoformat() if run.slot else None
    with (
        span("run", kind=run.kind.name, slot=slot) as traced,
        structlog.contextvars.bound_contextvars(
            run_key=run.key, user=run.subject, kind=run.kind.name, slot=slot, trace_id=traced.trace_id
        ),
    ):
        ending = execution.perform(started_at)
        _describe(traced, ending, execution.attempts)
        report = report_of(ending, run.kind, started_at, process.now(), attempts=execution.attempts)
        _log.info(
            "run ended",
            outcome=ending.outcome.value,
            reason=ending.reason.value if ending.reason else None,
            exit_code=ending.exit_code,
            attempts=execution.attempts,
            **{count.value: number for count, number in ending.counts.items()},
        )
    return report


def _describe(traced: Span, ending: Ending, attempts: int) -> None:
    reason = ending.reason.value if ending.reason else None
    traced.set({"catchup.outcome": ending.outcome.value, "catchup.reason": reason, "catchup.attempts": attempts})
    if ending.exit_code != ExitCode.DONE:
        traced.fail(reason or ending.outcome.value)


@dataclass
class _Execution:
    body: JobBody
    run: Run
    store: RunStore
    locks: RunLocks
    process: Process
    deadline: datetime
    owner: str
    waits: bool
    lease_margin: timedelta
    attempts: int = 0
    passes: int = 0
    is_new: bool = False
    is_open: bool = False
    is_closed: bool = False
    checkpoint: dict[str, Any] = field(default_factory=dict)

    def perform(self, started_at: datetime) -> Ending:
        # A process that does not wait for the lock opens the run under it: a run that could not begin leaves no row.
        return self._guarded(lambda: (self.waits and self._open(started_at)) or self._under_lock(started_at))

    def _open(self, started_at: datetime, *, owner: str | None = None) -> Ending | None:
        record = self.store.open(self.run, now=started_at, lease_until=self.deadline + self.lease_margin, owner=owner)
        self.is_open = True
        return self._go_on(record)

    def _go_on(self, record: RunRecord) -> Ending | None:
        if record.state is RunState.DONE:
            self.is_closed = True
            return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.ALREADY_DONE)
        self.attempts, self.checkpoint, self.is_new = record.attempts, record.checkpoint, record.is_new
        return None

    def _take_over(self, started_at: datetime) -> Ending | None:
        if self.is_open:
            return self._go_on(self.store.take_over(self.run, self.owner))
        return self._open(started_at, owner=self.owner)

    def _guarded(self, step: Callable[[], Ending]) -> Ending:
        # Errors outside of the passes end the process's part in the run: no attempt is recorded, no pass repeated.
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

    def _under_lock(self, started_at: datetime) -> Ending:
        lock: Lock | None = None

        def locked() -> Ending:
            nonlocal lock
            lock = self._wait_for_lock()
            if lock is None:
                return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.LOCKED)
            if (ended := self._take_over(started_at)) is not None:
                return ended
            if not self.is_new:
                self.attempts = max(self.attempts, self.locks.attempts(self.run.key))
            return self._passes(lock)

        try:
            # Closed before the lock is released: a process that waits for the lock then reads how the run ended.
            return self._close(self._guarded(locked))
        finally:
            if lock is not None:
                lock.release()

    def _wait_for_lock(self) -> Lock | None:
        waiting = False
        while True:
            check_may_go_on(self.process, self.deadline)
            answer = self.locks.acquire(self.run.lock_name, self.run.key)
            if not isinstance(answer, HeldBy):
                return answer
            if answer.run_key != self.run.key:
                return None
            if not self.waits:
                raise RunInterruptedError("another process has the lock for this run", reason=Reason.LOCKED)
            if not waiting:
                _log.info("waiting: another process has the lock for this run")
                waiting = True
            pause(self.process, self.deadline, _LOCK_POLL_SECONDS)

    def _passes(self, lock: Lock) -> Ending:
        if self.attempts > self.run.kind.retries:
            # The process that made the last attempt could not write the dead letter.
            return budget_spent(DeadLetter(Reason.UNAVAILABLE, TemporaryError.__name__))
        while True:
            context = RunContext(
                run=self.run,
                attempt=self.attempts + 1,
                deadline=self.deadline,
                fence=Fence(self.run.key, self.owner),
                lock=lock,
                process=self.process,
                checkpoint=self.checkpoint,
            )
            with structlog.contextvars.bound_contextvars(attempt=context.attempt):
                try:
                    context.check_stop()
                    with span("pass", attempt=context.attempt):
                        result = self.body(context)
                except TemporaryError as error:
                    wait = self._after_failure(error)
                    if isinstance(wait, Ending):
                        return wait
                    if not self.waits:
                        return Ending(Outcome.RETRY, ExitCode.TEMPORARY, error.reason, retry_in=wait)
                    pause(self.process, self.deadline, wait)
                else:
                    return Ending(result.outcome, ExitCode.DONE, result.reason, dict(result.counts))

    def _after_failure(self, error: TemporaryError) -> float | Ending:
        # Returns the seconds to wait before the next pass, or the end.
        if error.wait_seconds is not None:
            _log.warning("waiting as asked", why=str(error), seconds=error.wait_seconds)
            return named_wait(error.wait_seconds, self.process.random())
        self.passes += 1
        try:
            recorded = self.locks.record_attempt(self.run.key, f"{self.process.process_id}:{self.passes}")
            # Redis may have lost its keys; the number must not decrease.
            self.attempts = max(recorded, self.attempts + 1)
            self.store.record_attempt(
                Fence(self.run.key, self.owner),
                attempts=self.attempts,
                reason=error.reason,
                checkpoint=self.checkpoint,
            )
        except JobError as unrecorded:
            _log.error("the attempt cannot be recorded, leaving it to the Job's backoff", why=str(unrecorded))
            return Ending(Outcome.RETRY, ExitCode.TEMPORARY, error.reason)
        delay = retry_delay(self.run.kind, self.attempts, self.process.random())
        if delay is None:
            _log.error("attempt failed, the budget is spent", why=str(error))
            return budget_spent(DeadLetter(error.reason, type(error).__name__))
        _log.warning("attempt failed", why=str(error), next_in_seconds=round(delay, 1))
        return delay

    def _lease_of(self, ending: Ending) -> datetime | None:
        if ending.retry_in is None:
            return None
        return self.process.now() + timedelta(seconds=ending.retry_in) + self.lease_margin

    def _close(self, ending: Ending) -> Ending:
        # Not by the reason: a digest whose date an earlier run settled ends as `already_done`, and must be closed.
        if self.is_closed or not self.is_open:
            return ending
        closing = Closing(
            state=RunState(ending.outcome.value),
            reason=ending.reason,
            attempts=self.attempts,
            counts=ending.counts,
            checkpoint=self.checkpoint if ending.outcome is Outcome.RETRY else {},
            dead_letter=ending.dead_letter,
            lease_until=self._lease_of(ending),
        )
        try:
            if not self.store.close(self.run, self.owner, closing, now=self.process.now()):
                _log.warning("another process has taken the run over, its record is left unchanged")
        except JobError as error:
            _log.error("the run's end cannot be recorded", why=str(error))
            if ending.exit_code in {ExitCode.DONE, ExitCode.PERMANENT}:
                unrecorded = TemporaryError(str(error))
                return ending_of(error if isinstance(error, MisconfiguredError) else unrecorded)
        return ending
