"""What a job gets for one pass, what it returns, and how it learns that it must stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.jobs.run.ports import Fence, Lock, Process, Run

DEADLINE_MARGIN: Final = timedelta(seconds=10)
"""The time that is kept for closing a run: no side effect begins this close to its deadline."""
REQUEST_MARGIN: Final = timedelta(seconds=5)
"""How long before the deadline a request that is under way is given up."""


@dataclass(frozen=True, slots=True)
class Result:
    """A pass that ended: `done` (perhaps with a reason such as `partial`) or `skipped` with its reason."""

    outcome: Outcome = Outcome.DONE
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)


class RunInterruptedError(Exception):
    """This process must stop at the next safe point; another one may go on. No attempt is recorded: nothing failed.

    Not a `JobError`, so that a job which catches the failure of one item does not catch this.
    """

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RunContext:
    """One pass of a run.

    Attributes:
        subject: the user's id, or the shard.
        slot: the slot that the run serves (UTC), None for a manual run.
        attempt: number of this pass, 1 for the first; passes that ended with a named wait are not counted.
        deadline: when the process must have ended (UTC).
        fence: for `adapters.database.runs.store.check_fence` in each write transaction, so that a process that lost
            its lock without noticing cannot overwrite its successor's data.
        checkpoint: what earlier passes of the run stored, JSON values; kept when a pass does not finish. A job that
            must not repeat its steps after a kill stores it with them (`adapters.database.runs.store.keep_checkpoint`).
    """

    run: Run
    attempt: int
    deadline: datetime
    fence: Fence
    lock: Lock
    process: Process
    checkpoint: dict[str, Any] = field(default_factory=dict)

    @property
    def is_last_attempt(self) -> bool:
        """Whether the run is given up if this pass fails temporarily."""
        return self.attempt > self.run.kind.retries

    @property
    def subject(self) -> str:
        """The user's id, or the shard."""
        return self.run.subject

    @property
    def slot(self) -> datetime | None:
        """The slot that the run serves (UTC), None for a manual run."""
        return self.run.slot

    @property
    def run_key(self) -> str:
        """The key under which the run is stored."""
        return self.run.key

    def now(self) -> datetime:
        """Return the current time, aware UTC."""
        return self.process.now()

    def seconds_left(self) -> float:
        """Return how long a request that begins now may last."""
        return (self.deadline - REQUEST_MARGIN - self.now()).total_seconds()

    def has_time_for(self, seconds: float) -> bool:
        """Return whether a wait of so many seconds ends before the deadline."""
        return _ends_in_time(self.process, self.deadline, seconds)

    def check_stop(self) -> None:
        """Return if the job may go on; call it before every side effect.

        Raises:
            RunInterruptedError: SIGTERM came, the lock is lost, or the deadline is near.
        """
        check_may_go_on(self.process, self.deadline)
        if not self.lock.is_held():
            raise RunInterruptedError("the lock was lost", reason=Reason.UNAVAILABLE)


JobBody = Callable[[RunContext], Result]
"""A job: called once per pass, over what is unfinished; returns a Result or raises a JobError."""


def check_may_go_on(process: Process, deadline: datetime) -> None:
    """Return if there is time left.

    Raises:
        RunInterruptedError: SIGTERM came or the deadline is near.
    """
    if process.stopping():
        raise RunInterruptedError("termination was requested", reason=Reason.TERMINATED)
    if process.now() >= deadline - DEADLINE_MARGIN:
        raise RunInterruptedError("the deadline is near", reason=Reason.DEADLINE)


def pause(process: Process, deadline: datetime, seconds: float) -> None:
    """Sleep, unless that would pass the deadline.

    Raises:
        RunInterruptedError: SIGTERM came, or the deadline is nearer than the end of the pause.
    """
    if not _ends_in_time(process, deadline, seconds):
        raise RunInterruptedError("the wait would pass the deadline", reason=Reason.DEADLINE)
    process.sleep(seconds)
    check_may_go_on(process, deadline)


def _ends_in_time(process: Process, deadline: datetime, seconds: float) -> bool:
    return process.now() + timedelta(seconds=seconds) < deadline - DEADLINE_MARGIN
