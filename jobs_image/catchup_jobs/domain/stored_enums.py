"""Enums whose values are stored as text; a new value needs a migration of the column's CHECK."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Weekday(StrEnum):
    """A day of the week by its name in RFC 5545, Monday first."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


class Provider(StrEnum):
    """Who issued an OAuth token."""

    GOOGLE = "google"


class TokenState(StrEnum):
    """Whether an OAuth token can be used, or the user must connect the calendar again."""

    ACTIVE = "active"
    RECONNECT = "reconnect"


class EventStatus(StrEnum):
    """The status of a stored calendar event (a cancelled one is deleted, not stored)."""

    CONFIRMED = "confirmed"
    TENTATIVE = "tentative"


class CalendarError(StrEnum):
    """Why a calendar's last sync failed, in the user's terms."""

    UNAVAILABLE = "unavailable"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    BAD_DATA = "bad_data"


class RunState(StrEnum):
    """The state of a run: `open` and `retry` are unfinished, the others final."""

    OPEN = "open"
    RETRY = "retry"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


UNFINISHED_RUNS: Final = (RunState.OPEN, RunState.RETRY)


class Frequency(StrEnum):
    """How often a user wants to see a contact; a contact without one counts as `monthly`."""

    DAILY = "daily"
    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"
    FLEXIBLE = "flexible"
    NA = "na"


class Trigger(StrEnum):
    """What a suggestion is based on: time without contact, or an event that both like."""

    TIME_BOUND = "time_bound"
    SHARED_ACTIVITY = "shared_activity"


class SuggestionStatus(StrEnum):
    """The status of a suggestion: `pending` and `snoozed` are open; the user answered the others, except `expired`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DISMISSED = "dismissed"
    SNOOZED = "snoozed"
    EXPIRED = "expired"


# Suggestions that may still change by themselves.
OPEN_SUGGESTIONS: Final = (SuggestionStatus.PENDING, SuggestionStatus.SNOOZED)
# Suggestions that matter to their user now.
CURRENT_SUGGESTIONS: Final = (*OPEN_SUGGESTIONS, SuggestionStatus.ACCEPTED)


class Mode(StrEnum):
    """How the two would meet."""

    IN_PERSON = "in_person"
    CALL = "call"
    EITHER = "either"


class ExpiryReason(StrEnum):
    """Why a suggestion expired.

    `passed`: its time came without an answer. `clash`: the user is no longer free then. `event_gone` and
    `event_moved`: so is the event that it was about. `met`: the two were in contact meanwhile. `contact_excluded`:
    the contact was excluded or archived.
    """

    PASSED = "passed"
    CLASH = "clash"
    EVENT_GONE = "event_gone"
    EVENT_MOVED = "event_moved"
    MET = "met"
    CONTACT_EXCLUDED = "contact_excluded"


class ChannelMode(StrEnum):
    """When a user wants a channel to be used. `fallback`: only where the channel that it replaces will not send."""

    OFF = "off"
    FALLBACK = "fallback"
    ON = "on"


class DeliveryStatus(StrEnum):
    """The status of one channel's part of one digest.

    `sending`: a process is asking the provider, or died while it did. `unknown`: the message may have been sent.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class SkipReason(StrEnum):
    """Why a digest, or one channel of it, was not sent."""

    EMPTY = "empty"
    LATE = "late"
    PAUSED = "paused"
    OFF = "off"
    NO_ADDRESS = "no_address"
    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    NOT_CONFIGURED = "not_configured"
    QUIET_HOURS = "quiet_hours"
    NOT_NEEDED = "not_needed"
