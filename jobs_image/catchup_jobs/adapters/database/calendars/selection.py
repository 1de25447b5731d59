"""Which of a user's calendars are synced, as people see and choose it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from catchup_jobs.adapters.database.calendars.store import drop
from catchup_jobs.adapters.database.calendars.suggestion_repair import repair_suggestions
from catchup_jobs.adapters.database.people.planning_version import bump_planning_version
from catchup_jobs.adapters.database.schema import calendars
from catchup_jobs.domain.calendar.overview import CalendarOverview
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.adapters.database.engine import Database


class DatabaseCalendarSelection:
    """What `catchup-jobs calendar` shows and changes."""

    def __init__(self, database: Database, options: PlanningOptions = DEFAULT_OPTIONS) -> None:
        self._database = database
        self._options = options

    def listing(self, user_id: str) -> list[CalendarOverview]:
        """Return the user's calendars, the primary one first, then by name."""
        statement = (
            select(calendars)
            .where(calendars.c.user_id == user_id, calendars.c.removed_at.is_(None))
            .order_by(calendars.c.is_primary.desc(), calendars.c.summary, calendars.c.id)
        )
        with self._database.read() as connection:
            return [
                CalendarOverview(
                    google_id=row.google_id,
                    summary=row.summary,
                    primary=row.is_primary,
                    access_role=row.access_role,
                    selected=row.selected,
                    last_success_at=row.last_success_at,
                    last_error=row.last_error,
                    unreadable_events=row.unreadable_events,
                )
                for row in connection.execute(statement)
            ]

    def select(self, user_id: str, google_id: str, *, selected: bool, now: datetime) -> bool:
        """Select or deselect a calendar; return whether the user has it.

        A deselected calendar's events are deleted at once, so that they do not block time, and suggestions about them
        expire. After it is selected again, the next sync of it is a full one.
        """
        with self._database.write() as connection:
            row = connection.execute(
                select(calendars.c.id, calendars.c.selected).where(
                    calendars.c.user_id == user_id,
                    calendars.c.google_id == google_id,
                    calendars.c.removed_at.is_(None),
                )
            ).one_or_none()
            if row is None:
                return False
            if row.selected != selected:
                connection.execute(
                    update(calendars).where(calendars.c.id == row.id).values(selected=selected, last_error=None)
                )
                bump_planning_version(connection, [user_id])
                if not selected:
                    drop(connection, [row.id])
                    repair_suggestions(connection, user_id, now, self._options)
            return True
