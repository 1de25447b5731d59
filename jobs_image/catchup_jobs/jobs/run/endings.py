"""How a run ends: which error gives which outcome, exit code and dead letter, and the report of it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError
from catchup_jobs.jobs.run.ports import DeadLetter

EXIT_CRASHED: Final = 1

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process's part in a run ended.

    Attributes:
        dead_letter: the dead letter to write, None where the run is tried again or did not fail.
        retry_in: the seconds after which the run may be tried again, None where the caller decides.
    """

    outcome: Outcome
    exit_code: int
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)
    dead_letter: DeadLetter | None = None
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What `execution.run_job` returns: the process's exit code and the summary for the termination message.

    Attributes:
        retry_in: see `Ending`.
    """

    exit_code: int
    summary: Summary
    retry_in: float | None = None


def report_of(ending: Ending, kind: Kind, started_at: datetime, finished_at: datetime, *, attempts: int = 0) -> Report:
    """Return the report of an ending; both instants are aware."""
    summary = Summary(
        kind=kind,
        outcome=ending.outcome,
        started_at=started_at,
        finished_at=finished_at,
        attempts=attempts,
        reason=ending.reason,
        counts=ending.counts,
    )
    return Report(int(ending.exit_code), summary, ending.retry_in)


def ending_of(error: JobError) -> Ending:
    """Return how a run ends on an error after which no further pass is made."""
    if isinstance(error, MisconfiguredError):
        return Ending(Outcome.FAILED, ExitCode.MISCONFIGURED, error.reason)
    if isinstance(error, PermanentError):
        return Ending(Outcome.FAILED, ExitCode.PERMANENT, error.reason, dead_letter=_dead_letter_of(error))
    return Ending(Outcome.RETRY, ExitCode.TEMPORARY, error.reason)


def crash(error: Exception) -> Ending:
    """Log an unexpected error and return how it ends the run.

    The log has the error's class and the places in the code. It leaves the message out, which may quote personal data.
    """
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("crashed", error_class=type(error).__qualname__, frames=places)
    return Ending(Outcome.RETRY, EXIT_CRASHED, Reason.CRASHED)


def budget_spent(dead_letter: DeadLetter) -> Ending:
    """Return how a run ends that has failed as often as its kind allows."""
    return Ending(Outcome.FAILED, ExitCode.PERMANENT, Reason.BUDGET_SPENT, dead_letter=dead_letter)


def _dead_letter_of(error: JobError) -> DeadLetter | None:
    # A replay could not help an unknown user. The next slot finds the user, or the UserSchedule goes.
    if error.reason is Reason.UNKNOWN_USER:
        return None
    return DeadLetter(error.reason, type(error).__name__)
