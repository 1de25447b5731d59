"""A suspension with a reason and an end, of a UserSchedule or a SchedulePool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catchup_contract.timestamps import parse_rfc3339
from catchup_operator.schedule.fields import InvalidSpecError, mapping


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why jobs are suspended, and until when (UTC)."""

    reason: str
    until: datetime


def suspension_of(spec: Mapping[str, Any]) -> Suspension | None:
    """Read the field `suspension` of a spec; None where it is absent. Raises InvalidSpecError."""
    section = mapping(spec, "suspension")
    if not section:
        return None
    reason, until = section.get("reason"), section.get("until")
    if not isinstance(reason, str) or not reason:
        raise InvalidSpecError("suspension.reason must say why")
    try:
        return Suspension(reason, parse_rfc3339(until if isinstance(until, str) else ""))
    except ValueError:
        raise InvalidSpecError("suspension.until must be a time in RFC 3339, e.g. 2026-12-01T08:00:00Z") from None


def in_force(suspend: bool, suspension: Suspension | None, now: datetime) -> tuple[bool, Suspension | None]:
    """Return whether jobs are suspended at `now` (aware), and the suspension where it alone suspends them."""
    if suspend or suspension is None or suspension.until <= now:
        return suspend, None
    return True, suspension
