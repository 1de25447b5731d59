"""Free slots in the database, and what they are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from catchup_jobs.adapters.database.availability.busy import IS_SELECTED, busy_events, covered_time
from catchup_jobs.adapters.database.people.hours import hours_of, require_zone
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import calendars, free_slots, users
from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.calendar.freshness import SyncedCalendar
from catchup_jobs.jobs.sync.ports import AvailabilityInputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import ColumnElement

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.ports import Fence


# A row for each selected calendar, or one without.
_INPUTS: Final = (
    select(
        users.c.id,
        users.c.time_zone,
        users.c.night_start,
        users.c.night_end,
        users.c.availability_computed_at,
        users.c.availability_fingerprint,
        select(func.count()).where(free_slots.c.user_id == users.c.id).scalar_subquery().label("slots"),
        calendars.c.id.label("calendar_id"),
        calendars.c.is_primary,
        calendars.c.last_error,
        calendars.c.last_full_sync_at,
        calendars.c.last_success_at,
        calendars.c.horizon_end,
    )
    .outerjoin_from(users, calendars, and_(calendars.c.user_id == users.c.id, IS_SELECTED))
    .where(users.c.id == bindparam("user"))
    .order_by(calendars.c.id)
)


class DatabaseAvailabilityStore:
    """`jobs.sync.ports.AvailabilityStore` in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def inputs(self, user_id: str) -> AvailabilityInputs | None:
        """Return a user's inputs, None for an unknown user.

        Raises:
            PermanentError: the user's time zone is not one that is known.
        """
        with self._database.read() as connection:
            rows = connection.execute(_INPUTS, {"user": user_id}).all()
            if not rows:
                return None
            user = rows[0]
            parameters = hours_of(connection, [user])[user_id]
        return AvailabilityInputs(
            zone=require_zone(user.time_zone),
            parameters=parameters,
            calendars=tuple(
                SyncedCalendar(
                    row.calendar_id,
                    row.is_primary,
                    row.last_error,
                    row.last_full_sync_at,
                    row.last_success_at,
                    row.horizon_end,
                )
                for row in rows
                if row.calendar_id is not None
            ),
            computed_at=user.availability_computed_at,
            fingerprint=user.availability_fingerprint,
            slots=user.slots,
        )

    def busy(self, user_id: str, zone: ZoneInfo, *, start: datetime, end: datetime) -> list[Interval]:
        """Return the busy time of the user's selected calendars that touches the stretch from start to end."""
        statement = busy_events(select(calendars.c.id).where(_selected(user_id)), start=start, end=end)
        with self._database.read() as connection:
            times = [
                covered_time(start_at, end_at, first, last, zone)
                for _, start_at, end_at, first, last in connection.execute(statement).all()
            ]
        return [when for when in times if when is not None]

    def replace_slots(
        self,
        user_id: str,
        slots: Sequence[Interval],
        *,
        fingerprint: str,
        horizon_end: datetime | None,
        now: datetime,
        fence: Fence,
    ) -> None:
        """Replace the stored slots; rows that stay the same are not written."""
        wanted = {(slot.start, slot.end) for slot in slots}
        with self._database.write() as connection:
            check_fence(connection, fence)
            rows = connection.execute(
                select(free_slots.c.start_at, free_slots.c.end_at).where(free_slots.c.user_id == user_id)
            )
            stored = {(row.start_at, row.end_at) for row in rows}
            outdated = sorted(start for start, _ in stored - wanted)
            if outdated:
                connection.execute(
                    delete(free_slots).where(free_slots.c.user_id == user_id, free_slots.c.start_at.in_(outdated))
                )
            if wanted - stored:
                connection.execute(
                    insert(free_slots),
                    [{"user_id": user_id, "start_at": start, "end_at": end} for start, end in sorted(wanted - stored)],
                )
            connection.execute(
                update(users)
                .where(users.c.id == user_id)
                .values(
                    availability_computed_at=now,
                    availability_horizon_end=horizon_end,
                    availability_fingerprint=fingerprint,
                )
            )

    def slots(self, user_id: str, *, start: datetime, end: datetime) -> list[Interval]:
        """Return the stored free slots that touch the stretch from start to end, in order."""
        statement = (
            select(free_slots.c.start_at, free_slots.c.end_at)
            .where(free_slots.c.user_id == user_id, free_slots.c.start_at < end, free_slots.c.end_at > start)
            .order_by(free_slots.c.start_at)
        )
        with self._database.read() as connection:
            return [Interval(row.start_at, row.end_at) for row in connection.execute(statement)]


def _selected(user_id: str) -> ColumnElement[bool]:
    return and_(calendars.c.user_id == user_id, IS_SELECTED)
