"""When a user's calendar list is read again: once a day, since it seldom changes and each read is a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchup_contract.cadence import CALENDAR_LIST_MINUTES, Cadence

if TYPE_CHECKING:
    from datetime import datetime


def is_list_due(user_id: str, listed_at: datetime | None, *, now: datetime) -> bool:
    """Return whether the first sync of the user's day is now: a UTC day that begins at a minute of the user's own.

    Args:
        user_id: decides that minute, so that a fleet which was connected at once does not read its lists at once.
        listed_at: when the list was read (aware), None where it was not since the user connected the calendar.
        now: the present (aware).
    """
    return listed_at is None or listed_at < Cadence.of_user("calendar-list", CALENDAR_LIST_MINUTES, user_id).latest(now)
