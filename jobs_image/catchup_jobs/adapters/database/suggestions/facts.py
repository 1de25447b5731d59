"""What suggestions are planned from, read for many users at once in a constant number of statements."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import and_, func, or_, select
from sqlalchemy.exc import DataError

from catchup_jobs.adapters.database.availability.busy import IS_SELECTED, busy_events, covered_time
from catchup_jobs.adapters.database.people.hours import hours_of, zone_of
from catchup_jobs.adapters.database.schema import calendars, events, oauth_tokens, suggestions, users
from catchup_jobs.adapters.database.suggestions.bounded import bounded_rows
from catchup_jobs.adapters.database.suggestions.contact_facts import contact_facts
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval
from catchup_jobs.domain.calendar.freshness import SyncedCalendar, known_until
from catchup_jobs.domain.planning.eligibility import reason_to_skip
from catchup_jobs.domain.planning.event_facts import EventFacts
from catchup_jobs.domain.planning.suggestions import HORIZON, Source, Suggestion, UserFacts
from catchup_jobs.domain.stored_enums import OPEN_SUGGESTIONS, SuggestionStatus, TokenState
from catchup_jobs.jobs.suggestions.ports import TOO_MUCH, UNREADABLE, KnownUser, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection, Select

# An accepted suggestion counts for the local date of its start, which may have begun two days ago in some zone.
_STILL_TODAY: Final = timedelta(days=2)
"""How long after its end an accepted suggestion is read, since it may be one of the local date of now."""
_DESCRIPTION_LENGTH: Final = 2000
"""Characters of an event's description that are searched for interests."""
_LINE_LENGTH: Final = 500
"""Characters of an event's title and location that are searched for interests."""
# Under the limits on the parameters of one statement, which names each of them twice.
_CALENDARS: Final = 10_000
T = TypeVar("T")


def known_users(connection: Connection, user_ids: Sequence[str], now: datetime) -> list[KnownUser]:
    """Return what is stored of those users who still exist, in the order of their ids.

    A value that cannot be loaded (`infinity`, the year 20000, an enum value of a newer version) leaves its user alone
    without facts, and so does a user with more than `MOST_ROWS` rows of a kind.

    Raises:
        TooMuchError: several users have more rows of a kind together.
    """
    try:
        return _known_users(connection, user_ids, now)
    except TooMuchError:
        if len(user_ids) == 1:
            return [KnownUser(user_ids[0], None, version=0, problem=TOO_MUCH)]
        raise
    except (DataError, ValueError, LookupError):
        if len(user_ids) == 1:
            return [KnownUser(user_ids[0], None, version=0, problem=UNREADABLE)]
    return [user for user_id in user_ids for user in known_users(connection, [user_id], now)]


def _known_users(connection: Connection, user_ids: Sequence[str], now: datetime) -> list[KnownUser]:
    rows = connection.execute(_users(user_ids)).all()
    ids = [row.id for row in rows]
    if not ids:
        return []
    synced = _calendars(connection, ids)
    known = {row.id: known_until(synced.get(row.id, ()), now) for row in rows}
    reasons = {row.id: reason_to_skip(paused=row.paused, token=row.token, known_until=known[row.id]) for row in rows}
    current = _grouped((row.user_id, _suggestion(row)) for row in bounded_rows(connection, _current(ids, now)))
    has_open = {
        user_id
        for user_id, of_user in current.items()
        if any(suggestion.status in OPEN_SUGGESTIONS for suggestion in of_user)
    }
    # Users for whom nothing can change cost nothing more.
    planned = [row for row in rows if reasons[row.id] is None or row.id in has_open]
    zones = {row.id: zone_of(row.time_zone) for row in rows}
    hours = hours_of(connection, planned)
    people = contact_facts(connection, [row.id for row in planned], now)
    busy = _events(connection, synced, {row.id: zone for row in planned if (zone := zones[row.id])}, now)

    def facts_of(row: Any) -> UserFacts | None:
        zone = zones[row.id]
        if zone is None:
            return None
        return UserFacts(
            user_id=row.id,
            zone=zone,
            parameters=hours.get(row.id) or AvailabilityParameters(),
            city=row.city,
            paused=row.paused,
            contacts=tuple(people.get(row.id, ())),
            events=tuple(busy.get(row.id, ())),
            suggestions=tuple(current.get(row.id, ())),
            known_until=known[row.id] if row.token is TokenState.ACTIVE else None,
        )

    return [KnownUser(row.id, facts_of(row), row.planning_version, reasons[row.id], row.id in has_open) for row in rows]


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


def _calendars(connection: Connection, ids: Sequence[str]) -> dict[str, list[SyncedCalendar]]:
    columns = (
        calendars.c.user_id,
        calendars.c.id,
        calendars.c.is_primary,
        calendars.c.last_error,
        calendars.c.last_full_sync_at,
        calendars.c.last_success_at,
        calendars.c.horizon_end,
    )
    statement = select(*columns).where(calendars.c.user_id.in_(ids), IS_SELECTED)
    return _grouped((user_id, SyncedCalendar(*state)) for user_id, *state in bounded_rows(connection, statement))


def _events(
    connection: Connection, synced: dict[str, list[SyncedCalendar]], zones: dict[str, ZoneInfo], now: datetime
) -> dict[str, list[EventFacts]]:
    owners = {calendar.id: user_id for user_id in zones for calendar in synced.get(user_id, ())}
    if not owners:
        return {}
    details = (
        events.c.google_id,
        func.substr(events.c.summary, 1, _LINE_LENGTH).label("summary"),
        func.substr(events.c.description, 1, _DESCRIPTION_LENGTH).label("description"),
        func.substr(events.c.location, 1, _LINE_LENGTH).label("location"),
        events.c.ical_uid,
        events.c.event_type,
        events.c.has_conference,
    )
    ids = list(owners)
    rows = [
        row
        for first in range(0, len(ids), _CALENDARS)
        for row in bounded_rows(
            connection, busy_events(ids[first : first + _CALENDARS], *details, start=now, end=now + HORIZON)
        )
    ]
    facts: dict[str, list[EventFacts]] = defaultdict(list)
    for calendar_id, start, end, first_day, last_day, google_id, title, text, location, uid, kind, call in rows:
        user_id = owners[calendar_id]
        when = covered_time(start, end, first_day, last_day, zones[user_id])
        if when is not None and when.end > now:
            facts[user_id].append(
                EventFacts(calendar_id, google_id, when, title, text, location, uid, start is None, kind, call)
            )
    return facts


def _current(ids: Sequence[str], now: datetime) -> Select[Any]:
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
    ).where(suggestions.c.user_id.in_(ids), or_(suggestions.c.status.in_(OPEN_SUGGESTIONS), recent))


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
