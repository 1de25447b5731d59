"""A user whose facts tests build by a few words, in the zone of the tests, on a Monday noon."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval
from catchup_jobs.domain.planning.contact_clocks import ContactClocks
from catchup_jobs.domain.planning.event_facts import EventFacts
from catchup_jobs.domain.planning.options import PlanningOptions, Strategy
from catchup_jobs.domain.planning.overdue import ContactFacts
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import Created, Plan, Source, Suggestion, UserFacts
from catchup_jobs.domain.stored_enums import Frequency, Mode, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

BERLIN = ZoneInfo("Europe/Berlin")
# A Monday noon in Berlin.
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
ALL_DAY_LONG = AvailabilityParameters()
# What holds for both strategies is told by the simpler one.
EARLIEST = PlanningOptions(Strategy.EARLIEST)
_ids = itertools.count(1000)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """Return the instant of a local time such as `2026-11-24 10:00`, or `24 10:00` for November."""
    full = text if len(text) > len("24 10:00") else f"2026-11-{text}"
    return datetime.fromisoformat(full).replace(tzinfo=zone).astimezone(UTC)


def span(start: str, end: str, zone: ZoneInfo = BERLIN) -> Interval:
    """Return the time from `24 10:00` to `12:00` of the same day."""
    return Interval(at(start, zone), at(f"{start[: -len('00:00')]}{end}", zone))


def shown(when: Interval, zone: ZoneInfo = BERLIN) -> str:
    return f"{when.start.astimezone(zone):%a %d %H:%M}-{when.end.astimezone(zone):%H:%M}"


def contact(number: int = 1, days: float | None = 42, *, now: datetime = NOW, **named: Any) -> ContactFacts:
    """Return a contact not seen for so many days; None: never."""
    values: dict[str, Any] = {
        "id": number,
        "name": f"Name {number}",
        "frequency": Frequency.MONTHLY,
        "tags": (),
        "close_friend": False,
        "city": None,
        "created_at": now - timedelta(days=1000),
        "last_contact_at": None if days is None else now - timedelta(days=days),
    }
    return ContactFacts(**values | named)


def event(when: Interval, event_id: str | None = None, title: str | None = "Busy", **named: Any) -> EventFacts:
    return EventFacts(1, event_id or f"e{next(_ids)}", when, title, **named)


def suggestion(
    when: Interval,
    number: int = 1,
    status: SuggestionStatus = SuggestionStatus.PENDING,
    *,
    of: EventFacts | None = None,
    **named: Any,
) -> Suggestion:
    """Return a stored suggestion of contact `number`, about an event if one is given."""
    values: dict[str, Any] = {
        "id": next(_ids),
        "contact_id": number,
        "trigger": Trigger.TIME_BOUND if of is None else Trigger.SHARED_ACTIVITY,
        "status": status,
        "when": when,
        "created_at": NOW - timedelta(days=2),
        "source": None if of is None else Source(of.calendar_id, of.event_id),
    }
    return Suggestion(**values | named)


def user(
    contacts: Iterable[ContactFacts] = (),
    events: Iterable[EventFacts] = (),
    suggestions: Iterable[Suggestion] = (),
    **named: Any,
) -> UserFacts:
    values: dict[str, Any] = {
        "user_id": "ada",
        "zone": BERLIN,
        "parameters": ALL_DAY_LONG,
        "known_until": NOW + timedelta(days=40),
    }
    return UserFacts(contacts=tuple(contacts), events=tuple(events), suggestions=tuple(suggestions), **values | named)


def clocks(options: PlanningOptions = EARLIEST) -> ContactClocks:
    return ContactClocks(options, BERLIN, "Berlin", now=NOW, until=NOW + timedelta(days=14))


def created(facts: UserFacts, now: datetime = NOW, options: PlanningOptions = EARLIEST) -> list[Created]:
    return plan(facts, now=now, options=options).created


def slots(facts: UserFacts, now: datetime = NOW, options: PlanningOptions = EARLIEST) -> list[str]:
    """Return contact and time of each new suggestion, as `1 Mon 23 14:00-16:00`."""
    return [f"{one.contact_id} {shown(one.when, facts.zone)}" for one in created(facts, now, options)]


def changes(made: Plan) -> dict[int, str]:
    """Return what becomes of existing suggestions, by id: their new time, or why they expired."""
    moved = {one.suggestion.id: shown(one.when) for one in made.moved}
    return moved | {one.suggestion.id: one.reason.value for one in made.expired}


def applied(facts: UserFacts, made: Plan, now: datetime = NOW) -> UserFacts:
    """Return the facts after a plan was stored, as the database would tell them."""
    over = {one.suggestion.id: one.reason for one in made.expired}
    moved = {one.suggestion.id: one for one in made.moved}
    reworded = {one.suggestion.id: one.reasoning for one in made.reworded}
    kept = []
    unanswered: dict[int, datetime] = {}
    for one in facts.suggestions:
        if one.id in over:
            if over[one.id] == "passed" and one.delivered_at is not None:
                unanswered[one.contact_id] = one.when.end
        elif one.id in moved:
            pending = SuggestionStatus.PENDING
            change = moved[one.id]
            text = change.reasoning or one.reasoning
            kept.append(
                replace(one, when=change.when, status=pending, snoozed_until=None, delivered_at=None, reasoning=text)
            )
        else:
            kept.append(replace(one, reasoning=reworded.get(one.id, one.reasoning)))
    new = [
        Suggestion(
            next(_ids),
            one.contact_id,
            one.trigger,
            SuggestionStatus.PENDING,
            one.when,
            now,
            source=None if one.source is None else Source(one.source.calendar_id, one.source.event_id),
            reasoning=one.reasoning,
        )
        for one in made.created
    ]
    contacts = tuple(
        replace(one, unanswered_until=unanswered.get(one.id, one.unanswered_until)) for one in facts.contacts
    )
    return replace(facts, contacts=contacts, suggestions=(*kept, *new))


def modes(facts: UserFacts) -> list[tuple[Mode, float]]:
    """Return mode and length in hours of each new suggestion."""
    return [(one.mode, (one.when.end - one.when.start) / timedelta(hours=1)) for one in created(facts)]
