"""What a change of a user's events does to their suggestions, in the transaction of that change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, or_, select

from catchup_jobs.adapters.database.schema import calendars, events, suggestions
from catchup_jobs.adapters.database.suggestions.changes import expire, move, write_plans
from catchup_jobs.adapters.database.suggestions.facts import known_users
from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.planning.accepted import Accepted, becomes
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import Source
from catchup_jobs.domain.stored_enums import ExpiryReason, SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from catchup_jobs.domain.planning.accepted import EventChanges
    from catchup_jobs.domain.planning.options import PlanningOptions

_FOLLOWS_FOR: Final = timedelta(days=1)
"""How long after its end an accepted suggestion still follows its event; what happens to that later is only tidying."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many suggestions moved, and how many expired."""

    moved: int = 0
    expired: int = 0


def repair(
    connection: Connection, user_id: str, now: datetime, options: PlanningOptions, changes: EventChanges | None = None
) -> Repaired:
    """Move or expire suggestions, in the transaction that changed the user's events.

    Accepted ones follow their own event; those that are off do not count as contact. Then pending ones that clash make
    way. Call it after the change and after `bump_planning_version`, which invalidates plans made from the events
    before.

    Args:
        changes: of one calendar's events; None where accepted suggestions stay as they are.
    """
    current = connection.execute(_current(user_id, now)).all()
    accepted = [row for row in current if row.status is SuggestionStatus.ACCEPTED]
    kept_up = Repaired() if changes is None else _keep_up(connection, accepted, changes, now)
    if len(accepted) == len(current):
        return kept_up
    for user in known_users(connection, [user_id], now):
        if user.facts is not None and (made := plan(user.facts, now=now, create=False, options=options)):
            write_plans(connection, {user_id: made}, now)
            return Repaired(kept_up.moved + len(made.moved), kept_up.expired + len(made.expired))
    return kept_up


def _current(user_id: str, now: datetime) -> Select[Any]:
    """Select a user's suggestions that are pending, and those that are accepted and follow their event."""
    booked = (
        select(events.c.id)
        .join(calendars, calendars.c.id == events.c.calendar_id)
        .where(calendars.c.user_id == user_id, events.c.google_id == suggestions.c.booked_event_id)
    )
    accepted = and_(suggestions.c.status == SuggestionStatus.ACCEPTED, suggestions.c.end_at > now - _FOLLOWS_FOR)
    return select(
        suggestions.c.id,
        suggestions.c.status,
        suggestions.c.version,
        suggestions.c.start_at,
        suggestions.c.end_at,
        suggestions.c.source_calendar_id,
        suggestions.c.source_event_id,
        suggestions.c.booked_event_id,
        booked.exists().label("is_booked"),
    ).where(
        suggestions.c.user_id == user_id,
        or_(suggestions.c.status == SuggestionStatus.PENDING, accepted),
    )


def _keep_up(connection: Connection, accepted: Sequence[Any], changes: EventChanges, now: datetime) -> Repaired:
    gone: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for row in accepted:
        key = {"row_id": row.id, "row_version": row.version}
        match becomes(_accepted(row), changes):
            case ExpiryReason() as reason:
                gone.append({**key, "reason": reason})
            case Interval(start, end):
                moved.append({**key, "new_start": start, "new_end": end})
    if gone:
        expire(connection, gone, now)
    if moved:
        move(connection, moved, now)
    return Repaired(len(moved), len(gone))


def _accepted(row: Any) -> Accepted:
    source = None if row.source_event_id is None else Source(row.source_calendar_id, row.source_event_id)
    return Accepted(Interval(row.start_at, row.end_at), source, row.booked_event_id, row.is_booked)
