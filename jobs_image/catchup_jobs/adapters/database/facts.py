"""What suggestions are planned from, read for many users at once: the number of statements is a constant."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import and_, case, func, or_, select

from catchup_jobs.adapters.database.schema import (
    calendars,
    commute_windows,
    contact_groups,
    contact_tags,
    contacts,
    events,
    interactions,
    manual_blocks,
    oauth_tokens,
    suggestions,
    users,
)
from catchup_jobs.contract import Reason
from catchup_jobs.domain.availability import AvailabilityParameters, Interval, Night, WeeklyWindow, all_day
from catchup_jobs.domain.contacts import is_close_friend
from catchup_jobs.domain.overdue import REST_UNANSWERED, ContactFacts
from catchup_jobs.domain.shared_activity import EventFacts
from catchup_jobs.domain.suggestions import HORIZON, Source, Suggestion, UserFacts
from catchup_jobs.domain.vocabulary import ExpiryReason, SuggestionStatus, TokenState
from catchup_jobs.jobs.suggestion_ports import KnownUser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Select, Table

# A calendar that was not synced for longer must not look free.
FRESH: Final = timedelta(hours=24)
# Accepted suggestions count for the local date of their start, which may have begun two days ago somewhere.
_STILL_TODAY: Final = timedelta(days=2)
_LONGEST_REST: Final = timedelta(days=366)
# Of a longer description, so much is looked at for interests.
_DESCRIPTION: Final = 2000
# Unit separator: no tag or group holds it, since control characters are refused.
_SEPARATOR: Final = "\x1f"
_LIVE: Final = (SuggestionStatus.PENDING, SuggestionStatus.SNOOZED)
T = TypeVar("T")


def known_users(connection: Connection, user_ids: Sequence[str], now: datetime) -> list[KnownUser]:
    """Return what is stored of those users who still exist, in the order of their ids."""
    rows = connection.execute(_users(user_ids)).all()
    ids = [row.id for row in rows]
    if not ids:
        return []
    synced = _calendars(connection, ids)
    reasons = {row.id: _why_skipped(row, synced.get(row.id, []), now) for row in rows}
    live = _grouped((row.user_id, _suggestion(row)) for row in connection.execute(_live(ids, now)))
    has_open = {
        user_id for user_id, found in live.items() if any(one.status is not SuggestionStatus.ACCEPTED for one in found)
    }
    # Users for whom nothing can change cost nothing more.
    planned = [user_id for user_id in ids if reasons[user_id] is None or user_id in has_open]
    blocks, commutes = (_windows(connection, table, planned) for table in (manual_blocks, commute_windows))
    people = _contacts(connection, planned, now)
    zones = {row.id: _zone(row.time_zone) for row in rows}
    busy = _events(connection, {user_id: zone for user_id in planned if (zone := zones[user_id])}, now)
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
        calendars.c.last_full_sync_at,
        calendars.c.last_success_at,
        calendars.c.horizon_end,
    )
    statement = select(*columns).where(
        calendars.c.user_id.in_(ids), calendars.c.selected, calendars.c.removed_at.is_(None)
    )
    return _grouped((row.user_id, row) for row in connection.execute(statement))


# The user's time ---------------------------------------------------------------------------------------------------


def _windows(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, list[WeeklyWindow]]:
    statement = (
        select(table.c.user_id, table.c.weekday, table.c.start_time, table.c.end_time)
        .where(table.c.user_id.in_(ids))
        .order_by(table.c.user_id, table.c.weekday, table.c.start_time)
    )
    rows = connection.execute(statement) if ids else ()
    return _grouped((user_id, WeeklyWindow(weekday, start, end)) for user_id, weekday, start, end in rows)


def _night(start: Any, end: Any) -> Night | None:
    return None if start is None or start == end else Night(start, end)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _events(connection: Connection, zones: dict[str, ZoneInfo], now: datetime) -> dict[str, list[EventFacts]]:
    if not zones:
        return {}
    end = now + HORIZON
    timed = and_(events.c.start_at < end, events.c.end_at > now)
    # Dates are compared generously: the exact hours follow from the zone.
    day = timedelta(days=1)
    dated = and_(events.c.start_date <= (end + day).date(), events.c.end_date >= (now - day).date())
    statement = (
        select(
            calendars.c.user_id,
            events.c.calendar_id,
            events.c.google_id,
            events.c.start_at,
            events.c.end_at,
            events.c.start_date,
            events.c.end_date,
            events.c.summary,
            func.substr(events.c.description, 1, _DESCRIPTION),
            events.c.location,
            events.c.ical_uid,
        )
        .join(calendars, calendars.c.id == events.c.calendar_id)
        .where(
            calendars.c.user_id.in_(list(zones)),
            calendars.c.selected,
            calendars.c.removed_at.is_(None),
            events.c.busy,
            or_(timed, dated),
        )
    )
    return _grouped(_event_facts(connection.execute(statement), zones, now))


def _event_facts(rows: Iterable[Any], zones: dict[str, ZoneInfo], now: datetime) -> Iterator[tuple[str, EventFacts]]:
    for user_id, calendar_id, google_id, start, end, first, last, title, description, location, uid in rows:
        if start is None:
            when = all_day(first, last, zones[user_id])
            if when.end > now:
                yield user_id, EventFacts(calendar_id, google_id, when, title, description, location, uid, True)
        elif start < end:
            when = Interval(start, end)
            yield user_id, EventFacts(calendar_id, google_id, when, title, description, location, uid)


# Contacts ----------------------------------------------------------------------------------------------------------


def _contacts(connection: Connection, ids: Sequence[str], now: datetime) -> dict[str, list[ContactFacts]]:
    if not ids:
        return {}
    history = {row.contact_id: row for row in connection.execute(_history(ids, now))}
    found: dict[str, list[ContactFacts]] = {}
    for row in connection.execute(_people(ids, now)):
        past = history.get(row.id)
        met = [row.met_at] if past is None else [row.met_at, past.accepted_past]
        facts = ContactFacts(
            id=row.id,
            name=row.name,
            frequency=row.frequency,
            tags=tuple(row.tags.split(_SEPARATOR)) if row.tags else (),
            close_friend=row.groups is not None and is_close_friend(row.groups.split(_SEPARATOR)),
            city=row.city,
            created_at=row.created_at,
            last_contact_at=max((at for at in met if at is not None), default=None),
            accepted_until=None if past is None else past.accepted_until,
            dismissed_at=None if past is None else past.dismissed_at,
            unanswered_until=None if past is None else past.unanswered_until,
        )
        found.setdefault(row.user_id, []).append(facts)
    return found


def _people(ids: Sequence[str], now: datetime) -> Select[Any]:
    def listed(column: Any) -> Any:
        of_contact = column.table.c.contact_id == contacts.c.id
        return select(func.aggregate_strings(column, _SEPARATOR)).where(of_contact).scalar_subquery()

    met_at = (
        select(func.max(interactions.c.occurred_at))
        .where(interactions.c.contact_id == contacts.c.id, interactions.c.occurred_at <= now)
        .scalar_subquery()
    )
    return select(
        contacts.c.user_id,
        contacts.c.id,
        contacts.c.name,
        contacts.c.frequency,
        contacts.c.city,
        contacts.c.created_at,
        listed(contact_tags.c.tag).label("tags"),
        listed(contact_groups.c.name).label("groups"),
        met_at.label("met_at"),
    ).where(contacts.c.user_id.in_(ids), contacts.c.excluded.is_(False), contacts.c.archived.is_(False))


def _history(ids: Sequence[str], now: datetime) -> Select[Any]:
    """Select what earlier suggestions mean for their contacts, one row for each."""
    accepted = suggestions.c.status == SuggestionStatus.ACCEPTED
    dismissed = suggestions.c.status == SuggestionStatus.DISMISSED
    unanswered = and_(
        suggestions.c.status == SuggestionStatus.EXPIRED,
        suggestions.c.expiry_reason == ExpiryReason.PASSED,
        suggestions.c.delivered_at.is_not(None),
        suggestions.c.end_at > now - REST_UNANSWERED,
    )

    def latest(condition: Any, column: Any) -> Any:
        return func.max(case((condition, column)))

    return (
        select(
            suggestions.c.contact_id,
            latest(accepted, suggestions.c.end_at).label("accepted_until"),
            latest(and_(accepted, suggestions.c.end_at <= now), suggestions.c.end_at).label("accepted_past"),
            latest(dismissed, suggestions.c.answered_at).label("dismissed_at"),
            latest(unanswered, suggestions.c.end_at).label("unanswered_until"),
        )
        .where(
            suggestions.c.user_id.in_(ids),
            or_(accepted, and_(dismissed, suggestions.c.answered_at > now - _LONGEST_REST), unanswered),
        )
        .group_by(suggestions.c.contact_id)
    )


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
        version=row.version,
    )


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
