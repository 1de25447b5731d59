"""The header `Retry-After` of an HTTP response: how long the server asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# No deadline is a day away.
_MOST_SECONDS: Final = 86400
"""The longest wait that a provider may ask for; a run waits up to `_NAMED_WAIT_SPREAD_SECONDS` longer."""
_DIGITS: Final = 9


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """Return the wait that `Retry-After` asks for (RFC 9110, section 10.2.3), in seconds, a day at most.

    A run adds a random part to spread pods out (`named_wait` in `jobs/run/retries.py`).

    Args:
        value: of the header, None where the response has none.
        now: the present (aware), for a wait given as a date.

    Returns:
        None without the header, and where it holds neither seconds nor a date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Digits are limited, since a very long number would become infinite.
        return float(min(int(text[:_DIGITS]), _MOST_SECONDS))
    try:
        until = parsedate_to_datetime(text)
        # Without an offset in the asctime form; an HTTP date is UTC in each of its three forms (section 5.6.7).
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, wait.total_seconds()), float(_MOST_SECONDS))
