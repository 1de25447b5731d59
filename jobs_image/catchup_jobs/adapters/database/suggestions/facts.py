"""What suggestions are planned from, read for many users at once: the number of statements is a constant."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import and_, func, or_, select, union_all
from sqlalchemy.exc import DataError

from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.schema import (
    calendars,
    commute_windows,
    events,
    manual_blocks,
    oauth_tokens,
    suggestions,
    users,
)
from catchup_jobs.adapters.database.suggestions.contact_facts import contact_facts
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval, Night, WeeklyWindow, all_day
from catchup_jobs.domain.planning.shared_activity import EventFacts
from catchup_jobs.domain.planning.suggestions import HORIZON, Source, Suggestion, UserFacts
from catchup_jobs.domain.vocabulary import SuggestionStatus, TokenState
from catchup_jobs.jobs.suggestions.ports import KnownUser

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Select, Table

# A calendar that was not synced for longer must not look free.
FRESH: Final = timedelta(hours=24)
# Accepted suggestions count for the local date of their start, which may have begun two days ago somewhere.
_STILL_TODAY: Final = timedelta(days=2)
# Of a longer description, so much is looked at for interests.
_DESCRIPTION: Final = 2000
_LIVE: Final = (SuggestionStatus.PENDING, SuggestionStatus.SNOOZED)
T = TypeVar("T")


def known_users(connection: Connection, user_ids: Sequence[str], now: datetime) -> list[KnownUser]:
    """Return what is stored of those users who still exist, in the order of their ids.

    A value that cannot be loaded (`infinity`, the year 20000, a newer version's word) makes its user one without
    facts, nobody else.
    """
    try:
        return _known_users(connection, user_ids, now)
    except (DataError, ValueError, LookupError):
        if len(user_ids) == 1:
            return [KnownUser(user_ids[0], None, version=0, skipped=None, has_open=False)]
    return [user for user_id in user_ids for user in known_users(connection, [user_id], now)]


def _known_users(connection: Connection, user_ids: Sequence[str], now: datetime) -> list[KnownUser]:
    rows = connection.execute(_users(user_ids)).all()
    ids = [row.id for row in rows]
    if not ids:
        return []
    synced = _calendars(connection, ids)
    reasons = {row.id: _why_skipped(row, synced.get(row.id, []), now) for row in rows}
    live = _grouped((row.user_id, _suggestion(row)) for row in connection.execute(_live(ids, now)).all())
    has_open = {
        user_id for user_id, found in live.items() if any(one.status is not SuggestionStatus.ACCEPTED for one in found)
    }
    # Users for whom nothing can change cost nothing more.
    planned = [user_id for user_id in ids if reasons[user_id] is None or user_id in has_open]
    blocks, commutes = (_windows(connection, table, planned) for table in (manual_blocks, commute_windows))
    people = contact_facts(connection, planned, now)
    zones = {row.id: _zone(row.time_zone) for row in rows}
    local = {user_id: zone for user_id in planned if (zone := zones[user_id])}
    busy = _events(connection, synced, local, now)
    found = []
    for row in rows:
        zone = zones[row.id]
        facts = None
        if zone is not None:
            facts = UserFacts(
                user_id=row.id,
                zone=zone,
                parameters=AvailabilityParameters(
                    blocks=tuple(blocks.get(row.id, ())),
                    commutes=tuple(commutes.get(row.id, ())),
                    night=_night(row.night_start, row.night_end),
                ),
                city=row.city,
                paused=row.paused,
                contacts=tuple(people.get(row.id, ())),
                events=tuple(busy.get(row.id, ())),
                suggestions=tuple(live.get(row.id, ())),
                known_until=_known_until(synced.get(row.id, []), now) if _is_active(row) else None,
            )
        found.append(KnownUser(row.id, facts, row.planning_version, reasons[row.id], row.id in has_open))
    return found


def _users(user_ids: Sequence[str]) -> Select[Any]:
    columns = (
        users.c.id,
        users.c.time_zone,
        users.c.city,
        users.c.paused,
        users.c.night_start,
        users.c.night_end,
        users.c.planning_version,
        oauth_tokens.c.state.label("token"),
    )
    return (
        select(*columns)
        .outerjoin(oauth_tokens, oauth_tokens.c.user_id == users.c.id)
        .where(users.c.id.in_(user_ids))
        .order_by(users.c.id)
    )


# Whether a user may get suggestions --------------------------------------------------------------------------------


def _is_active(row: Any) -> bool:
    return row.token is TokenState.ACTIVE


def _why_skipped(row: Any, synced: Sequence[Any], now: datetime) -> Reason | None:
    if row.paused:
        return Reason.PAUSED
    if row.token is None:
        return Reason.NOT_CONNECTED
    if not _is_active(row):
        return Reason.RECONNECT
    return Reason.CALENDAR_STALE if _known_until(synced, now) is None else None


def _known_until(synced: Sequence[Any], now: datetime) -> datetime | None:
    """Return how far every selected calendar was read, None if one was not, or not within the last 24 hours."""
    horizons = []
    for calendar in synced:
        if calendar.last_full_sync_at is None or calendar.horizon_end is None:
            return None
        if calendar.last_success_at is None or calendar.last_success_at < now - FRESH:
            return None
        horizons.append(calendar.horizon_end)
    return min(horizons, default=None)


def _calendars(connection: Connection, ids: Sequence[str]) -> dict[str, list[Any]]:
    columns = (
        calendars.c.user_id,
        calendars.c.id,
        calendars.c.last_full_sync_at,
        calendars.c.last_success_at,
        calendars.c.horizon_end,
    )
    statement = select(*columns).where(
        calendars.c.user_id.in_(ids), calendars.c.selected, calendars.c.removed_at.is_(None)
    )
    return _grouped((row.user_id, row) for row in connection.execute(statement).all())


# The user's time ---------------------------------------------------------------------------------------------------


def _windows(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, list[WeeklyWindow]]:
    statement = (
        select(table.c.user_id, table.c.weekday, table.c.start_time, table.c.end_time)
        .where(table.c.user_id.in_(ids))
        .order_by(table.c.user_id, table.c.weekday, table.c.start_time)
    )
    rows = connection.execute(statement).all() if ids else ()
    return _grouped((user_id, WeeklyWindow(weekday, start, end)) for user_id, weekday, start, end in rows)


def _night(start: Any, end: Any) -> Night | None:
    return None if start is None or start == end else Night(start, end)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _events(
    connection: Connection, synced: dict[str, list[Any]], zones: dict[str, ZoneInfo], now: datetime
) -> dict[str, list[EventFacts]]:
    owners = {calendar.id: user_id for user_id in zones for calendar in synced.get(user_id, ())}
    if not owners:
        return {}
    end, day = now + HORIZON, timedelta(days=1)
    timed = (events.c.start_at < end, events.c.end_at > now)
    # Dates are compared generously: the exact hours follow from the zone.
    dated = (
        events.c.start_at.is_(None),
        events.c.start_date <= (end + day).date(),
        events.c.end_date >= (now - day).date(),
    )
    # Two halves, so that each finds its rows by the index of calendar and start.
    statement = union_all(_busy(owners).where(*timed), _busy(owners).where(*dated))
    found: dict[str, list[EventFacts]] = defaultdict(list)
    for calendar_id, google_id, start, until, first, last, title, text, location, uid in connection.execute(
        statement
    ).all():
        user_id = owners[calendar_id]
        if start is None:
            when = all_day(first, last, zones[user_id])
            if when.end > now:
                facts = EventFacts(calendar_id, google_id, when, title, text, location, uid, all_day=True)
                found[user_id].append(facts)
        elif start < until:
            when = Interval(start, until)
            found[user_id].append(EventFacts(calendar_id, google_id, when, title, text, location, uid))
    return found


def _busy(calendar_ids: Iterable[int]) -> Select[Any]:
    return select(
        events.c.calendar_id,
        events.c.google_id,
        events.c.start_at,
        events.c.end_at,
        events.c.start_date,
        events.c.end_date,
        events.c.summary,
        func.substr(events.c.description, 1, _DESCRIPTION).label("description"),
        events.c.location,
        events.c.ical_uid,
    ).where(events.c.calendar_id.in_(list(calendar_ids)), events.c.busy)


# Suggestions -------------------------------------------------------------------------------------------------------


def _live(ids: Sequence[str], now: datetime) -> Select[Any]:
    recent = and_(suggestions.c.status == SuggestionStatus.ACCEPTED, suggestions.c.end_at > now - _STILL_TODAY)
    return select(
        suggestions.c.user_id,
        suggestions.c.id,
        suggestions.c.contact_id,
        suggestions.c.trigger,
        suggestions.c.status,
        suggestions.c.start_at,
        suggestions.c.end_at,
        suggestions.c.created_at,
        suggestions.c.source_calendar_id,
        suggestions.c.source_event_id,
        suggestions.c.booked_event_id,
        suggestions.c.snoozed_until,
        suggestions.c.delivered_at,
        suggestions.c.reasoning,
        suggestions.c.version,
    ).where(suggestions.c.user_id.in_(ids), or_(suggestions.c.status.in_(_LIVE), recent))


def _suggestion(row: Any) -> Suggestion:
    has_source = row.source_event_id is not None
    return Suggestion(
        id=row.id,
        contact_id=row.contact_id,
        trigger=row.trigger,
        status=row.status,
        when=Interval(row.start_at, row.end_at),
        created_at=row.created_at,
        source=Source(row.source_calendar_id, row.source_event_id) if has_source else None,
        booked_event_id=row.booked_event_id,
        snoozed_until=row.snoozed_until,
        delivered_at=row.delivered_at,
        reasoning=row.reasoning,
        version=row.version,
    )


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
