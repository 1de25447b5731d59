"""What a digest holds: the pending suggestions, and the request to connect the calendar again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.selection import ASK_AGAIN, Selection, choose

TODAY = date(2026, 11, 29)
START = datetime(2026, 11, 30, 13, tzinfo=UTC)
TWO_WEEKS = timedelta(days=14)


def item(number: int, *, later: timedelta = timedelta(0)) -> DigestItem:
    start = START + timedelta(hours=number) + later
    return DigestItem(number, f"Ben {number}", start, start + timedelta(hours=1), "call", "")


def pending(*numbers: int) -> dict[int, DigestItem]:
    return {number: item(number) for number in numbers}


def test_a_request_comes_alone_at_most_once_in_two_weeks() -> None:
    assert ASK_AGAIN == TWO_WEEKS


@pytest.mark.parametrize(
    ("numbers", "must_reconnect", "last_asked", "expected"),
    [
        ((), False, None, Selection()),
        ((1, 2), False, None, Selection((item(1), item(2)))),
        ((1,), True, None, Selection((item(1),), reconnect=True)),
        ((1,), True, TODAY - timedelta(days=1), Selection((item(1),), reconnect=True)),
        ((), True, None, Selection(reconnect=True)),
        ((), True, TODAY - timedelta(days=13), Selection()),
        ((), True, TODAY - timedelta(days=14), Selection(reconnect=True)),
        ((), True, TODAY + timedelta(days=1), Selection()),
        ((), False, TODAY - timedelta(days=14), Selection()),
    ],
    ids=[
        "empty",
        "people",
        "people and the request",
        "with people however lately it was asked",
        "alone",
        "not alone within two weeks",
        "alone after two weeks",
        "not alone where a later date asked",
        "never where the calendar is connected",
    ],
)
def test_a_first_attempt_holds_what_is_pending_and_asks_where_that_is_due(
    numbers: tuple[int, ...], must_reconnect: bool, last_asked: date | None, expected: Selection
) -> None:
    assert choose(pending(*numbers), TODAY, must_reconnect=must_reconnect, last_asked=last_asked) == expected


@pytest.mark.parametrize(
    ("attempted", "numbers", "must_reconnect", "expected"),
    [
        (Selection((item(1), item(2))), (2, 3), False, Selection((item(2),))),
        (Selection((item(1),)), (1,), True, Selection((item(1),))),
        (Selection((item(1),), reconnect=True), (1,), True, Selection((item(1),), reconnect=True)),
        (Selection((item(1),), reconnect=True), (1,), False, Selection((item(1),))),
        (Selection((item(1),), reconnect=True), (), True, Selection()),
        (Selection(reconnect=True), (1,), True, Selection(reconnect=True)),
        (Selection(reconnect=True), (1,), False, Selection()),
        (Selection((item(1, later=timedelta(hours=1)),)), (1,), False, Selection()),
    ],
    ids=[
        "what was answered is left out, what is new is not added",
        "a request is not added",
        "the same again",
        "connected meanwhile",
        "all were answered: they were read, and so was the request",
        "alone again, on another channel",
        "alone, and connected meanwhile",
        "moved meanwhile",
    ],
)
def test_after_the_first_attempt_of_a_date_nothing_is_added(
    attempted: Selection, numbers: tuple[int, ...], must_reconnect: bool, expected: Selection
) -> None:
    assert choose(pending(*numbers), TODAY, must_reconnect=must_reconnect, attempted=attempted) == expected


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=90),
    st.lists(st.booleans(), min_size=90, max_size=90),
)
def test_whatever_days_have_suggestions_a_request_alone_is_two_weeks_after_any_other(
    days: list[tuple[bool, int]], sent: list[bool]
) -> None:
    last_asked: date | None = None
    for number, (must_reconnect, count) in enumerate(days):
        today = TODAY + timedelta(days=number)
        selected = choose(pending(*range(count)), today, must_reconnect=must_reconnect, last_asked=last_asked)
        assert len(selected.items) == count
        assert not (selected.reconnect and not must_reconnect)
        if selected.reconnect:
            assert count or last_asked is None or today - last_asked >= TWO_WEEKS
            last_asked = today if sent[number] else last_asked
