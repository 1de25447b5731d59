"""How a pass over a job's work can end: what jobs raise or return and the run harness turns into an exit code."""

from __future__ import annotations

from dataclasses import dataclass, field

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count


@dataclass(frozen=True, slots=True)
class Result:
    """A pass that ended: `done` (perhaps with a reason such as `partial`) or `skipped` with its reason."""

    outcome: Outcome = Outcome.DONE
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)


class JobError(Exception):
    """A pass that could not end well. The message is for logs: it names no person, address, title or token."""

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class TemporaryError(JobError):
    """Worth another pass. Booked as an attempt, unless the server named the wait itself (429, 403 quota).

    Attributes:
        wait_seconds: the wait that the server asked for, in seconds, or None.
    """

    def __init__(self, message: str, *, reason: Reason = Reason.UNAVAILABLE, wait_seconds: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.wait_seconds = wait_seconds


class PermanentError(JobError):
    """Trying this run again cannot help: bad data, an unknown user."""

    def __init__(self, message: str, *, reason: Reason = Reason.BAD_DATA) -> None:
        super().__init__(message, reason=reason)


class MisconfiguredError(JobError):
    """The installation is wrong, not the user's data: missing settings, a wrong key, refused credentials."""

    def __init__(self, message: str, *, reason: Reason = Reason.MISCONFIGURED) -> None:
        super().__init__(message, reason=reason)
