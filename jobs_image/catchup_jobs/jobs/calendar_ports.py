"""What the calendar sync needs of the world: Google, the store of calendars, the store of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from catchup_jobs.domain.events import CalendarEvent, Tombstone
    from catchup_jobs.domain.vocabulary import CalendarError


@dataclass(frozen=True, slots=True)
class ListedCalendar:
    """An entry of the user's calendar list at Google."""

    google_id: str
    summary: str
    primary: bool
    access_role: str
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class SyncedEvents:
    """One page of events. `next_sync_token` comes on the last page only."""

    events: tuple[CalendarEvent | Tombstone, ...]
    next_sync_token: str | None


class CalendarFailedError(Exception):
    """One calendar cannot be read; the others may. The message names no calendar."""

    def __init__(self, message: str, *, reason: CalendarError) -> None:
        super().__init__(message)
        self.reason = reason


class SyncTokenExpiredError(Exception):
    """Google wants the calendar to be read whole (410 `fullSyncRequired`)."""


class AccessTokens(Protocol):
    """Where requests get their access token. Both may raise ReconnectNeededError or a JobError."""

    def current(self) -> str:
        """Return an access token that is good for some minutes."""

    def renewed(self, rejected: str) -> str:
        """Return another access token than the one that Google has just rejected."""
