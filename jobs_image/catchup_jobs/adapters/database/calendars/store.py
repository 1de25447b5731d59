"""Calendars in the database: the user's list, the selection, and the sync state of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, insert, select, update

from catchup_jobs.adapters.database.calendars.events import change_events, stored_events
from catchup_jobs.adapters.database.people.planning_version import raise_version
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import calendars, events, users
from catchup_jobs.domain.calendar.events import Changes, Received, reconcile
from catchup_jobs.domain.calendar.sync_window import FullSync, SyncState
from catchup_jobs.domain.planning.rules import RULES, Rules
from catchup_jobs.jobs.sync.ports import ListedCalendar, Stored, StoredCalendar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.calendar.sync_window import IncrementalSync
    from catchup_jobs.domain.planning.suggestions import Plan
    from catchup_jobs.domain.vocabulary import CalendarError
    from catchup_jobs.jobs.run.ports import Fence

_ACTIVE: Final = and_(calendars.c.selected, calendars.c.removed_at.is_(None))
# The values of a calendar whose events were deleted: the next sync of it is a full one.
_NEVER_SYNCED: Final[dict[str, Any]] = {
    "sync_token": None,
    "params_hash": None,
    "horizon_end": None,
    "last_full_sync_at": None,
    "last_success_at": None,
    "last_error": None,
}


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A calendar as `catchup-jobs calendar list` shows it."""

    google_id: str = field(repr=False)
    summary: str = field(repr=False)
    primary: bool
    access_role: str
    selected: bool
    last_success_at: datetime | None
    last_error: CalendarError | None


class DatabaseCalendarStore:
    """`jobs.sync.ports.CalendarStore` in the database, and the methods of `catchup-jobs calendar`."""

    def __init__(self, database: Database, rules: Rules = RULES) -> None:
        self._database = database
        self._rules = rules

    def update_list(
        self, user_id: str, listed: Sequence[ListedCalendar], *, complete: bool, now: datetime, fence: Fence
    ) -> Stored:
        """Make the stored list equal Google's; the events of calendars that are gone are deleted.

        Only from a complete list is a calendar gone that is not in it.

        A new calendar is selected if it is the user's primary one, so that a new user's first sync has a calendar to
        read. Nothing is written where nothing differs.
        """
        with self._database.read() as connection:
            stored = _stored_list(connection, user_id)
        wanted = {calendar.google_id: calendar for calendar in listed}
        added = [_new_row(user_id, calendar) for google_id, calendar in wanted.items() if google_id not in stored]
        changed = [
            {"row_id": stored[google_id].id, **_listed_values(calendar)}
            for google_id, calendar in wanted.items()
            if google_id in stored and not _agrees(stored[google_id], calendar)
        ]
        missing = [row.id for google_id, row in stored.items() if google_id not in wanted and row.removed_at is None]
        gone = missing if complete else []
        if not (added or changed or gone):
            return Stored()
        with self._database.write() as connection:
            check_fence(connection, fence)
            if added:
                connection.execute(insert(calendars), added)
            for values in changed:
                row_id = values.pop("row_id")
                connection.execute(update(calendars).where(calendars.c.id == row_id).values(**values))
            if not gone:
                return Stored()
            dropped = _drop(connection, gone, removed_at=now)
            raise_version(connection, [user_id])
            return _stored(Changes(), repair_suggestions(connection, user_id, now, self._rules), dropped=dropped)

    def selected(self, user_id: str) -> list[StoredCalendar]:
        """Return the calendars to sync, oldest first."""
        columns = (
            calendars.c.id,
            calendars.c.google_id,
            calendars.c.sync_token,
            calendars.c.params_hash,
            calendars.c.horizon_end,
        )
        statement = select(*columns).where(calendars.c.user_id == user_id, _ACTIVE).order_by(calendars.c.id)
        with self._database.read() as connection:
            return [
                StoredCalendar(row.id, row.google_id, SyncState(row.sync_token, row.params_hash, row.horizon_end))
                for row in connection.execute(statement)
            ]

    def apply(
        self,
        calendar_id: int,
        received: Sequence[Received],
        how: FullSync | IncrementalSync,
        zone: ZoneInfo,
        state: SyncState,
        *,
        now: datetime,
        fence: Fence,
    ) -> Stored:
        """Reconcile a calendar's events and store its new sync state in one transaction.

        Changed events also invalidate the user's availability: if the process dies before it computes the free slots,
        the next one does. Suggestions that clash with the events move or expire. A calendar that was deselected
        meanwhile is left unchanged.
        """
        full = isinstance(how, FullSync)
        progress: dict[str, Any] = {
            "sync_token": state.sync_token,
            "params_hash": state.params_hash,
            "horizon_end": state.horizon_end,
            "last_success_at": now,
            "last_error": None,
        }
        if full:
            progress["last_full_sync_at"] = now
        with self._database.write() as connection:
            check_fence(connection, fence)
            statement = update(calendars).where(calendars.c.id == calendar_id, _ACTIVE).values(**progress)
            if connection.execute(statement).rowcount == 0:
                return Stored()
            if not received and not full:
                return Stored()
            stored = stored_events(connection, calendar_id, None if full else received)
            changes = reconcile(stored, received, how.window, zone, full=full)
            if not changes:
                return Stored()
            change_events(connection, calendar_id, changes)
            user_id = _invalidate_availability(connection, calendar_id)
            called_off = _call_off(connection, user_id, calendar_id, changes.removed, now)
            return _stored(changes, repair_suggestions(connection, user_id, now, self._rules), called_off=called_off)

    def record_failure(self, calendar_id: int, reason: CalendarError, *, fence: Fence) -> None:
        """Store why a calendar could not be read; its events and its sync token stay."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            connection.execute(update(calendars).where(calendars.c.id == calendar_id).values(last_error=reason))

    def listing(self, user_id: str) -> list[CalendarRow]:
        """Return the user's calendars, the primary one first, then by name."""
        statement = (
            select(calendars)
            .where(calendars.c.user_id == user_id, calendars.c.removed_at.is_(None))
            .order_by(calendars.c.is_primary.desc(), calendars.c.summary, calendars.c.id)
        )
        with self._database.read() as connection:
            return [
                CalendarRow(
                    google_id=row.google_id,
                    summary=row.summary,
                    primary=row.is_primary,
                    access_role=row.access_role,
                    selected=row.selected,
                    last_success_at=row.last_success_at,
                    last_error=row.last_error,
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
                connection.execute(update(calendars).where(calendars.c.id == row.id).values(selected=selected))
                raise_version(connection, [user_id])
                if not selected:
                    _drop(connection, [row.id])
                    repair_suggestions(connection, user_id, now, self._rules)
            return True


def _stored_list(connection: Connection, user_id: str) -> dict[str, Any]:
    columns = (
        calendars.c.id,
        calendars.c.google_id,
        calendars.c.summary,
        calendars.c.is_primary,
        calendars.c.access_role,
        calendars.c.time_zone,
        calendars.c.removed_at,
    )
    rows = connection.execute(select(*columns).where(calendars.c.user_id == user_id))
    return {row.google_id: row for row in rows}


def _new_row(user_id: str, calendar: ListedCalendar) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "google_id": calendar.google_id,
        "selected": calendar.primary,
        **_listed_values(calendar),
    }


def _listed_values(calendar: ListedCalendar) -> dict[str, Any]:
    return {
        "summary": calendar.summary,
        "is_primary": calendar.primary,
        "access_role": calendar.access_role,
        "time_zone": calendar.time_zone,
        "removed_at": None,
    }


def _agrees(row: Any, calendar: ListedCalendar) -> bool:
    return all(getattr(row, name) == value for name, value in _listed_values(calendar).items())


def _drop(connection: Connection, calendar_ids: Sequence[int], *, removed_at: datetime | None = None) -> int:
    """Delete calendars' events and sync states; return how many events were deleted."""
    gone = connection.execute(delete(events).where(events.c.calendar_id.in_(calendar_ids))).rowcount
    values = _NEVER_SYNCED if removed_at is None else _NEVER_SYNCED | {"removed_at": removed_at}
    connection.execute(update(calendars).where(calendars.c.id.in_(calendar_ids)).values(**values))
    return gone


def _invalidate_availability(connection: Connection, calendar_id: int) -> str:
    """Invalidate what was computed and planned from the calendar's events; return the user's id."""
    owner: str = connection.execute(select(calendars.c.user_id).where(calendars.c.id == calendar_id)).scalar_one()
    invalid = {"availability_computed_at": None, "planning_version": users.c.planning_version + 1}
    connection.execute(update(users).where(users.c.id == owner).values(**invalid))
    return owner


def repair_suggestions(connection: Connection, user_id: str, now: datetime, rules: Rules) -> Plan:
    """Move or expire suggestions that clash with the changed events; call it after `raise_version`."""
    # The import costs 20 ms, which a sync without changes saves.
    from catchup_jobs.adapters.database.suggestions.repair import repair  # noqa: PLC0415

    return repair(connection, user_id, now, rules)


def _call_off(connection: Connection, user_id: str, calendar_id: int, removed: Collection[str], now: datetime) -> int:
    """Expire accepted suggestions whose event is gone; return how many."""
    if not removed:
        return 0
    from catchup_jobs.adapters.database.suggestions.repair import call_off  # noqa: PLC0415 - as above

    return call_off(connection, user_id, calendar_id, removed, now)


def _stored(changes: Changes, repaired: Plan, *, dropped: int = 0, called_off: int = 0) -> Stored:
    return Stored(
        events_added=len(changes.added),
        events_changed=len(changes.changed),
        events_removed=len(changes.removed) + dropped,
        suggestions_moved=len(repaired.moved),
        suggestions_expired=len(repaired.expired) + called_off,
    )
