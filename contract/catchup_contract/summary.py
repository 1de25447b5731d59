"""What a job's pod says of its run in its termination message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from catchup_contract.kinds import Kind, kind_named
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_contract.trouble import TroublePage


class Count(StrEnum):
    """Everything a summary may count."""

    CALENDARS = "calendars"
    CALENDARS_FAILED = "calendarsFailed"
    CALENDARS_GONE = "calendarsGone"  # of the selected ones
    CALENDARS_UNREADABLE = "calendarsUnreadable"  # entries of the list
    EVENTS_ADDED = "eventsAdded"
    EVENTS_CHANGED = "eventsChanged"
    EVENTS_REMOVED = "eventsRemoved"
    EVENTS_UNREADABLE = "eventsUnreadable"
    FREE_SLOTS = "freeSlots"
    API_REQUESTS = "apiRequests"
    PAGES = "pages"
    FULL_SYNCS = "fullSyncs"
    INCREMENTAL_SYNCS = "incrementalSyncs"
    USERS = "users"
    USERS_SKIPPED = "usersSkipped"
    USERS_PAUSED = "usersPaused"
    USERS_RECONNECT = "usersReconnect"
    USERS_NOT_CONNECTED = "usersNotConnected"
    USERS_CALENDAR_STALE = "usersCalendarStale"
    USERS_FAILED = "usersFailed"
    USERS_SERVED = "usersServed"  # by a pool's pod, however their runs ended
    USERS_DEFERRED = "usersDeferred"  # runs of a pool's pod that are tried again
    MEMBERS = "members"  # of the whole pool, as the next four
    MEMBERS_SYNCED = "membersSynced"
    MEMBERS_FAILING = "membersFailing"
    MEMBERS_LATE = "membersLate"
    OLDEST_SYNC_SECONDS = "oldestSyncSeconds"
    SUGGESTIONS_CREATED = "suggestionsCreated"
    SUGGESTIONS_MOVED = "suggestionsMoved"
    SUGGESTIONS_EXPIRED = "suggestionsExpired"
    DIGEST_ITEMS = "digestItems"
    SMS_SENT = "smsSent"
    EMAILS_SENT = "emailsSent"
    DELIVERIES_FAILED = "deliveriesFailed"
    DELIVERIES_UNKNOWN = "deliveriesUnknown"


# What a sync may leave out, and what follows from it: such a run is `Partial`.
LEFT_OUT: Final = {
    Count.CALENDARS_FAILED: "calendars not read: {} (they keep their last events and block as before)",
    Count.CALENDARS_GONE: "calendars gone: {} (they were deselected and block no more)",
    Count.CALENDARS_UNREADABLE: "entries of the calendar list not read: {} (new calendars among them are not known)",
    Count.EVENTS_UNREADABLE: "events not read: {} (they do not block, unless they did before)",
}

SUMMARY_MAX_BYTES: Final = 4096
"""The longest termination message that is read."""
_COUNT_MAX: Final = 10**9
_COUNTS: Final = frozenset(Count)


class InvalidSummaryError(ValueError):
    """A termination message is not a summary; its text never holds any of the message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a job's pod says of its run: enums, counts and times only, never personal data.

    Written as JSON to the container's termination message (at most `SUMMARY_MAX_BYTES`, the limit of the kubelet) and
    read by the operator, which trusts no pod.

    Attributes:
        trouble: of a pool's pod, a page of the members who are in trouble; they are named by hashes.
    """

    kind: Kind
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    attempts: int = 0
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)
    trouble: TroublePage | None = None

    def to_json(self) -> str:
        """Return the JSON text, e.g. `{"job":"sync","outcome":"done",...}`."""
        document: dict[str, object] = {
            "job": self.kind.name,
            "outcome": self.outcome,
            "startedAt": format_utc(self.started_at),
            "finishedAt": format_utc(self.finished_at),
            "attempts": self.attempts,
            "counts": dict(self.counts),
        }
        if self.reason is not None:
            document["reason"] = self.reason
        if self.trouble is not None:
            document["trouble"] = self.trouble.to_document()
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Summary:
        """Read what `to_json` wrote; counts that only a newer version has are left out.

        Raises:
            InvalidSummaryError: for anything else, however it is malformed.
        """
        if len(text.encode(errors="replace")) > SUMMARY_MAX_BYTES:
            raise InvalidSummaryError(f"longer than {SUMMARY_MAX_BYTES} bytes")
        try:
            document = json.loads(text)
            return cls(
                kind=kind_named(document["job"]),
                outcome=Outcome(document["outcome"]),
                started_at=parse_utc(document["startedAt"]),
                finished_at=parse_utc(document["finishedAt"]),
                attempts=_count(document["attempts"]),
                reason=Reason(document["reason"]) if "reason" in document else None,
                counts={Count(name): _count(value) for name, value in document["counts"].items() if name in _COUNTS},
                trouble=TroublePage.from_document(document["trouble"]) if "trouble" in document else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidSummaryError(f"not a run summary ({type(error).__name__})") from None


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _COUNT_MAX:
        raise ValueError("not a count")
    return value
