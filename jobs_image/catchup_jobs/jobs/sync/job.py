"""The calendar sync of one user: list, events of each selected calendar, availability.

Cost of a sync in which nothing changed: one request for each selected calendar, no event write. The list is read once a
day, and at once where a calendar answers that it is gone or forbidden. A calendar that fails keeps its last events and
its sync token; the others are synced.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import LEFT_OUT, Count
from catchup_jobs.domain.calendar.access_token import ReconnectNeededError
from catchup_jobs.domain.calendar.events import UnreadableEvent
from catchup_jobs.domain.calendar.list_age import is_list_due
from catchup_jobs.domain.calendar.sync_window import FullSync, choose_sync, full_window
from catchup_jobs.domain.stored_enums import CalendarError, TokenState
from catchup_jobs.jobs.run.checkpoint import Counts
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import TemporaryError, unknown_user
from catchup_jobs.jobs.sync.access_tokens import StoredAccessTokens
from catchup_jobs.jobs.sync.availability import refresh_availability
from catchup_jobs.jobs.sync.ports import CalendarFailedError, DailyLimitError, SyncTokenExpiredError
from catchup_jobs.jobs.sync.quota import QuotaGate
from catchup_jobs.jobs.sync.reading import Reading, read_calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.events import Received
    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.sync.ports import (
        AccessTokens,
        AvailabilityStore,
        CalendarSource,
        CalendarStore,
        RequestQuota,
        Stored,
        StoredCalendar,
        StoredToken,
        TokenRefresher,
        TokenStore,
    )

_log = structlog.get_logger()

_LOST: Final = {CalendarError.NOT_FOUND, CalendarError.FORBIDDEN}
_LISTED: Final = "listed"
_FINISHED: Final = "finished"


@dataclass(frozen=True, slots=True)
class Google:
    """The installation's access to Google.

    Attributes:
        refresher: refreshes tokens as our OAuth client.
        calendars: makes a client of one user's calendars; it calls the second argument before each request.
        quota: Google's quota, None where only this machine uses it.
    """

    refresher: TokenRefresher
    calendars: Callable[[AccessTokens, Callable[[], None]], CalendarSource]
    quota: RequestQuota | None = None


@dataclass(frozen=True, slots=True)
class CalendarSync:
    """The job. Called once per pass; a later pass goes on where the earlier ones stopped.

    Attributes:
        google: makes the access to Google, or returns None when no OAuth client is configured; called only for a
            user who is connected, since the client costs time to import.
        full: read the calendar list, and every selected calendar whole.
    """

    google: Callable[[], Google | None]
    tokens: TokenStore
    calendars: CalendarStore
    availability: AvailabilityStore
    full: bool = False

    def __call__(self, context: RunContext) -> Result:
        """Make one pass.

        Raises:
            JobError: see `jobs.run.errors`.
        """
        user = self.tokens.user(context.subject)
        if user is None:
            raise unknown_user()
        if user.token is None:
            return Result(Outcome.SKIPPED, Reason.NOT_CONNECTED)
        if user.token.state is TokenState.RECONNECT:
            return Result(Outcome.SKIPPED, Reason.RECONNECT)
        google = self.google()
        if google is None:
            return Result(Outcome.SKIPPED, Reason.NOT_CONFIGURED)
        return self._sync(context, user.token, google, user.zone)

    def _sync(self, context: RunContext, kept: StoredToken, google: Google, zone: ZoneInfo) -> Result:
        progress = _Progress(context.checkpoint)
        keeper = StoredAccessTokens(context, kept, store=self.tokens, refresher=google.refresher)
        source = google.calendars(keeper, QuotaGate(context, google.quota) if google.quota else _at_once)
        try:
            if not progress.listed and (self.full or is_list_due(context.subject, kept.listed_at, now=context.now())):
                selected = self._update_list(context, source, keeper, progress)
            else:
                selected = self.calendars.selected(context.subject)
            failed = self._sync_calendars(context, source, keeper, progress, zone, selected=selected)
        except ReconnectNeededError:
            keeper.mark_reconnect()
            _log.warning("the user must connect the calendar again")
            return Result(Outcome.SKIPPED, Reason.RECONNECT, progress.counts.all())
        except DailyLimitError:
            _log.warning("the limit of requests to Google a day is reached, the next slot tries again")
            return Result(Outcome.SKIPPED, Reason.DAILY_LIMIT, progress.counts.all())
        finally:
            progress.counts.add(Count.API_REQUESTS, source.requests)
            progress.counts.add(Count.PAGES, source.pages)
        slots = refresh_availability(context, self.availability)
        counts = progress.counts.all() | {Count.CALENDARS_FAILED: len(failed), Count.FREE_SLOTS: slots}
        if any(calendar.primary for calendar in failed):
            return Result(Outcome.DONE, Reason.CALENDAR_UNREADABLE, counts)
        is_partial = any(counts.get(count) for count in LEFT_OUT)
        return Result(Outcome.DONE, Reason.PARTIAL if is_partial else None, counts)

    def _sync_calendars(
        self,
        context: RunContext,
        source: CalendarSource,
        keeper: StoredAccessTokens,
        progress: _Progress,
        zone: ZoneInfo,
        *,
        selected: list[StoredCalendar],
    ) -> list[StoredCalendar]:
        """Sync what is unfinished and return the calendars that failed.

        Raises:
            TemporaryError: calendars failed temporarily, and either attempts remain or no calendar succeeded.
        """
        failed: list[StoredCalendar] = []
        temporary: TemporaryError | None = None
        for calendar in selected:
            if calendar.id in progress.finished:
                continue
            try:
                reading = self._read(context, source, calendar)
            except CalendarFailedError as error:
                if not progress.listed and error.reason in _LOST and error.reason is not calendar.error:
                    selected = self._update_list(context, source, keeper, progress)
                    return self._sync_calendars(context, source, keeper, progress, zone, selected=selected)
                if error.reason is CalendarError.NOT_FOUND and not calendar.primary:
                    self._deselect(context, calendar, progress)
                    continue
                failed.append(calendar)
                self._record_failure(context, calendar, error.reason, str(error))
            except TemporaryError as error:
                if error.wait_seconds is not None:
                    # A usage limit is the user's or the project's: the other calendars would exceed it too.
                    raise
                failed.append(calendar)
                temporary = error
                self._record_failure(context, calendar, CalendarError.UNAVAILABLE, str(error))
            else:
                self._store(context, calendar, reading, zone, progress)
        if temporary is not None and (not context.is_last_attempt or not progress.finished):
            raise temporary
        return failed

    def _update_list(
        self, context: RunContext, source: CalendarSource, keeper: StoredAccessTokens, progress: _Progress
    ) -> list[StoredCalendar]:
        entries = []
        for page in source.calendars():
            context.check_stop()
            entries += page
        listed = [entry for entry in entries if entry is not None]
        unreadable = len(entries) - len(listed)
        if unreadable:
            _log.warning("entries of the calendar list cannot be read, they are left out", entries=unreadable)
            progress.counts.add(Count.CALENDARS_UNREADABLE, unreadable)
        context.check_stop()
        stored, selected = self.calendars.update_list(
            context.subject, listed, complete=not unreadable, now=context.now(), fence=context.fence
        )
        if stored.calendars_gone:
            _log.warning("selected calendars are gone from the user's list", calendars=stored.calendars_gone)
        keeper.mark_listed()
        progress.add_stored(stored)
        progress.list_done()
        return selected

    def _read(self, context: RunContext, source: CalendarSource, calendar: StoredCalendar) -> Reading:
        """Read a calendar's changes, or all of it where a full sync is due."""
        how = choose_sync(
            calendar.state,
            params_hash=source.params_hash,
            spread_key=f"{context.subject}:{calendar.id}",
            now=context.now(),
            force_full=self.full,
        )
        try:
            return read_calendar(context, source, calendar, how)
        except SyncTokenExpiredError:
            _log.info("the sync token is no longer good, reading the calendar whole", calendar=calendar.id)
            return read_calendar(context, source, calendar, FullSync(full_window(context.now())))

    def _store(
        self, context: RunContext, calendar: StoredCalendar, reading: Reading, zone: ZoneInfo, progress: _Progress
    ) -> None:
        context.check_stop()
        stored = self.calendars.apply(
            calendar.id, reading.events, reading.how, zone, reading.state, now=context.now(), fence=context.fence
        )
        progress.counts.add(Count.CALENDARS, 1)
        unreadable = _report_unreadable(calendar, reading.events)
        if unreadable:
            progress.counts.add(Count.EVENTS_UNREADABLE, unreadable)
        progress.counts.add(Count.FULL_SYNCS if isinstance(reading.how, FullSync) else Count.INCREMENTAL_SYNCS, 1)
        progress.add_stored(stored)
        progress.calendar_done(calendar.id)

    def _deselect(self, context: RunContext, calendar: StoredCalendar, progress: _Progress) -> None:
        _log.warning("the user has lost access to a calendar, it is deselected", calendar=calendar.id)
        context.check_stop()
        progress.add_stored(
            self.calendars.deselect_lost(context.subject, calendar.id, now=context.now(), fence=context.fence)
        )

    def _record_failure(self, context: RunContext, calendar: StoredCalendar, reason: CalendarError, why: str) -> None:
        _log.warning("calendar failed, it keeps its last events", calendar=calendar.id, reason=reason.value, why=why)
        context.check_stop()
        self.calendars.record_failure(calendar.id, reason, fence=context.fence)


def _report_unreadable(calendar: StoredCalendar, received: Iterable[Received]) -> int:
    """Log what of a calendar cannot be read, and return how many events that is."""
    whys = Counter(event.why for event in received if isinstance(event, UnreadableEvent))
    for why, number in whys.items():
        _log.warning("events cannot be read, they are left out", calendar=calendar.id, events=number, why=why)
    return whys.total()


def _at_once() -> None:
    """Return at once: no other machine uses the quota."""


class _Progress:
    """What earlier passes of the run did, stored in the run's checkpoint; JSON values only."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self._checkpoint = checkpoint
        self.counts = Counts(checkpoint)

    @property
    def listed(self) -> bool:
        return bool(self._checkpoint.get(_LISTED))

    @property
    def finished(self) -> list[int]:
        finished: list[int] = self._checkpoint.get(_FINISHED, [])
        return finished

    def list_done(self) -> None:
        self._checkpoint[_LISTED] = True

    def calendar_done(self, calendar_id: int) -> None:
        self._checkpoint.setdefault(_FINISHED, []).append(calendar_id)

    def add_stored(self, stored: Stored) -> None:
        self.counts.add(Count.EVENTS_ADDED, stored.events_added)
        self.counts.add(Count.EVENTS_CHANGED, stored.events_changed)
        self.counts.add(Count.EVENTS_REMOVED, stored.events_removed)
        if stored.calendars_gone:
            self.counts.add(Count.CALENDARS_GONE, stored.calendars_gone)
        self.counts.add(Count.SUGGESTIONS_MOVED, stored.suggestions_moved)
        self.counts.add(Count.SUGGESTIONS_EXPIRED, stored.suggestions_expired)
