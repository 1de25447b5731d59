"""The errors by which a pass of a job says whether trying again helps; `endings.py` turns them into exit codes."""

from __future__ import annotations

from catchup_contract.outcomes import Reason


class JobError(Exception):
    """A pass failed. The message is for logs: it names no person, address, title or token."""

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class TemporaryError(JobError):
    """Another pass may succeed. Recorded as an attempt, unless the server named the wait (429, 403 quota).

    Attributes:
        wait_seconds: the wait that the server asked for, in seconds, or None.
    """

    def __init__(self, message: str, *, reason: Reason = Reason.UNAVAILABLE, wait_seconds: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.wait_seconds = wait_seconds


class PermanentError(JobError):
    """Another attempt cannot succeed: bad data, an unknown user."""

    def __init__(self, message: str, *, reason: Reason = Reason.BAD_DATA) -> None:
        super().__init__(message, reason=reason)


def unknown_user(user_id: str = "") -> PermanentError:
    """Return the error for a user whom the database does not have; a job's log has the id in another field."""
    who = f"user {user_id}" if user_id else "such user"
    return PermanentError(f"there is no {who}: import with `catchup-jobs user import`", reason=Reason.UNKNOWN_USER)


class MisconfiguredError(JobError):
    """The installation is wrong, not the user's data: missing settings, a wrong key, refused credentials."""

    def __init__(self, message: str, *, reason: Reason = Reason.MISCONFIGURED) -> None:
        super().__init__(message, reason=reason)
