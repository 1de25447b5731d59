"""Which of the times that fit is proposed, and what the clock of the contact allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from unit.jobs.domain.planning_world import (
    EARLIEST,
    NOW,
    applied,
    at,
    contact,
    created,
    event,
    modes,
    shown,
    slots,
    span,
    suggestion,
    user,
)
from unit.jobs.domain.test_planning_properties import Case, cases

from catchup_contract.local_time import local_date
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval, WeeklyWindow, overlaps
from catchup_jobs.domain.planning.agenda import PREFERRED
from catchup_jobs.domain.planning.diary import DURATIONS, LEAD, MAX_PER_DATE, next_half_hour
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions
from catchup_jobs.domain.planning.overdue import is_overdue, is_resting, rank, threshold
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import HORIZON, MAX_OPEN
from catchup_jobs.domain.stored_enums import Frequency, Mode, SuggestionStatus, Trigger, Weekday

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.planning.suggestions import Suggestion, UserFacts

AUCKLAND, NEW_YORK, LONDON = ZoneInfo("Pacific/Auckland"), ZoneInfo("America/New_York"), ZoneInfo("Europe/London")
HALF_HOUR = timedelta(minutes=30)
WEEK = timedelta(days=7)


def proposed(facts: UserFacts, options: PlanningOptions = DEFAULT_OPTIONS) -> list[str]:
    return slots(facts, options=options)


def people(count: int, **named: Any) -> list[Any]:
    return [contact(number, 100 - number, **named) for number in range(1, count + 1)]


# Which time ----------------------------------------------------------------------------------------------------------


def test_suggestions_are_spread_over_the_dates_in_the_evening_and_at_weekends() -> None:
    assert proposed(user(people(8))) == [
        "1 Mon 23 17:00-18:00",
        "2 Tue 24 17:00-18:00",
        "3 Wed 25 17:00-18:00",
        "4 Thu 26 17:00-18:00",
        "5 Fri 27 17:00-18:00",
        "6 Sat 28 10:00-11:00",
        "7 Sun 29 10:00-11:00",
        "8 Mon 30 17:00-18:00",
    ]


def test_the_contact_who_comes_first_gets_the_best_time() -> None:
    """The order of contacts is kept; the second on a date comes when each date has one, half an hour apart."""
    found = proposed(user(people(16), known_until=at("30 12:00")))
    assert found[:2] == ["1 Mon 23 17:00-18:00", "2 Tue 24 17:00-18:00"]
    assert found[7:10] == ["8 Mon 30 09:00-10:00", "9 Mon 23 18:30-19:30", "10 Tue 24 18:30-19:30"]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], "Mon 23 17:00-18:00"),
        # Half an hour to what is before, and to what follows.
        (["15:00 17:00"], "Mon 23 17:30-18:30"),
        (["15:00 16:30"], "Mon 23 17:00-18:00"),
        (["18:00 19:00"], "Mon 23 19:30-20:30"),
        # Close to something, within the preferred hours: before an hour at work.
        (["15:00 17:00", "18:00 21:00"], "Mon 23 17:00-18:00"),
        # At work, but not close, before at work and close.
        (["16:00 21:00"], "Mon 23 14:00-15:00"),
        (["14:00 14:15", "16:00 21:00"], "Mon 23 14:30-15:30"),
    ],
)
def test_within_a_date_preferred_hours_come_first_then_what_is_not_close_then_the_earliest(
    busy: list[str], expected: str
) -> None:
    events = [event(span(f"23 {text.split()[0]}", text.split()[1])) for text in busy]
    facts = user(people(1), events, known_until=at("23 21:00"))
    assert proposed(facts) == [f"1 {expected}"]


def test_a_preferred_hour_on_another_date_comes_before_one_at_work_today() -> None:
    facts = user(people(1), [event(span("23 16:00", "21:00"))])
    assert proposed(facts) == ["1 Tue 24 17:00-18:00"]


def test_a_date_with_fewer_suggestions_comes_before_better_hours() -> None:
    there = suggestion(span("24 18:00", "19:00"), 9)
    facts = user([*people(1), contact(9, 40)], [event(span("23 16:00", "21:00"))], [there], known_until=at("24 21:00"))
    assert proposed(facts) == ["1 Mon 23 14:00-15:00"]


def test_the_users_own_preferred_hours_count_within_the_open_hours() -> None:
    mornings = tuple(WeeklyWindow(day, time(7), time(10)) for day in Weekday)
    facts = user(people(2), parameters=AvailabilityParameters(preferred=mornings))
    assert proposed(facts) == ["1 Tue 24 09:00-10:00", "2 Wed 25 09:00-10:00"]


@pytest.mark.parametrize("frequency", [Frequency.DAILY, Frequency.WEEKLY])
def test_an_aim_of_a_week_or_less_stays_within_the_next_7_days(frequency: Frequency) -> None:
    full = [event(Interval(at("23 13:00"), at("30 12:00")))]
    often = contact(1, 42, frequency=frequency)
    assert proposed(user([often], full)) == []
    assert proposed(user([often], [event(Interval(at("23 13:00"), at("30 11:00")))])) == ["1 Mon 30 11:00-12:00"]
    assert proposed(user([replace(often, frequency=Frequency.BIWEEKLY)], full)) == ["1 Mon 30 17:00-18:00"]


def test_the_earliest_time_is_there_to_be_chosen() -> None:
    assert proposed(user(people(4)), EARLIEST) == [
        "1 Mon 23 14:00-15:00",
        "2 Mon 23 15:00-16:00",
        "3 Mon 23 16:00-17:00",
        "4 Tue 24 09:00-10:00",
    ]


def test_open_suggestions_stay_where_they_are() -> None:
    there = suggestion(span("24 09:00", "10:00"))
    assert not plan(user([contact()], suggestions=[there]), now=NOW)


def test_what_clashes_moves_by_the_same_rule() -> None:
    there = suggestion(span("24 09:00", "10:00"))
    made = plan(user([contact()], [event(span("24 09:00", "10:00"))], [there]), now=NOW)
    assert [shown(one.when) for one in made.moved] == ["Mon 23 17:00-18:00"]


# The contact's clock -------------------------------------------------------------------------------------------------


def test_nobody_is_called_outside_of_the_contact_hours_of_their_clock() -> None:
    # Auckland is 12 hours ahead: 09:00 to 21:00 in Berlin is 21:00 to 09:00 there.
    (made,) = created(user([contact(zone=AUCKLAND)]), options=DEFAULT_OPTIONS)
    assert shown(made.when) == "Mon 23 20:00-20:30"
    assert shown(made.when, AUCKLAND) == "Tue 24 08:00-08:30"


@pytest.mark.parametrize("options", [DEFAULT_OPTIONS, EARLIEST])
def test_without_a_common_hour_there_is_no_call(options: PlanningOptions) -> None:
    mornings = AvailabilityParameters(tuple(WeeklyWindow(day, time(9), time(13)) for day in Weekday))
    assert created(user([contact(zone=NEW_YORK)], parameters=mornings), options=options) == []
    later = replace(options, contact_from=time(6))
    assert [
        shown(one.when, NEW_YORK)[-11:]
        for one in created(user([contact(zone=NEW_YORK)], parameters=mornings), options=later)
    ] == ["06:00-06:30"]


@pytest.mark.parametrize(
    ("zone", "tags", "city", "expected"),
    [
        (None, ("IRL preferred",), None, Mode.IN_PERSON),
        ("Europe/Berlin", ("IRL preferred",), None, Mode.IN_PERSON),
        ("Europe/Paris", ("IRL preferred",), "Paris", Mode.IN_PERSON),
        ("Pacific/Auckland", ("IRL preferred",), "Auckland", Mode.CALL),
        ("Pacific/Auckland", (), None, Mode.CALL),
        # The same clock in winter only.
        ("Africa/Lagos", ("IRL preferred",), None, Mode.CALL),
        # Whoever lives in the user's city is there, whatever zone was noted once.
        ("Pacific/Auckland", ("IRL preferred",), "berlin", Mode.IN_PERSON),
    ],
)
def test_nobody_in_auckland_meets_a_berliner(
    zone: str | None, tags: tuple[str, ...], city: str | None, expected: Mode
) -> None:
    far = contact(zone=None if zone is None else ZoneInfo(zone), tags=tags, city=city)
    assert [mode for mode, _ in modes(user([far], city="Berlin"))] == [expected]


@pytest.mark.parametrize(
    ("values", "zone", "city", "expected"),
    [
        ({}, None, None, Mode.IN_PERSON),
        ({"location": "Room 5"}, None, None, Mode.IN_PERSON),
        ({"location": "Room 5; Microsoft Teams Meeting"}, None, None, Mode.IN_PERSON),
        ({"location": "Room 5", "has_conference": True}, None, None, Mode.IN_PERSON),
        ({"location": "Meet at the fountain"}, None, None, Mode.IN_PERSON),
        ({"location": "Microsoft Teams Meeting"}, None, None, Mode.CALL),
        ({"location": "Microsoft Teams-Besprechung"}, None, None, Mode.CALL),
        ({"location": "Réunion Microsoft Teams"}, None, None, Mode.CALL),
        ({"location": "Microsoft Teams Meeting; https://teams.microsoft.com/l/x"}, None, None, Mode.CALL),
        ({"location": "Google Meet"}, None, None, Mode.CALL),
        ({"location": "Zoom (link follows)"}, None, None, Mode.CALL),
        ({"location": "https://us02web.zoom.us/j/1"}, None, None, Mode.CALL),
        ({"has_conference": True}, None, None, Mode.CALL),
        ({"description": "chess\nJoin: https://us02web.zoom.us/j/123?pwd=x"}, None, None, Mode.CALL),
        ({"description": "chess\nJoin: https://meet.google.com/abc-defg-hij"}, None, None, Mode.CALL),
        ({"title": "Chess: Zoom call"}, None, None, Mode.CALL),
        ({"title": "Chess with a zoom lens"}, None, None, Mode.IN_PERSON),
        # Who is far comes to no place but their own, and is called in the contact hours.
        ({}, "Pacific/Auckland", "Auckland", None),
        ({"location": "Chess club, Auckland"}, "Pacific/Auckland", "Auckland", Mode.IN_PERSON),
        ({"location": "Google Meet"}, "Pacific/Auckland", "Auckland", None),
        ({"location": "Google Meet"}, "Europe/London", "London", Mode.CALL),
    ],
)
def test_events_are_calls_or_in_person_and_respect_the_contact(
    values: dict[str, Any], zone: str | None, city: str | None, expected: Mode | None
) -> None:
    """The event is at 18:00 in Berlin, 06:00 in Auckland."""
    one = contact(days=10, tags=("chess",), zone=None if zone is None else ZoneInfo(zone), city=city)
    happening = event(span("25 18:00", "19:00"), "e", **{"title": "Chess", **values})
    made = created(user([one], [happening], city="Berlin"), options=DEFAULT_OPTIONS)
    assert [entry.mode for entry in made] == ([] if expected is None else [expected])


# `eventType` of the event resource in Google's discovery document.
GOOGLE_TYPES = {
    "default": True,
    "birthday": False,
    "focusTime": False,
    "fromGmail": False,
    "outOfOffice": False,
    "workingLocation": False,
}


@pytest.mark.parametrize(("event_type", "shared"), [*GOOGLE_TYPES.items(), (None, True), ("somethingNew", False)])
def test_only_events_that_people_make_to_meet_are_shared_activities_and_all_block(
    event_type: str | None, shared: bool
) -> None:
    happening = event(span("23 12:00", "21:00"), "e", "Chess", event_type=event_type)
    later = replace(happening, when=span("24 18:00", "19:00"))
    one = contact(days=10, tags=("chess",))
    assert bool(created(user([one], [later]), options=DEFAULT_OPTIONS)) is shared
    assert proposed(user(people(1), [happening], known_until=at("23 21:00"))) == []


def test_the_types_are_those_of_googles_discovery_document() -> None:
    import json  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import googleapiclient  # noqa: PLC0415

    path = Path(googleapiclient.__file__).parent / "discovery_cache/documents/calendar.v3.json"
    document = json.loads(path.read_text())
    told = document["schemas"]["Event"]["properties"]["eventType"]["description"]
    assert all(f'"{name}"' in told for name in GOOGLE_TYPES)


# Beside it, the rule by its words: every time that fits, and the least of them --------------------------------------


def fits(facts: UserFacts, now: datetime, taken: list[Interval]) -> list[Any]:
    from catchup_jobs.domain.calendar.availability import free_slots  # noqa: PLC0415

    assert facts.known_until is not None
    until = min(now + HORIZON, facts.known_until)
    busy = [one.when for one in facts.events] + taken
    found = []
    for slot in free_slots(facts.parameters, busy, facts.zone, now=now, until=until):
        start = next_half_hour(max(slot.start, now + LEAD), facts.zone)
        while start < slot.end:
            found.append((start, slot.end))
            start = next_half_hour(start + timedelta(minutes=1), facts.zone)
    return found


def in_preferred(facts: UserFacts, when: Interval) -> bool:
    start, end = when.start.astimezone(facts.zone), when.end.astimezone(facts.zone)
    return any(
        window.weekday is tuple(Weekday)[start.weekday()]
        and window.start <= start.time()
        and (end.date(), end.time()) <= (start.date(), window.end)
        for window in facts.parameters.preferred or PREFERRED
    )


@given(cases())
def test_each_new_suggestion_has_the_least_of_the_times_that_fit(case: Case) -> None:
    facts, now = case
    made = plan(facts, now=now)
    new = [one for one in made.created if one.trigger is Trigger.TIME_BOUND]
    back = [one.when for one in made.moved]
    activities = [one.when for one in made.created if one.trigger is Trigger.SHARED_ACTIVITY]
    gone = {one.suggestion.id for one in made.expired} | {one.suggestion.id for one in made.moved}
    kept = [one.when for one in facts.suggestions if one.id not in gone and one.status is not SuggestionStatus.SNOOZED]
    taken = kept + back + activities
    contacts = {one.id: one for one in facts.contacts}
    for one in new:
        duration = one.when.end - one.when.start
        aim = threshold(contacts[one.contact_id].frequency)
        limit = now + WEEK if aim is not None and aim <= WEEK else now + HORIZON
        counts = Counter(local_date(when.start, facts.zone) for when in taken)
        others = [other.when for other in facts.events] + taken

        def cost(start: datetime, others: Any = others, counts: Any = counts, duration: Any = duration) -> Any:
            when = Interval(start, start + duration)
            close = overlaps(Interval(when.start - HALF_HOUR, when.end + HALF_HOUR), others)
            return counts[local_date(start, facts.zone)], not in_preferred(facts, when), close, start

        choices = [
            cost(start)
            for start, end in fits(facts, now, taken)
            if start + duration <= min(end, limit) and counts[local_date(start, facts.zone)] < MAX_PER_DATE
        ]
        if not clock_jumps(facts, one.when):
            assert cost(one.when.start) == min(choices)
        taken.append(one.when)


def clock_jumps(facts: UserFacts, when: Interval) -> bool:
    """Whether the clock of the zone changes on that day: windows are then told by instants, not by the clock."""
    day = timedelta(days=1)
    return (when.start - day).astimezone(facts.zone).utcoffset() != (when.end + day).astimezone(facts.zone).utcoffset()


@given(cases())
def test_who_is_overdue_and_gets_no_time_would_find_none(case: Case) -> None:
    facts, now = case
    if facts.known_until is None:
        return
    after = applied(facts, plan(facts, now=now), now)
    open_ones = {one.contact_id for one in after.suggestions}
    if len(open_ones) >= MAX_OPEN:
        return
    current: list[Suggestion] = [one for one in after.suggestions if one.status is not SuggestionStatus.SNOOZED]
    taken = [one.when for one in current]
    counts = Counter(local_date(when.start, facts.zone) for when in taken)
    for one in sorted(after.contacts, key=lambda other: rank(other, now)):
        if is_overdue(one, now) and not is_resting(one, now) and one.id not in open_ones:
            aim = threshold(one.frequency)
            limit = now + (WEEK if aim is not None and aim <= WEEK else HORIZON)
            (duration,) = {DURATIONS[mode] for mode in Mode if mode is preferred_mode(one)}
            assert not [
                start
                for start, end in fits(facts, now, taken)
                if start + duration <= min(end, limit) and counts[local_date(start, facts.zone)] < MAX_PER_DATE
            ]


def preferred_mode(one: Any) -> Mode:
    from catchup_jobs.domain.planning.overdue import preference  # noqa: PLC0415

    return preference(one.tags)
