"""What the values of a user's schedule may be, wherever somebody writes them: an import, a variable of a pod."""

from __future__ import annotations

from collections.abc import Collection

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.local_time import is_time_zone


def time_zone(value: str) -> str:
    """Return the name of a time zone. Raises ValueError for one that is unknown, without the value."""
    if not is_time_zone(value):
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return value


def sync_interval(value: str) -> str:
    """Return an interval of the calendar sync. Raises ValueError for another one, without the value."""
    return one_of(value, SYNC_INTERVALS_MINUTES)


def one_of(value: str, allowed: Collection[str]) -> str:
    """Return a value that is allowed. Raises ValueError for another one, without the value."""
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return value
