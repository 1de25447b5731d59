"""Instants as the Kubernetes API writes them: RFC 3339, UTC, to the second."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_FORM: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def format_utc(instant: datetime) -> str:
    """Return an aware datetime in RFC 3339 UTC to the second, e.g. `2026-11-23T08:30:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> datetime:
    """Read what `format_utc` wrote. Raises ValueError or TypeError for anything else."""
    # `fromisoformat` also reads other forms of ISO 8601; `strptime` is ten times as slow.
    if not _FORM.fullmatch(text):
        raise ValueError(f"not a time in RFC 3339 UTC to the second: {text!r}")
    return datetime.fromisoformat(text)
