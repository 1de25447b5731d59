"""Calendars in the database: the user's list, the selection, and the sync state of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from catchup_jobs.adapters.database.availability.busy import IS_SELECTED
from catchup_jobs.adapters.database.calendars.events import change_events, stored_events
from catchup_jobs.adapters.database.calendars.suggestion_repair import repair_suggestions
from catchup_jobs.adapters.database.people.planning_version import bump_planning_version
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import calendars, events, users
from catchup_jobs.domain.calendar.events import Changes, Received, UnreadableEvent, reconcile
from catchup_jobs.domain.calendar.sync_window import FullSync, SyncState
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions
from catchup_jobs.domain.stored_enums import CalendarError
from catchup_jobs.jobs.sync.ports import ListedCalendar, Stored, StoredCalendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.database.suggestions.event_changes import Repaired
    from catchup_jobs.domain.calendar.sync_window import IncrementalSync
    from catchup_jobs.jobs.run.ports import Fence

_LIST: Final = (
    select(
        calendars.c.id,
        calendars.c.google_id,
        calendars.c.summary,
        calendars.c.is_primary,
        calendars.c.access_role,
        calendars.c.time_zone,
        calendars.c.selected,
        calendars.c.removed_at,
        calendars.c.sync_token,
        calendars.c.params_hash,
        calendars.c.horizon_end,
        calendars.c.last_error,
    )
    .where(calendars.c.user_id == bindparam("user"))
    .order_by(calendars.c.id)
)
_READ_WHOLE: Final = update(calendars).where(calendars.c.id == bindparam("calendar"), IS_SELECTED)
# One that was mended meanwhile still counts, until the next full sync.
_READ_CHANGES: Final = _READ_WHOLE.values(
    unreadable_events=calendars.c.unreadable_events + bindparam("more_unreadable")
)
# The values of a calendar whose events were deleted: the next sync of it is a full one.
_NEVER_SYNCED: Final[dict[str, Any]] = {
    "sync_token": None,
    "params_hash": None,
    "horizon_end": None,
    "last_full_sync_at": None,
    "last_success_at": None,
    "last_error": None,
    "unreadable_events": 0,
}


class DatabaseCalendarStore:
    """`jobs.sync.ports.CalendarStore` in the database."""

    def __init__(self, database: Database, options: PlanningOptions = DEFAULT_OPTIONS) -> None:
        self._database = database
        self._options = options

    def update_list(
        self, user_id: str, listed: Sequence[ListedCalendar], *, complete: bool, now: datetime, fence: Fence
    ) -> tuple[Stored, list[StoredCalendar]]:
        """Make the stored list equal Google's; the events of calendars that are gone are deleted.

        Only from a complete list is a calendar gone that is not in it.

        A new calendar is selected if it is the user's primary one, so that a new user's first sync has a calendar to
        read. Nothing is written where nothing differs.

        Returns:
            What changed, and the calendars to sync.
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
        gone_selected = sum(row.id in gone and row.selected for row in stored.values())
        if not (added or changed or gone):
            return Stored(), _selected(stored.values())
        with self._database.write() as connection:
            check_fence(connection, fence)
            if added:
                connection.execute(insert(calendars), added)
            for values in changed:
                row_id = values.pop("row_id")
                connection.execute(update(calendars).where(calendars.c.id == row_id).values(**values))
            result = Stored()
            if gone:
                dropped = drop(connection, gone, removed_at=now)
                bump_planning_version(connection, [user_id])
                repaired = repair_suggestions(connection, user_id, now, self._options)
                result = _stored(Changes(), repaired, dropped=dropped, calendars_gone=gone_selected)
            return result, _selected(_stored_list(connection, user_id).values())

    def selected(self, user_id: str) -> list[StoredCalendar]:
        """Return the calendars to sync, oldest first."""
        with self._database.read() as connection:
            return _selected(_stored_list(connection, user_id).values())

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
        unreadable = sum(isinstance(event, UnreadableEvent) for event in received)
        progress: dict[str, Any] = {
            "sync_token": state.sync_token,
            "params_hash": state.params_hash,
            "horizon_end": state.horizon_end,
            "last_success_at": now,
            "last_error": None,
        }
        if full:
            progress |= {"last_full_sync_at": now, "unreadable_events": unreadable}
        else:
            progress["more_unreadable"] = unreadable
        with self._database.write() as connection:
            check_fence(connection, fence)
            synced = _READ_WHOLE if full else _READ_CHANGES
            if connection.execute(synced, progress | {"calendar": calendar_id}).rowcount == 0:
                return Stored()
            if not received and not full:
                return Stored()
            stored = stored_events(connection, calendar_id, None if full else received)
            changes = reconcile(stored, received, how.window, zone, full=full)
            if not changes:
                return Stored()
            change_events(connection, calendar_id, changes)
            user_id = _invalidate_availability(connection, calendar_id)
            repaired = repair_suggestions(connection, user_id, now, self._options, (calendar_id, zone, changes))
            return _stored(changes, repaired)

    def deselect_lost(self, user_id: str, calendar_id: int, *, now: datetime, fence: Fence) -> Stored:
        """Deselect a calendar to which the user has lost access: its events are deleted, as by `select`.

        Its state says why, until it is selected again.
        """
        with self._database.write() as connection:
            check_fence(connection, fence)
            lost = calendars.c.id == calendar_id
            connection.execute(update(calendars).where(lost).values(selected=False))
            bump_planning_version(connection, [user_id])
            dropped = drop(connection, [calendar_id])
            connection.execute(update(calendars).where(lost).values(last_error=CalendarError.NOT_FOUND))
            repaired = repair_suggestions(connection, user_id, now, self._options)
            return _stored(Changes(), repaired, dropped=dropped, calendars_gone=1)

    def record_failure(self, calendar_id: int, reason: CalendarError, *, fence: Fence) -> None:
        """Store why a calendar could not be read; its events and its sync token stay."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            connection.execute(update(calendars).where(calendars.c.id == calendar_id).values(last_error=reason))


def _stored_list(connection: Connection, user_id: str) -> dict[str, Any]:
    return {row.google_id: row for row in connection.execute(_LIST, {"user": user_id})}


def _selected(rows: Iterable[Any]) -> list[StoredCalendar]:
    return [
        StoredCalendar(
            row.id,
            row.google_id,
            row.is_primary,
            SyncState(row.sync_token, row.params_hash, row.horizon_end),
            row.last_error,
        )
        for row in rows
        if row.selected and row.removed_at is None
    ]


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


def drop(connection: Connection, calendar_ids: Sequence[int], *, removed_at: datetime | None = None) -> int:
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


def _stored(changes: Changes, repaired: Repaired, *, dropped: int = 0, calendars_gone: int = 0) -> Stored:
    return Stored(
        events_added=len(changes.added),
        events_changed=len(changes.changed),
        events_removed=len(changes.removed) + dropped,
        suggestions_moved=repaired.moved,
        suggestions_expired=repaired.expired,
        calendars_gone=calendars_gone,
    )
