"""The ports of the calendar sync: Google, and the stores of calendars, tokens and free slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.access_token import OAuthToken
    from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval
    from catchup_jobs.domain.calendar.events import Received
    from catchup_jobs.domain.calendar.freshness import SyncedCalendar
    from catchup_jobs.domain.calendar.sync_window import FullSync, IncrementalSync, SyncState
    from catchup_jobs.domain.stored_enums import CalendarError, TokenState
    from catchup_jobs.jobs.run.ports import Fence


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
    """One page of events. `next_sync_token` comes on the last page only, `next_page` on all others."""

    events: tuple[Received, ...]
    next_sync_token: str | None
    next_page: str | None = None


class CalendarFailedError(Exception):
    """One calendar cannot be read; the others may. The message names no calendar."""

    def __init__(self, message: str, *, reason: CalendarError) -> None:
        super().__init__(message)
        self.reason = reason


class SyncTokenExpiredError(Exception):
    """Google requires a full sync of the calendar (410 `fullSyncRequired`)."""


class DailyLimitError(Exception):
    """Google's limit of requests a day, or our budget below it, is reached: the next slot tries again. No failure."""


class AccessTokens(Protocol):
    """Where requests get their access token. Both methods may raise what `TokenRefresher.refresh` does."""

    def current(self) -> str:
        """Return an access token that is valid for some minutes."""
        ...

    def renewed(self, rejected: str) -> str:
        """Return an access token other than the one that Google has just rejected."""
        ...


class CalendarSource(Protocol):
    """One user's calendars at Google.

    Attributes:
        requests: how many requests were made so far.
        pages: how many pages came so far.
        params_hash: hash of the request parameters; a sync token is valid only with those that it was issued for.
    """

    requests: int
    pages: int
    params_hash: str

    def calendars(self) -> Iterator[list[ListedCalendar | None]]:
        """Yield the pages of the calendar list, with None for an entry that cannot be read."""
        ...

    def events(
        self, calendar_id: str, how: FullSync | IncrementalSync, *, first_page: str | None = None
    ) -> Iterator[SyncedEvents]:
        """Yield the pages of a calendar's events, from the one that `SyncedEvents.next_page` named on."""
        ...


class RequestQuota(Protocol):
    """Google's quota, shared by all processes. Raises JobError."""

    def reserve(self) -> float:
        """Reserve one request; return how long to wait before it may be made, in seconds.

        Raises:
            DailyLimitError: the day's budget has no place for it.
        """
        ...


class TokenRefresher(Protocol):
    """The OAuth server."""

    def refresh(self, token: OAuthToken) -> OAuthToken:
        """Return a token with a new access token. Raises ReconnectNeededError, DailyLimitError or a JobError."""
        ...


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A stored token.

    Attributes:
        version: what a change is compared with.
        listed_at: when the calendar list was read (UTC), None where it was not since the user connected.
    """

    token: OAuthToken
    state: TokenState
    version: int
    listed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user; `token` is None for one who never connected a calendar."""

    zone: ZoneInfo
    token: StoredToken | None


class TokenStore(Protocol):
    """The users' tokens, encrypted. Methods raise JobError."""

    def user(self, user_id: str) -> StoredUser | None:
        """Return a user with the token, None for an unknown user."""
        ...

    def load(self, user_id: str) -> StoredToken | None:
        """Return the user's token, or None for a user who never connected a calendar."""
        ...

    def replace(self, user_id: str, token: OAuthToken, *, version: int, now: datetime) -> bool:
        """Store a refreshed token if nothing was stored since `version` was read; return whether it was stored."""
        ...

    def mark_reconnect(self, user_id: str, *, version: int, now: datetime) -> bool:
        """Store that the user must connect again, if the token was not changed since `version` was read."""
        ...

    def mark_listed(self, user_id: str, *, version: int, now: datetime) -> None:
        """Store that the calendar list was read, if the token was not changed since `version` was read."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCalendar:
    """A calendar that the user selected and still has; `error` says why it could not be read the last time."""

    id: int
    google_id: str = field(repr=False)
    primary: bool
    state: SyncState
    error: CalendarError | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """How many events one transaction of a sync changed, and how many suggestions that clashed with them.

    Attributes:
        calendars_gone: selected calendars that the user does not have any more.
    """

    events_added: int = 0
    events_changed: int = 0
    events_removed: int = 0
    suggestions_moved: int = 0
    suggestions_expired: int = 0
    calendars_gone: int = 0


class CalendarStore(Protocol):
    """Calendars and events of users. Each method that writes is one transaction, refused to a stale process."""

    def update_list(
        self, user_id: str, listed: Sequence[ListedCalendar], *, complete: bool, now: datetime, fence: Fence
    ) -> tuple[Stored, list[StoredCalendar]]:
        """Make the stored list equal Google's; of a complete list, calendars that are missing are gone.

        Returns:
            What changed, and what `selected` returns then.
        """
        ...

    def selected(self, user_id: str) -> list[StoredCalendar]:
        """Return the calendars to sync, in a stable order."""
        ...

    def apply(
        self,
        calendar_id: int,
        received: Sequence[Received],
        how: FullSync | IncrementalSync,
        zone: ZoneInfo,
        state: SyncState,
        *,
        now: datetime,
        fence: Fence,
    ) -> Stored:
        """Reconcile a calendar's events, repair suggestions, and store the new sync state: all or nothing."""
        ...

    def deselect_lost(self, user_id: str, calendar_id: int, *, now: datetime, fence: Fence) -> Stored:
        """Deselect a calendar to which the user has lost access; its events are deleted."""
        ...

    def record_failure(self, calendar_id: int, reason: CalendarError, *, fence: Fence) -> None:
        """Store why a calendar could not be read; its events and its sync token stay."""
        ...


@dataclass(frozen=True, slots=True)
class AvailabilityInputs:
    """What free slots are computed from, apart from events, and the last computation.

    Attributes:
        calendars: the selected ones, by id.
        computed_at: None when there is nothing computed, or events changed since.
        fingerprint: of the inputs of the last computation.
        slots: how many free slots the last computation found.
    """

    zone: ZoneInfo
    parameters: AvailabilityParameters
    calendars: tuple[SyncedCalendar, ...]
    computed_at: datetime | None
    fingerprint: str | None
    slots: int


class AvailabilityStore(Protocol):
    """Free slots of users, and what they are computed from. Methods raise JobError."""

    def inputs(self, user_id: str) -> AvailabilityInputs | None:
        """Return a user's inputs, None for an unknown user."""
        ...

    def busy(self, user_id: str, zone: ZoneInfo, *, start: datetime, end: datetime) -> list[Interval]:
        """Return the busy time of the user's selected calendars that touches the stretch from start to end."""
        ...

    def replace_slots(
        self,
        user_id: str,
        slots: Sequence[Interval],
        *,
        fingerprint: str,
        horizon_end: datetime | None,
        now: datetime,
        fence: Fence,
    ) -> None:
        """Replace the stored slots; rows that stay the same are not written."""
        ...
