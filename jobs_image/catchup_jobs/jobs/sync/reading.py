"""Reading a calendar's pages. A run that must stop in the middle keeps them in its checkpoint and goes on there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from catchup_jobs.domain.calendar.received_json import from_json, to_json
from catchup_jobs.domain.calendar.sync_window import FullSync, IncrementalSync, SyncState, Window
from catchup_jobs.jobs.run.context import RunInterruptedError
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.sync.ports import CalendarFailedError, SyncTokenExpiredError

if TYPE_CHECKING:
    from catchup_jobs.domain.calendar.events import Received
    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.sync.ports import CalendarSource, StoredCalendar

_READING: Final = "reading"
_MOST_KEPT: Final = 100_000
"""The most events of a calendar that an interrupted sync keeps to go on with: as many as are read of a list."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """All that Google sent of a calendar, and the sync state after it."""

    how: FullSync | IncrementalSync
    events: list[Received]
    state: SyncState


@dataclass(slots=True)
class _Pages:
    how: FullSync | IncrementalSync
    events: list[Received]
    next_page: str | None = None


def read_calendar(
    context: RunContext, source: CalendarSource, calendar: StoredCalendar, how: FullSync | IncrementalSync
) -> Reading:
    """Read all pages, from where the run was interrupted; nothing is stored before the last one has arrived.

    Raises:
        RunInterruptedError: the run must stop; the pages so far are in its checkpoint.
        CalendarFailedError, SyncTokenExpiredError, JobError: see `CalendarSource.events`.
    """
    kept = _kept(context, source, calendar)
    if kept is not None:
        _log.info("going on where the run was interrupted", calendar=calendar.id, events=len(kept.events))
        try:
            return _read(context, source, calendar, kept)
        except (CalendarFailedError, SyncTokenExpiredError):
            _log.info("Google does not know the next page any more, reading the calendar again", calendar=calendar.id)
    return _read(context, source, calendar, _Pages(how, []))


def _read(context: RunContext, source: CalendarSource, calendar: StoredCalendar, pages: _Pages) -> Reading:
    sync_token: str | None = None
    try:
        try:
            for page in source.events(calendar.google_id, pages.how, first_page=pages.next_page):
                pages.events += page.events
                pages.next_page, sync_token = page.next_page, page.next_sync_token
                context.check_stop()
        except TemporaryError:
            # A request that was given up since the deadline is near did not fail.
            context.check_stop()
            raise
    except RunInterruptedError:
        _keep(context, source, calendar, pages)
        raise
    return Reading(pages.how, pages.events, SyncState(sync_token, source.params_hash, pages.how.window.end))


def _keep(context: RunContext, source: CalendarSource, calendar: StoredCalendar, pages: _Pages) -> None:
    if pages.next_page is None or len(pages.events) > _MOST_KEPT:
        return
    window = pages.how.window
    context.checkpoint[_READING] = {
        "calendar": calendar.id,
        "params": source.params_hash,
        "window": [window.start.isoformat(), window.end.isoformat()],
        "sync_token": pages.how.sync_token if isinstance(pages.how, IncrementalSync) else None,
        "next_page": pages.next_page,
        "events": [to_json(event) for event in pages.events],
    }


def _kept(context: RunContext, source: CalendarSource, calendar: StoredCalendar) -> _Pages | None:
    """Return what an earlier pass of the run read of this calendar, None where that is nothing, or of no use."""
    kept: dict[str, Any] | None = context.checkpoint.get(_READING)
    if kept is None or kept.get("calendar") != calendar.id:
        return None
    del context.checkpoint[_READING]
    try:
        window = Window(*map(datetime.fromisoformat, kept["window"]))
        token = kept["sync_token"]
        how = FullSync(window) if token is None else IncrementalSync(window, token)
        pages = _Pages(how, [from_json(event) for event in kept["events"]], kept["next_page"])
        return pages if kept["params"] == source.params_hash else None
    except (KeyError, ValueError, TypeError):
        return None  # another version wrote it
