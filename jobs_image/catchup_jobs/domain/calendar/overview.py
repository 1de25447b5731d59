"""A calendar as commands show it: how its last sync ended, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catchup_contract.cadence import FRESH
from catchup_jobs.domain.stored_enums import CalendarError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class CalendarOverview:
    """One calendar of a user's list.

    Attributes:
        selected: whether the user's choice is that it blocks.
        last_success_at: when its last sync succeeded (UTC), None if none did.
        last_error: why its last sync failed, None if it succeeded.
        unreadable_events: how many of its events could not be read since its last full sync.
    """

    google_id: str = field(repr=False)
    summary: str = field(repr=False)
    primary: bool
    access_role: str
    selected: bool
    last_success_at: datetime | None
    last_error: CalendarError | None
    unreadable_events: int

    @property
    def state(self) -> str:
        """One word for a table."""
        if self.last_error is CalendarError.NOT_FOUND or (self.selected and self.last_error is not None):
            return self.last_error.value
        if not self.selected:
            return "-"
        return "synced" if self.last_success_at else "not synced"


def problems(calendar: CalendarOverview, now: datetime) -> Iterator[str]:
    """Yield what is wrong with a calendar, with the consequence, one clause each.

    Args:
        now: the present (aware).
    """
    error, synced = calendar.last_error, calendar.last_success_at
    if error is CalendarError.NOT_FOUND and not calendar.selected:
        yield "gone, or no longer shared with the user: deselected, it does not block"
        return
    if not calendar.selected:
        return
    if error is not None:
        since = f", last synced {synced:%Y-%m-%d %H:%M} UTC" if synced else ""
        yield f"cannot be read ({error.value}{since}): {_consequence(calendar, now)}"
    if calendar.unreadable_events:
        yield f"{calendar.unreadable_events} of its events cannot be read and do not block"


def _consequence(calendar: CalendarOverview, now: datetime) -> str:
    synced = calendar.last_success_at
    if not calendar.primary:
        if synced is None and calendar.last_error is CalendarError.UNAVAILABLE:
            return "no new suggestions until it was read once"
        return "it keeps its last events and blocks as before" if synced else "it does not block"
    if synced is not None and synced >= now - FRESH:
        return f"no new suggestions from {synced + FRESH:%Y-%m-%d %H:%M} UTC on"
    return "no new suggestions until it can be read"
