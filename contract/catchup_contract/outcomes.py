"""How runs end: exit codes, outcomes, reasons, and what to do about each reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Final

from catchup_contract.cadence import FRESH
from catchup_contract.digest_rule import LATEST


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
    CALENDAR_UNREADABLE = "calendar_unreadable"  # the primary one
    DAILY_LIMIT = "daily_limit"
    PAUSED = "paused"
    EMPTY = "empty"  # no suggestion to send
    LATE = "late"  # more than `digest_rule.LATEST` after the due time
    NOT_DUE = "not_due"  # the slot serves no due date
    NO_CHANNEL = "no_channel"  # the user has no address, or does not want or may not get messages there
    QUIET_HOURS = "quiet_hours"
    UNDELIVERED = "undelivered"  # every message was refused for good
    SWITCHED_OFF = "switched_off"  # a tick of a pool by hand
    UNCONFIRMED = "unconfirmed"  # a message may have been sent, and the provider does not list it

    @property
    def camel_case(self) -> str:
        """The reason as Kubernetes conditions write reasons, e.g. `BudgetSpent`."""
        return "".join(word.capitalize() for word in self.value.split("_"))


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means and what to do about it, in one sentence without a full stop.

    Attributes:
        act: whether somebody must act even where the run did not fail.
    """

    text: str
    act: bool = False


_HOUR: Final = timedelta(hours=1)
# Conditions, Job messages, `failures show` and the docs print these, by `advice_of`.
ADVICE: Final = {
    Reason.PARTIAL: Advice("the last run left something out; see the pod's log if it stays so"),
    Reason.RECONNECT: Advice(
        "Google says that the consent is gone, or that a policy of the user's organisation forbids the access; the user"
        " must connect the calendar again, and where it is a policy, the organisation's administrator must allow it",
        act=True,
    ),
    Reason.NOT_CONNECTED: Advice("the user has no calendar connected; run `catchup-jobs calendar connect`", act=True),
    Reason.NOT_CONFIGURED: Advice(
        "the installation is not configured for this; see google, twilio and smtp in the chart's values", act=True
    ),
    Reason.LOCKED: Advice("another run of this user was at work"),
    Reason.ALREADY_DONE: Advice("it was done before"),
    Reason.TERMINATED: Advice("the pod was ended and no other took over in time; run it again"),
    Reason.DEADLINE: Advice("the work did not fit into the Job's deadline; see the pod's log for what was slow"),
    Reason.UNAVAILABLE: Advice(
        "a service that the job needs could not be reached; see the pod's log for which, and run it again when it is"
        " back"
    ),
    Reason.BUDGET_SPENT: Advice(
        "all attempts failed for a temporary cause; a dead letter is kept: see `catchup-jobs failures list`"
    ),
    Reason.BAD_DATA: Advice(
        "the job refused the data it was given; the pod's log names what, and another run meets the same data"
    ),
    Reason.UNKNOWN_USER: Advice("the database has no such user; import the user, or delete this UserSchedule"),
    Reason.MISCONFIGURED: Advice(
        "the installation's settings or credentials are wrong; see the pod's log, then the chart's values"
    ),
    Reason.CRASHED: Advice("the process died or met an unexpected error; the pod's log has the places in the code"),
    Reason.CALENDAR_STALE: Advice(
        f"the calendar was not synced within {FRESH // _HOUR} hours; see why the syncs fail", act=True
    ),
    Reason.CALENDAR_UNREADABLE: Advice(
        f"the user's primary calendar cannot be read; it keeps its last events, and from {FRESH // _HOUR} hours after"
        " its last sync on there are no new suggestions; `catchup-jobs user show` says why",
        act=True,
    ),
    Reason.DAILY_LIMIT: Advice(
        "the limit of requests to Google a day is reached (Google's, or google.dayQuota), and the next slot tries"
        " again; ask Google for more quota, or sync less often",
        act=True,
    ),
    Reason.PAUSED: Advice("the user has paused digests"),
    Reason.EMPTY: Advice("there was no suggestion to send"),
    Reason.LATE: Advice(
        f"the digest could not be sent within {LATEST // _HOUR} hours of its due time; see why no pod ran", act=True
    ),
    Reason.NOT_DUE: Advice("no digest was due at this firing"),
    Reason.NO_CHANNEL: Advice("the user has no address that digests may go to; see `catchup-jobs user show`", act=True),
    Reason.QUIET_HOURS: Advice("it was night where the user is, and there is no email"),
    Reason.UNDELIVERED: Advice(
        "every message was refused for good; see the user's addresses with `catchup-jobs user show`", act=True
    ),
    Reason.SWITCHED_OFF: Advice(
        "the SchedulePool is suspended, has this kind of job disabled, or is younger than another one of its name, so"
        " that a tick by hand serves nobody; see `kubectl get schedulepools -A`"
    ),
    Reason.UNCONFIRMED: Advice(
        "a message may have been sent and the provider does not list it; it is not sent again", act=True
    ),
}

# A run that found its work done, or nothing due, says nothing of its user.
NO_NEWS: Final = frozenset({Reason.NOT_DUE, Reason.ALREADY_DONE})
"""Reasons of runs that leave what is known of their user as it is."""
ASKS_SOMEBODY: Final = frozenset(reason for reason, advice in ADVICE.items() if advice.act)
"""Reasons for which somebody must act, also where the run did not fail."""


def advice_of(reason: str) -> str:
    """Return what a reason means and what to do, also for one that only newer code knows."""
    known = ADVICE.get(Reason(reason)) if reason in list(Reason) else None
    return known.text if known else "a newer version wrote this reason; its documentation says what it means"
