from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.calendar.events import (
    AllDaySpan,
    CalendarEvent,
    Changes,
    Received,
    TimedSpan,
    Tombstone,
    UnreadableEvent,
    reconcile,
)
from catchup_jobs.domain.calendar.sync_window import Window
from catchup_jobs.domain.stored_enums import EventStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=1), NOW + timedelta(days=45))
BERLIN = ZoneInfo("Europe/Berlin")


def event(google_id: str = "e1", *, days: float = 1, **fields: Any) -> CalendarEvent:
    start = NOW + timedelta(days=days)
    plain = CalendarEvent(google_id, EventStatus.CONFIRMED, True, TimedSpan(start, start + timedelta(hours=1)))
    return replace(plain, **fields)


def by_id(*events: CalendarEvent) -> dict[str, CalendarEvent]:
    return {found.google_id: found for found in events}


def changes(stored: dict[str, CalendarEvent], received: Sequence[Received], *, full: bool = False) -> Changes:
    return reconcile(stored, received, WINDOW, BERLIN, full=full)


def test_what_is_stored_of_an_event_stays_while_its_new_form_is_unreadable() -> None:
    for full in (True, False):
        assert not changes(by_id(event("a")), [UnreadableEvent("a", "why"), UnreadableEvent("", "why")], full=full)


def test_new_and_changed_events_are_told_from_unchanged_ones() -> None:
    found = changes(by_id(event("a"), event("b")), [event("a"), event("b", summary="new"), event("c")])
    assert found == Changes(added=(event("c"),), changed=(event("b", summary="new"),))


def test_the_same_again_changes_nothing() -> None:
    assert not changes(by_id(event("a")), [event("a")])
    assert not changes(by_id(event("a")), [event("a")], full=True)
    assert not changes({}, [])


def test_a_tombstone_removes_and_an_unknown_one_is_ignored() -> None:
    assert changes(by_id(event("a")), [Tombstone("a"), Tombstone("b")]).removed == {"a"}


def test_a_tombstone_of_a_series_takes_its_instances_along() -> None:
    stored = by_id(event("s_1", recurring_event_id="s"), event("s_2", recurring_event_id="s"), event("a"))
    assert changes(stored, [Tombstone("s")]).removed == {"s_1", "s_2"}


def test_events_beyond_the_horizon_are_discarded_and_moved_there_are_removed() -> None:
    assert not changes({}, [event("a", days=50)])
    assert changes(by_id(event("a")), [event("a", days=50)]).removed == {"a"}


def test_a_moved_event_is_one_change() -> None:
    found = changes(by_id(event("a")), [event("a", days=3)])
    assert (found.added, found.changed, found.removed) == ((), (event("a", days=3),), frozenset())


def test_a_full_sync_removes_what_was_not_sent() -> None:
    found = changes(by_id(event("a"), event("b")), [event("a")], full=True)
    assert found == Changes(removed=frozenset({"b"}))


def test_a_full_sync_clears_out_what_has_passed_without_counting_it_as_removed() -> None:
    found = changes(by_id(event("old", days=-3)), [], full=True)
    assert found == Changes(outdated=frozenset({"old"}))


def test_an_incremental_sync_keeps_what_was_not_sent() -> None:
    assert not changes(by_id(event("a"), event("b")), [event("a")])


def test_an_all_day_event_at_the_edge_is_judged_by_the_users_midnight() -> None:
    yesterday = event("d", span=AllDaySpan(date(2026, 11, 21), date(2026, 11, 22)))
    today = event("d", span=AllDaySpan(date(2026, 11, 21), date(2026, 11, 23)))
    assert not changes({}, [yesterday])
    assert changes({}, [today]).added == (today,)


IDS = st.sampled_from("abcdefgh")
EVENTS = st.builds(
    lambda google_id, days, summary: event(google_id, days=days, summary=summary),
    IDS,
    st.integers(-5, 60),
    st.sampled_from([None, "x", "y"]),
)
RECEIVED = st.lists(EVENTS | st.builds(Tombstone, IDS), max_size=12)


def applied(stored: dict[str, CalendarEvent], found: Changes) -> dict[str, CalendarEvent]:
    gone = found.removed | found.outdated
    kept = {google_id: each for google_id, each in stored.items() if google_id not in gone}
    return kept | by_id(*found.added, *found.changed)


@given(st.lists(EVENTS, max_size=10), RECEIVED, st.booleans())
def test_applying_changes_and_comparing_again_finds_none(
    before: list[CalendarEvent], received: list[CalendarEvent | Tombstone], full: bool
) -> None:
    stored = by_id(*before)
    after = applied(stored, changes(stored, received, full=full))
    assert not changes(after, received, full=full)


@given(st.lists(EVENTS, max_size=10), RECEIVED)
def test_after_a_full_sync_the_store_holds_what_was_sent_for_the_window(
    before: list[CalendarEvent], received: list[CalendarEvent | Tombstone]
) -> None:
    stored = by_id(*before)
    after = applied(stored, changes(stored, received, full=True))
    latest = {found.google_id: found for found in received}
    assert after == {
        google_id: found
        for google_id, found in latest.items()
        if isinstance(found, CalendarEvent)
        and isinstance(found.span, TimedSpan)
        and found.span.end_at > WINDOW.start
        and found.span.start_at < WINDOW.end
    }
