"""How runs end: exit codes, outcomes and reasons."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """How a job's process ends (numbers of sysexits.h)."""

    DONE = 0
    PERMANENT = 65
    TEMPORARY = 75
    MISCONFIGURED = 78


class Outcome(StrEnum):
    """What became of a run."""

    DONE = "done"
    SKIPPED = "skipped"
    RETRY = "retry"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a run ended as it did, where `done` alone does not say it."""

    PARTIAL = "partial"
    RECONNECT = "reconnect"
    NOT_CONNECTED = "not_connected"
    NOT_CONFIGURED = "not_configured"
    LOCKED = "locked"
    ALREADY_DONE = "already_done"
    TERMINATED = "terminated"
    DEADLINE = "deadline"
    UNAVAILABLE = "unavailable"
    BUDGET_SPENT = "budget_spent"
    BAD_DATA = "bad_data"
    UNKNOWN_USER = "unknown_user"
    MISCONFIGURED = "misconfigured"
    CRASHED = "crashed"
    CALENDAR_STALE = "calendar_stale"
    PAUSED = "paused"
    EMPTY = "empty"  # no suggestion to send
    LATE = "late"  # more than four hours after the due time
    NOT_DUE = "not_due"  # the slot serves no due date
    NO_CHANNEL = "no_channel"  # the user has no address, or does not want or may not get messages there
    QUIET_HOURS = "quiet_hours"
    UNDELIVERED = "undelivered"  # every message was refused for good
    UNCONFIRMED = "unconfirmed"  # a message may have been sent, and the provider does not list it
