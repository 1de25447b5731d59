"""A user's schedule in the user's row: the one that holds, and the user's own while a UserSchedule's holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, or_, update

from catchup_jobs.adapters.database.schema import users
from catchup_jobs.domain.people.users import Schedule

_COLUMNS: Final = ("time_zone", "digest_day", "digest_time", "sync_every")


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Return the columns of a schedule."""
    return {name: getattr(schedule, name) for name in _COLUMNS}


def schedule_differs(user_id: str, schedule: Schedule) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a user's row has not the values of a UserSchedule."""
    changed = (users.c[name] != value for name, value in schedule_columns(schedule).items())
    return users.c.id == user_id, or_(users.c.schedule_seen_at.is_(None), *changed)


def own_columns(schedule: Schedule) -> dict[str, Any]:
    """Return the columns that keep a user's own schedule while a UserSchedule's holds."""
    return {_own(name): value for name, value in schedule_columns(schedule).items()}


def copy_schedule(connection: Connection, user_id: str, schedule: Schedule, now: datetime) -> None:
    """Copy a UserSchedule's values to the user's row, where they differ; the user's own are kept beside them."""
    is_own = users.c.schedule_seen_at.is_(None)
    own = {_own(name): case((is_own, users.c[name]), else_=users.c[_own(name)]) for name in schedule_columns(schedule)}
    connection.execute(
        update(users)
        .where(*schedule_differs(user_id, schedule))
        .values(
            **schedule_columns(schedule),
            **own,
            schedule_seen_at=now,
            updated_at=now,
            planning_version=users.c.planning_version + 1,
        )
    )


def give_back_own(connection: Connection, user_ids: Sequence[str], *, now: datetime) -> None:
    """Let users whom no UserSchedule names any more have their own schedule; where none is known, what they have."""
    own = {name: func.coalesce(users.c[_own(name)], users.c[name]) for name in _COLUMNS}
    connection.execute(
        update(users)
        .where(users.c.id.in_(user_ids), users.c.schedule_seen_at.is_not(None))
        .values(
            **own,
            **{_own(name): None for name in _COLUMNS},
            schedule_seen_at=None,
            updated_at=now,
            planning_version=users.c.planning_version + 1,
        )
    )


def _own(name: str) -> str:
    return f"own_{name}"
