"""Instants as the Kubernetes API writes them: RFC 3339, UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def format_utc(instant: datetime) -> str:
    """Return an aware datetime in RFC 3339 UTC to the second, e.g. `2026-11-23T08:30:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> datetime:
    """Read what `format_utc` wrote. Raises ValueError or TypeError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
