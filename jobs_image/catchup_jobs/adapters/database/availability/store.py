"""Free slots in the database, and what they are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import and_, delete, func, insert, or_, select, update

from catchup_contract.local_time import local_date
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import (
    calendars,
    commute_windows,
    events,
    free_slots,
    manual_blocks,
    users,
)
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval, Night, WeeklyWindow, all_day
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.sync.ports import AvailabilityInputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.ports import Fence


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
            user = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
            if user is None:
                return None
            horizons = connection.execute(
                select(calendars.c.id, calendars.c.last_full_sync_at, calendars.c.horizon_end)
                .where(calendars.c.user_id == user_id, calendars.c.selected, calendars.c.removed_at.is_(None))
                .order_by(calendars.c.id)
            )
            known = tuple((row.id, row.horizon_end if row.last_full_sync_at else None) for row in horizons)
            parameters = AvailabilityParameters(
                blocks=_windows(connection, manual_blocks, user_id),
                commutes=_windows(connection, commute_windows, user_id),
                night=_night(user),
            )
        return AvailabilityInputs(
            zone=_zone(user.time_zone),
            parameters=parameters,
            calendars=known,
            computed_at=user.availability_computed_at,
            fingerprint=user.availability_fingerprint,
        )

    def busy(self, user_id: str, zone: ZoneInfo, *, start: datetime, end: datetime) -> list[Interval]:
        """Return the busy time of the user's selected calendars that touches the stretch from start to end."""
        timed = and_(events.c.start_at < end, events.c.end_at > start)
        # Dates are compared generously: the exact hours follow from the zone below.
        dated = and_(events.c.start_date <= local_date(end, zone), events.c.end_date >= local_date(start, zone))
        statement = (
            select(events.c.start_at, events.c.end_at, events.c.start_date, events.c.end_date)
            .join(calendars, calendars.c.id == events.c.calendar_id)
            .where(
                calendars.c.user_id == user_id,
                calendars.c.selected,
                calendars.c.removed_at.is_(None),
                events.c.busy,
                or_(timed, dated),
            )
        )
        with self._database.read() as connection:
            return list(_intervals(connection.execute(statement).all(), zone))

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
        """Make the stored slots be these; rows that stay the same are not written."""
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

    def slot_count(self, user_id: str) -> int:
        """Return how many free slots are stored."""
        statement = select(func.count()).select_from(free_slots).where(free_slots.c.user_id == user_id)
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one()


def _windows(connection: Connection, table: Table, user_id: str) -> tuple[WeeklyWindow, ...]:
    statement = (
        select(table.c.weekday, table.c.start_time, table.c.end_time)
        .where(table.c.user_id == user_id)
        .order_by(table.c.weekday, table.c.start_time)
    )
    return tuple(WeeklyWindow(row.weekday, row.start_time, row.end_time) for row in connection.execute(statement))


def _night(user: Any) -> Night | None:
    if user.night_start is None or user.night_start == user.night_end:
        return None
    return Night(user.night_start, user.night_end)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PermanentError(f"the user's time zone {name!r} is not a known IANA zone") from None


def _intervals(rows: Sequence[Any], zone: ZoneInfo) -> Iterator[Interval]:
    for row in rows:
        if row.start_at is None:
            yield all_day(row.start_date, row.end_date, zone)
        elif row.start_at < row.end_at:
            yield Interval(row.start_at, row.end_at)
