"""Instants as the Kubernetes API writes them: RFC 3339, UTC, to the second."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_FORM: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def format_utc(instant: datetime) -> str:
    """Return an aware datetime in RFC 3339 UTC to the second, e.g. `2026-11-23T08:30:00Z`."""
    # `strftime` does not pad years before 1000.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Read an instant in any form of RFC 3339, e.g. `2026-11-23T09:30:00+01:00`; return it in UTC, to the second.

    Raises:
        ValueError: it is no such instant.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"not a time in RFC 3339: {text!r}")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise ValueError(f"not a time in RFC 3339: {text!r}") from None


def parse_utc(text: str) -> datetime:
    """Read what `format_utc` wrote. Raises ValueError or TypeError for anything else."""
    # `fromisoformat` also reads other forms of ISO 8601; `strptime` is ten times as slow.
    if not _FORM.fullmatch(text):
        raise ValueError(f"not a time in RFC 3339 UTC to the second: {text!r}")
    return datetime.fromisoformat(text)
