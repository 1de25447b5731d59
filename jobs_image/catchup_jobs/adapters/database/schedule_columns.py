"""A user's schedule in the user's row: its columns, and a UserSchedule's values copied to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, update

from catchup_jobs.adapters.database.schema import users
from catchup_jobs.domain.people.users import Schedule


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Return the columns of a schedule."""
    return {
        "time_zone": schedule.time_zone,
        "digest_day": schedule.digest_day,
        "digest_time": schedule.digest_time,
        "sync_every": schedule.sync_every,
    }


def schedule_differs(user_id: str, schedule: Schedule) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a user's row has not the values of a UserSchedule."""
    changed = (users.c[name] != value for name, value in schedule_columns(schedule).items())
    return users.c.id == user_id, or_(users.c.schedule_seen_at.is_(None), *changed)


def copy_schedule(connection: Connection, user_id: str, schedule: Schedule, now: datetime) -> None:
    """Copy a UserSchedule's values to the user's row, where they differ."""
    connection.execute(
        update(users)
        .where(*schedule_differs(user_id, schedule))
        .values(
            **schedule_columns(schedule),
            schedule_seen_at=now,
            updated_at=now,
            planning_version=users.c.planning_version + 1,
        )
    )
