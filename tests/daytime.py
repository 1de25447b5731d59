"""A zone in which it is day now: an SMS that is asked for by hand does not go out at night."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

# At every hour it is between 9 and 20 in one of them.
ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Honolulu", "Pacific/Auckland", "Asia/Tokyo", "Asia/Kolkata")
_FROM, _UNTIL = 9, 20


def daytime_zone(now: datetime | None = None) -> str:
    """Return the first of the zones in which it is neither night now nor within the next hour."""
    at = now or datetime.now(UTC)
    return next(zone for zone in ZONES if _FROM <= at.astimezone(ZoneInfo(zone)).hour < _UNTIL)
