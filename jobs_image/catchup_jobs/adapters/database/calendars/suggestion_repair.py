"""What a change of calendars does to suggestions.

The function imports when it is called: the import costs 20 ms, which a sync without changes saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.suggestions.event_changes import Repaired
    from catchup_jobs.domain.calendar.events import Changes
    from catchup_jobs.domain.planning.options import PlanningOptions


def repair_suggestions(
    connection: Connection,
    user_id: str,
    now: datetime,
    options: PlanningOptions,
    changed: tuple[int, ZoneInfo, Changes] | None = None,
) -> Repaired:
    """Let suggestions follow the changed events, move or expire; call it after `bump_planning_version`.

    Args:
        changed: the calendar whose events changed, the user's zone, and the changes; None where calendars were
            dropped as a whole.
    """
    from catchup_jobs.adapters.database.suggestions.event_changes import repair  # noqa: PLC0415
    from catchup_jobs.domain.planning.accepted import EventChanges  # noqa: PLC0415

    if changed is None:
        return repair(connection, user_id, now, options)
    calendar_id, zone, changes = changed
    spans = {event.google_id: event.span for event in (*changes.added, *changes.changed)}
    return repair(connection, user_id, now, options, EventChanges(calendar_id, zone, changes.removed, spans))
