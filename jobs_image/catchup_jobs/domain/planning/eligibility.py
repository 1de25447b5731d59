"""Who may get new suggestions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchup_contract.outcomes import Reason
from catchup_jobs.domain.stored_enums import TokenState

if TYPE_CHECKING:
    from datetime import datetime


def reason_to_skip(*, paused: bool, token: TokenState | None, known_until: datetime | None) -> Reason | None:
    """Return why a user gets no new suggestions, None for a user who may.

    Args:
        token: state of the calendar's OAuth token, None for a user who never connected a calendar.
        known_until: see `freshness.known_until`.
    """
    if paused:
        return Reason.PAUSED
    if token is None:
        return Reason.NOT_CONNECTED
    if token is not TokenState.ACTIVE:
        return Reason.RECONNECT
    return Reason.CALENDAR_STALE if known_until is None else None
