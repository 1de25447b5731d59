"""How far a user's calendars are known, and for how long after a sync they count as known.

One calendar that Google does not let us read must not end all suggestions: it keeps its last events, which block as
before, and the others decide how far the user's time is known. The primary calendar is always required.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchup_contract.cadence import FRESH
from catchup_jobs.domain.stored_enums import CalendarError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class SyncedCalendar:
    """How far one selected calendar is synced; instants are UTC.

    Attributes:
        primary: whether it is the user's own calendar.
        last_error: why the last sync of it failed, None if it succeeded.
        last_full_sync_at: None while the calendar was never read whole.
        last_success_at: when the last sync of the calendar succeeded.
        horizon_end: events that start later are not stored.
    """

    id: int
    primary: bool
    last_error: CalendarError | None
    last_full_sync_at: datetime | None
    last_success_at: datetime | None
    horizon_end: datetime | None

    @property
    def read_until(self) -> datetime | None:
        """How far the calendar was read, None while it was never read whole: it may hold anything."""
        return self.horizon_end if self.last_full_sync_at is not None else None

    @property
    def is_required(self) -> bool:
        """Whether nothing is planned while the calendar is not known.

        A new calendar that is only unavailable is required: it will soon be read.
        """
        if self.primary or self.last_error is None:
            return True
        return self.last_error is CalendarError.UNAVAILABLE and self.last_full_sync_at is None

    def is_fresh(self, now: datetime) -> bool:
        """Return whether the last successful sync is at most `FRESH` ago."""
        return self.last_success_at is not None and self.last_success_at >= now - FRESH


def read_until(calendars: Iterable[SyncedCalendar]) -> datetime | None:
    """Return how far every required calendar was read; None without any, or if one was never read whole."""
    horizons = [calendar.read_until for calendar in calendars if calendar.is_required]
    read = [horizon for horizon in horizons if horizon is not None]
    return min(read, default=None) if len(read) == len(horizons) else None


def known_until(calendars: Iterable[SyncedCalendar], now: datetime) -> datetime | None:
    """Return the same as `read_until`, but None if any required calendar is not fresh."""
    required = [calendar for calendar in calendars if calendar.is_required]
    return read_until(required) if all(calendar.is_fresh(now) for calendar in required) else None
