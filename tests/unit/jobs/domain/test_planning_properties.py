"""What holds for every plan, whatever a user's hours, events, contacts and zone."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from unit.jobs.domain.planning_world import applied, contact
from unit.jobs.domain.test_availability import MINUTE, PARAMETERS, ZONES

from catchup_contract.local_time import local_date
from catchup_jobs.domain.calendar.availability import Interval, blocked_hours, free_slots, overlaps
from catchup_jobs.domain.planning.diary import DURATIONS, LEAD, MAX_PER_DATE, next_half_hour
from catchup_jobs.domain.planning.event_facts import EventFacts
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import HORIZON, MAX_OPEN, Plan, Source, Suggestion, UserFacts
from catchup_jobs.domain.stored_enums import Frequency, SuggestionStatus, Trigger

# Starts of changes of the clock in the zones of `ZONES`, and any other time of 2026.
_JUMPS = [
    datetime(2026, month, day, tzinfo=UTC)
    for month, day in ((3, 8), (3, 28), (4, 4), (4, 24), (10, 3), (10, 24), (11, 1))
]
NOWS = st.one_of(
    st.integers(0, 366 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE),
    st.tuples(st.sampled_from(_JUMPS), st.integers(-3 * 24 * 60, 2 * 24 * 60)).map(lambda d: d[0] + d[1] * MINUTE),
)
TAGS = st.lists(
    st.sampled_from(["chess", "top rope", "IRL preferred", "URL preferred", "Jazz"]), max_size=3, unique=True
)
TITLES = st.sampled_from([None, "Busy", "Chess club", "Top rope and jazz", "chess", "Jazz at home"])


@st.composite
def _events(draw: st.DrawFn, now: datetime) -> tuple[EventFacts, ...]:
    made = []
    for number in range(draw(st.integers(0, 8))):
        start = now + draw(st.integers(-24 * 4, 14 * 24 * 4)) * 15 * MINUTE
        length = draw(st.sampled_from([15, 30, 60, 120, 240, 24 * 60]))
        when = Interval(start, start + length * MINUTE)
        made.append(EventFacts(1, f"e{number}", when, draw(TITLES), all_day=length == 24 * 60))
    return tuple(made)


@st.composite
def _contacts(draw: st.DrawFn, now: datetime) -> tuple[Any, ...]:
    return tuple(
        contact(
            number,
            draw(st.none() | st.integers(0, 500)),
            now=now,
            frequency=draw(st.none() | st.sampled_from(Frequency)),
            tags=tuple(draw(TAGS)),
            close_friend=draw(st.booleans()),
            city=draw(st.sampled_from([None, "Berlin"])),
            dismissed_at=draw(st.none() | st.just(now - timedelta(days=20))),
        )
        for number in range(1, draw(st.integers(0, 14)) + 1)
    )


@st.composite
def _stored(draw: st.DrawFn, now: datetime, contacts: tuple[Any, ...], events: tuple[EventFacts, ...]) -> Any:
    made = []
    used: set[str] = set()
    for one in contacts:
        status = draw(st.sampled_from([None, None, "pending", "pending", "snoozed", "accepted"]))
        if status is None:
            continue
        start = next_half_hour(now + draw(st.integers(-48 * 2, 14 * 24 * 2)) * 30 * MINUTE, ZONE_UTC)
        when = Interval(start, start + draw(st.sampled_from(list(DURATIONS.values()))))
        unused: list[EventFacts | None] = [event for event in events if event.event_id not in used]
        source = draw(st.none() | st.sampled_from([*unused, None]))
        if source is not None:
            used.add(source.event_id)
            when = draw(st.sampled_from([source.when, when]))
        snoozed = now + draw(st.integers(-2, 2)) * timedelta(days=1) if status == "snoozed" else None
        made.append(
            Suggestion(
                one.id,
                one.id,
                Trigger.TIME_BOUND if source is None else Trigger.SHARED_ACTIVITY,
                SuggestionStatus(status),
                when,
                now - timedelta(days=3),
                source=None if source is None else Source(1, source.event_id),
                snoozed_until=snoozed,
                delivered_at=draw(st.none() | st.just(now - timedelta(days=1))),
                reasoning="41 days since you last met; you aim for monthly",
            )
        )
    return tuple(made)


@st.composite
def cases(draw: st.DrawFn) -> tuple[UserFacts, datetime]:
    now = draw(NOWS)
    events, contacts = draw(_events(now)), draw(_contacts(now))
    facts = UserFacts(
        user_id="ada",
        zone=draw(ZONES),
        parameters=draw(PARAMETERS),
        city="Berlin",
        contacts=contacts,
        events=events,
        suggestions=draw(_stored(now, contacts, events)),
        known_until=draw(st.none() | st.integers(0, 40).map(lambda days: now + timedelta(days=days))),
    )
    return facts, now


ZONE_UTC = ZoneInfo("Etc/UTC")
Case = tuple[UserFacts, datetime]


def pending_after(facts: UserFacts, now: datetime) -> list[Suggestion]:
    after = applied(facts, plan(facts, now=now), now)
    return [one for one in after.suggestions if one.status is SuggestionStatus.PENDING]


def times(made: Plan) -> list[Interval]:
    return [one.when for one in made.created] + [one.when for one in made.moved]


def own(one: Suggestion, event: EventFacts) -> bool:
    return one.source == Source(event.calendar_id, event.event_id)


@given(cases())
def test_no_slot_overlaps_busy_time_a_commute_or_a_night_but_a_shared_activitys_own_event(case: Case) -> None:
    facts, now = case
    blocked = blocked_hours(facts.parameters, facts.zone, start=now, end=now + timedelta(days=20))
    for one in pending_after(facts, now):
        others = [event.when for event in facts.events if not own(one, event)]
        assert not overlaps(one.when, others)
        assert not overlaps(one.when, blocked)
        if one.trigger is Trigger.SHARED_ACTIVITY:
            assert any(own(one, event) and event.when == one.when for event in facts.events)
        else:
            assert not overlaps(one.when, [event.when for event in facts.events])


@given(cases())
def test_no_slot_overlaps_another_suggestion(case: Case) -> None:
    facts, now = case
    pending = pending_after(facts, now)
    accepted = [one for one in facts.suggestions if one.status is SuggestionStatus.ACCEPTED]
    for one, other in itertools.combinations(pending, 2):
        assert not overlaps(one.when, [other.when])
    for one in pending:
        assert not overlaps(one.when, [other.when for other in accepted])


@given(cases())
def test_time_bound_slots_are_within_free_time_whole_and_on_the_half_hours(case: Case) -> None:
    facts, now = case
    free = free_slots(
        facts.parameters, [event.when for event in facts.events], facts.zone, now=now, until=now + timedelta(days=20)
    )
    made = plan(facts, now=now)
    placed = [one.when for one in made.created if one.trigger is Trigger.TIME_BOUND]
    placed += [one.when for one in made.moved if one.suggestion.trigger is Trigger.TIME_BOUND]
    for when in placed:
        assert any(slot.start <= when.start and when.end <= slot.end for slot in free)
        local = when.start.astimezone(facts.zone)
        assert (local.minute % 30, local.second, local.microsecond) == (0, 0, 0)
    lengths = {one.mode: one.when.end - one.when.start for one in made.created if one.trigger is Trigger.TIME_BOUND}
    assert all(DURATIONS[mode] == length for mode, length in lengths.items())


@given(cases())
def test_what_is_placed_is_2_hours_to_14_days_ahead_and_within_what_is_known(case: Case) -> None:
    facts, now = case
    made = plan(facts, now=now)
    for when in times(made):
        assert facts.known_until is not None
        assert now + LEAD <= when.start
        assert when.end <= min(now + HORIZON, facts.known_until)


@given(cases())
def test_dates_and_users_keep_their_limits_and_each_contact_has_one_open_suggestion(case: Case) -> None:
    facts, now = case
    made = plan(facts, now=now)
    after = applied(facts, made, now).suggestions
    open_ones = [one for one in after if one.status is not SuggestionStatus.ACCEPTED]
    assert len(open_ones) <= MAX_OPEN
    assert max(Counter(one.contact_id for one in open_ones).values(), default=0) <= 1
    starts = [one.when.start for one in after if one.status is not SuggestionStatus.SNOOZED]
    dates = Counter(local_date(start, facts.zone) for start in starts)
    for when in times(made):
        assert dates[local_date(when.start, facts.zone)] <= MAX_PER_DATE


@given(cases())
def test_running_twice_changes_nothing(case: Case) -> None:
    facts, now = case
    assert not plan(applied(facts, plan(facts, now=now), now), now=now)


@given(cases())
def test_a_repair_makes_nothing_new_and_a_run_after_it_is_as_good_as_one_without(case: Case) -> None:
    facts, now = case
    repaired = plan(facts, now=now, create=False)
    assert repaired.created == []
    after = applied(facts, repaired, now)
    assert not plan(after, now=now, create=False)


@given(cases(), st.integers(0, 14 * 24 * 4), st.sampled_from([15, 60, 600]))
def test_a_delivered_suggestion_never_moves(case: Case, offset: int, length: int) -> None:
    facts, now = case
    start = now + offset * 15 * MINUTE
    sudden = EventFacts(1, "sudden", Interval(start, start + length * MINUTE))
    made = plan(replace(facts, events=(*facts.events, sudden)), now=now)
    for moved in made.moved:
        snoozed = moved.suggestion.status is SuggestionStatus.SNOOZED
        assert snoozed or moved.suggestion.delivered_at is None


@given(cases(), st.randoms())
def test_the_order_of_the_facts_does_not_matter(case: Case, random: Any) -> None:
    facts, now = case

    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(items, len(items)))

    mixed = replace(
        facts,
        contacts=shuffled(facts.contacts),
        events=shuffled(facts.events),
        suggestions=shuffled(facts.suggestions),
    )
    assert plan(mixed, now=now).created == plan(facts, now=now).created
