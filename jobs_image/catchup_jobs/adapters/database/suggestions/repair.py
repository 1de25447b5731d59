"""What a change of a user's events does to their suggestions, in the transaction of that change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from catchup_jobs.adapters.database.schema import calendars, events, suggestions
from catchup_jobs.adapters.database.suggestions.changes import expire, write_plans
from catchup_jobs.adapters.database.suggestions.facts import known_users
from catchup_jobs.domain.calendar.freshness import FRESH
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import Plan
from catchup_jobs.domain.stored_enums import ExpiryReason, SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from catchup_jobs.domain.planning.rules import Rules


def repair(connection: Connection, user_id: str, now: datetime, rules: Rules) -> Plan:
    """Move or expire pending suggestions that clash, in the transaction that changed the user's events.

    Call it after the change and after `bump_planning_version`, which invalidates plans made from the events before.
    """
    pending = select(suggestions.c.id).where(
        suggestions.c.user_id == user_id, suggestions.c.status == SuggestionStatus.PENDING
    )
    if connection.execute(pending.limit(1)).first() is not None:
        for user in known_users(connection, [user_id], now):
            if user.facts is not None and (made := plan(user.facts, now=now, create=False, rules=rules)):
                write_plans(connection, {user_id: made}, now)
                return made
    return Plan()


def call_off(connection: Connection, user_id: str, calendar_id: int, removed: Collection[str], now: datetime) -> int:
    """Expire accepted suggestions whose event was removed from its calendar; return how many.

    The two will not meet: the time is free again and does not count as contact. An event that was removed a day after
    it ended was only tidied away. Call it in the transaction that removed the events, after `bump_planning_version`.

    Args:
        removed: Google's ids of the events.
    """
    if not removed:
        return 0
    booked = (
        select(events.c.id)
        .join(calendars, calendars.c.id == events.c.calendar_id)
        .where(calendars.c.user_id == user_id, events.c.google_id == suggestions.c.booked_event_id)
    )
    accepted = select(
        suggestions.c.id,
        suggestions.c.version,
        suggestions.c.source_calendar_id,
        suggestions.c.source_event_id,
        suggestions.c.booked_event_id,
        booked.exists().label("is_booked"),
    ).where(
        suggestions.c.user_id == user_id,
        suggestions.c.status == SuggestionStatus.ACCEPTED,
        suggestions.c.end_at > now - FRESH,
    )
    gone = [
        {"row_id": row.id, "row_version": row.version, "reason": ExpiryReason.EVENT_GONE}
        for row in connection.execute(accepted).all()
        if (row.source_calendar_id == calendar_id and row.source_event_id in removed)
        # The event may be in another of the user's calendars too.
        or (row.booked_event_id in removed and not row.is_booked)
    ]
    if gone:
        expire(connection, gone, now)
    return len(gone)
