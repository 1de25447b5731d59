"""What planning costs a user who has too much of something: counted in calls of functions, not in time."""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.jobs.domain.planning_world import NOW, clocks, contact, event, suggestion, user

from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.planning.overdue import interests, overdue, preference, rank
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import MAX_OPEN
from catchup_jobs.domain.planning.tastes import BUDGET, Tastes
from catchup_jobs.domain.stored_enums import Mode, SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_jobs.domain.planning.suggestions import Plan, UserFacts

# Counting calls makes each of them slow.
pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)
MANY = [f"tag{number}" for number in range(30)]


def counted(act: Callable[[], Any]) -> tuple[Any, int]:
    """Return what a function returns, and how many calls of Python's and C's functions it took."""
    calls = 0

    def count(_frame: Any, what: str, _argument: Any) -> None:
        nonlocal calls
        calls += what in {"call", "c_call"}

    sys.setprofile(count)
    try:
        result = act()
    finally:
        sys.setprofile(None)
    return result, calls


def monster(contacts: int, events: int, tags: Any, title: Any, *, text: str | None = None) -> UserFacts:
    """Return a user with so many contacts, and so many events side by side in the next 14 days."""
    apart = 14 * 24 * 60 * MINUTE / events
    begin = NOW + timedelta(hours=3)
    return user(
        [contact(number, 10 + number % 400, tags=tags(number)) for number in range(1, contacts + 1)],
        [
            event(Interval(begin + number * apart, begin + number * apart + MINUTE), f"e{number}", title(number))
            if text is None
            else event(
                Interval(begin + number * apart, begin + number * apart + MINUTE),
                f"e{number}",
                title(number),
                description=text,
            )
            for number in range(events)
        ],
    )


def three_of_many(number: int) -> str:
    return " ".join(random.Random(number).sample(MANY, 3))  # noqa: S311 - the same each time


def planned(facts: UserFacts) -> tuple[Plan, int]:
    plan(user(), now=NOW)
    made, calls = counted(lambda: plan(facts, now=NOW))
    return made, calls


def test_twenty_times_the_contacts_and_events_cost_twenty_times_the_calls_not_four_hundred_times() -> None:
    def clients(contacts: int, events: int) -> int:
        made, calls = planned(monster(contacts, events, lambda _: ("client",), lambda _: "Client call"))
        assert len(made.created) > 3
        return calls

    small = clients(200, 20)
    assert clients(4_000, 400) < 25 * small


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("all like the same", lambda: monster(2_000, 280, lambda _: ("client",), lambda _: "Client call")),
        (
            "all like everything, and each event is of other interests",
            lambda: monster(1_000, 200, lambda _: tuple(MANY), three_of_many),
        ),
        ("long texts", lambda: monster(50, 200, lambda n: (f"tag{n}",), lambda n: f"tag{n}", text="lorem " * 300)),
        ("nobody likes any", lambda: monster(2_000, 400, lambda n: (f"x{n}",), lambda n: f"tag{n}")),
    ],
)
def test_the_cost_of_a_user_with_too_much_is_bounded(name: str, facts: Callable[[], UserFacts]) -> None:
    given_facts = facts()
    _, calls = planned(given_facts)
    rows = len(given_facts.contacts) + len(given_facts.events)
    tags = sum(len(one.tags) for one in given_facts.contacts)
    assert calls < 100 * rows + 10 * tags + 10 * BUDGET, name


def test_what_is_open_and_accepted_costs_as_many_calls_as_there_are() -> None:
    """Each is compared with the calendar by bisection."""

    def calls(number: int) -> int:
        facts = monster(number, number, lambda _: (), lambda _: "Busy")
        booked = [
            suggestion(
                Interval(NOW + index * MINUTE, NOW + (index + 1) * MINUTE),
                index + 1,
                SuggestionStatus.PENDING if index % 2 else SuggestionStatus.ACCEPTED,
                of=facts.events[index] if index % 3 == 0 else None,
            )
            for index in range(number)
        ]
        return planned(user(facts.contacts, facts.events, booked))[1]

    assert calls(1_600) < 10 * calls(200)


def test_more_than_the_budget_is_weighed_by_the_most_overdue_of_each_interest() -> None:
    people = [contact(number, 30 + number, tags=("a", "b") if number % 2 else ("a",)) for number in range(1, 201)]
    tastes = Tastes(people, user_city=None, clocks=clocks(), now=NOW, budget=0)
    found = list(tastes.matches([event(Interval(NOW, NOW + MINUTE), title="a and b")]))
    assert tastes.weighed <= 2 * MAX_OPEN
    assert len(found) == MAX_OPEN
    assert found[0].contact.id == 199
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)


# Beside the heap, every pair weighed and sorted.

TAGS = st.lists(st.sampled_from(["chess", "top rope", "Jazz", "URL preferred", "IRL preferred"]), max_size=4)
TITLES = st.sampled_from(["chess", "Top rope & jazz", "chess, jazz and top rope", "jazz", "nothing", None])
LOCATIONS = st.sampled_from([None, "Hall 3, Paris", "https://meet.example.com", "Berlin"])


@given(
    st.lists(st.tuples(TAGS, st.integers(0, 200), st.sampled_from([None, "Paris", "Berlin"])), max_size=12),
    st.lists(st.tuples(TITLES, LOCATIONS), max_size=8),
)
def test_the_heap_gives_the_order_of_all_pairs_sorted(people: Any, events: Any) -> None:
    contacts = [
        contact(number, days, tags=tuple(dict.fromkeys(tags)), city=city)
        for number, (tags, days, city) in enumerate(people)
    ]
    upcoming = [
        event(Interval(NOW + n * MINUTE, NOW + (n + 1) * MINUTE), f"e{n}", title, location=location)
        for n, (title, location) in enumerate(events)
    ]
    expected = []
    for one in upcoming:
        online = one.location == "https://meet.example.com"
        for other in contacts:
            liked = [tag for tag in interests(other.tags) if tag.casefold() in (one.title or "").casefold()]
            near = (
                not online and other.city is not None and (other.city in (one.location or "") or other.city == "Berlin")
            )
            fits = preference(other.tags) in {Mode.CALL if online else Mode.IN_PERSON, Mode.EITHER}
            if liked and fits:
                score = len(liked) + near + min(overdue(other, NOW), 1.0)
                expected.append((-score, one.when.start, rank(other, NOW), one.event_id))
    found = Tastes(contacts, user_city="Berlin", clocks=clocks(), now=NOW).matches(upcoming)
    assert [(-m.score, m.event.when.start, m.rank, m.event.event_id) for m in found] == sorted(expected)
