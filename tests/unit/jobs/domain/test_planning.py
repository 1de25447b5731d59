"""domain.md's options for job 2, each by a test named after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from unit.jobs.domain.planning_world import (
    BERLIN,
    EARLIEST,
    NOW,
    applied,
    at,
    changes,
    clocks,
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

from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Interval, Night, WeeklyWindow
from catchup_jobs.domain.planning.diary import next_half_hour
from catchup_jobs.domain.planning.overdue import is_overdue, is_resting, overdue, rank
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.tastes import Tastes
from catchup_jobs.domain.stored_enums import ExpiryReason, Frequency, Mode, SuggestionStatus, Trigger, Weekday

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ACCEPTED, SNOOZED = SuggestionStatus.ACCEPTED, SuggestionStatus.SNOOZED


def people(count: int, **named: Any) -> list[Any]:
    """Return contacts in the order in which they come."""
    return [contact(number, 100 - number, **named) for number in range(1, count + 1)]


# Who is due ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "days"),
    [
        (Frequency.DAILY, 1),
        (Frequency.WEEKLY, 7),
        (Frequency.BIWEEKLY, 14),
        (Frequency.MONTHLY, 30),
        (Frequency.QUARTERLY, 90),
        (Frequency.YEARLY, 365),
        (Frequency.FLEXIBLE, 60),
        (None, 30),
    ],
)
def test_a_contact_is_overdue_when_the_time_exceeds_the_threshold(frequency: Frequency | None, days: int) -> None:
    on_the_day = contact(days=days, frequency=frequency)
    assert not is_overdue(on_the_day, NOW)
    assert is_overdue(on_the_day, NOW + SECOND)
    assert slots(user([on_the_day])) == []
    assert len(slots(user([contact(days=days + 1, frequency=frequency)]))) == 1


def test_a_contact_with_frequency_na_is_never_overdue() -> None:
    assert slots(user([contact(days=5000, frequency=Frequency.NA)])) == []


def test_somebody_never_met_counts_from_the_contacts_creation() -> None:
    assert slots(user([contact(days=None, created_at=NOW - 30 * DAY)])) == []
    (made,) = created(user([contact(days=None, created_at=NOW - 31 * DAY)]))
    assert made.reasoning == "31 days since you added Name 1, and no catch-up yet; you aim for monthly"


@pytest.mark.parametrize(
    ("days", "frequency", "expected"),
    [
        (30, Frequency.MONTHLY, 0),
        (45, Frequency.MONTHLY, 0.5),
        (60, Frequency.MONTHLY, 1),
        (180, Frequency.MONTHLY, 5),
        (9000, Frequency.MONTHLY, 5),
        (3, Frequency.DAILY, 2),
        (10, Frequency.MONTHLY, 0),
        (9000, Frequency.NA, 0),
    ],
)
def test_overdue_is_counted_in_thresholds_and_capped_at_5(days: int, frequency: Frequency, expected: float) -> None:
    assert overdue(contact(days=days, frequency=frequency), NOW) == pytest.approx(expected)


def test_the_order_is_overdue_to_a_tenth_then_close_friends_then_not_seen_longest_then_id() -> None:
    ordered = [
        contact(9, 90),  # 2.0
        contact(8, 60.5, close_friend=True),  # 1.0 and a close friend
        contact(7, 61),  # 1.0, seen longer ago than the next
        contact(5, 60.5),
        contact(6, 60.5),
        contact(1, 43, close_friend=True),  # 0.4
    ]
    backwards = list(reversed(ordered))
    assert sorted(backwards, key=lambda one: rank(one, NOW)) == ordered
    assert [text.split()[0] for text in slots(user(backwards))] == ["9", "8", "7", "5", "6", "1"]


@pytest.mark.parametrize(
    ("frequency", "rest"),
    [(Frequency.WEEKLY, 7), (Frequency.MONTHLY, 30), (None, 30), (Frequency.NA, 30), (Frequency.YEARLY, 365)],
)
def test_a_dismissed_contact_rests_for_one_threshold(frequency: Frequency | None, rest: int) -> None:
    dismissed = contact(days=2000, frequency=frequency, dismissed_at=NOW - rest * DAY)
    assert not is_resting(dismissed, NOW)
    assert is_resting(dismissed, NOW - SECOND)
    assert slots(user([replace(dismissed, dismissed_at=NOW - rest * DAY + SECOND)])) == []


def test_delivered_and_unanswered_until_its_slot_passed_the_contact_rests_7_days() -> None:
    one = suggestion(Interval(NOW - DAY, NOW - DAY / 2), delivered_at=NOW - 2 * DAY)
    facts = user([contact()], suggestions=[one])
    made = plan(facts, now=NOW, options=EARLIEST)
    assert (changes(made), made.created) == ({one.id: "passed"}, [])
    after = applied(facts, made)
    assert after.contacts[0].unanswered_until == one.when.end
    assert slots(after, one.when.end + 7 * DAY - SECOND) == []
    assert len(slots(after, one.when.end + 7 * DAY)) == 1


def test_an_accepted_suggestion_still_to_come_keeps_its_contact_from_another() -> None:
    assert slots(user([contact(accepted_until=NOW + DAY)])) == []
    assert len(slots(user([contact(accepted_until=NOW)]))) == 1


def test_a_paused_user_gets_none_but_what_passed_expires() -> None:
    one = suggestion(Interval(NOW - DAY, NOW - DAY / 2), 2)
    back = suggestion(Interval(NOW - DAY, NOW - DAY / 2), 3, SNOOZED, snoozed_until=NOW)
    made = plan(
        user([contact(1), contact(2), contact(3)], suggestions=[one, back], paused=True), now=NOW, options=EARLIEST
    )
    assert (made.created, changes(made)) == ([], {one.id: "passed"})


def test_a_user_whose_calendars_are_not_known_gets_none() -> None:
    assert slots(user([contact()], known_until=None)) == []


# When ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "mode", "hours"),
    [
        (("IRL preferred",), Mode.IN_PERSON, 2),
        (("irl  Preferred", "chess"), Mode.IN_PERSON, 2),
        (("URL preferred",), Mode.CALL, 0.5),
        ((), Mode.EITHER, 1),
        (("chess",), Mode.EITHER, 1),
        (("IRL preferred", "URL preferred"), Mode.EITHER, 1),
    ],
)
def test_irl_meets_for_2_hours_url_calls_for_30_minutes_else_either_for_1_hour(
    tags: tuple[str, ...], mode: Mode, hours: float
) -> None:
    assert modes(user([contact(tags=tags)])) == [(mode, hours)]


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("23 09:59", "12:00"),
        ("23 10:00", "12:00"),
        ("23 10:01", "12:30"),
        ("23 10:30", "12:30"),
        ("23 10:31", "13:00"),
    ],
)
def test_slots_start_on_the_half_hour_at_least_2_hours_ahead(now: str, first: str) -> None:
    moment = at(now)
    (text,) = slots(user([contact(now=moment)]), moment)
    assert text.split()[3].startswith(first)


@pytest.mark.parametrize(
    ("zone", "offset"), [("Asia/Kathmandu", "+0545"), ("Pacific/Chatham", "+1345"), ("Asia/Kolkata", "+0530")]
)
def test_the_half_hours_are_those_of_the_users_clock(zone: str, offset: str) -> None:
    local = ZoneInfo(zone)
    (made,) = created(user([contact()], zone=local))
    assert f"{made.when.start.astimezone(local):%M%z}" in {f"00{offset}", f"30{offset}"}


@pytest.mark.parametrize(
    ("zone", "day", "asked", "found"),
    [
        # Half an hour forward at 02:00: 01:45 is followed by the jump to 02:30.
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03 15:15", "2026-10-03 15:30"),
        # An hour back at 03:00 CEST: the second 02:30 is a half hour of the clock too.
        ("Europe/Berlin", "2026-10-25", "2026-10-25 00:45", "2026-10-25 01:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-29 00:31", "2026-03-29 01:00"),
        ("Asia/Kathmandu", "2026-11-23", "2026-11-23 00:00", "2026-11-23 00:15"),
    ],
)
def test_half_hours_are_found_across_a_change_of_the_clock(zone: str, day: str, asked: str, found: str) -> None:
    moment = datetime.fromisoformat(asked).replace(tzinfo=UTC)
    assert f"{next_half_hour(moment, ZoneInfo(zone)):%Y-%m-%d %H:%M}" == found
    assert next_half_hour(moment, ZoneInfo(zone)).astimezone(ZoneInfo(zone)).date() == date.fromisoformat(day)


def test_a_suggestion_takes_the_earliest_slot_that_fits_and_is_never_shortened() -> None:
    hours = AvailabilityParameters(
        blocks=(
            WeeklyWindow(Weekday.TUESDAY, time(9), time(10, 30)),
            WeeklyWindow(Weekday.WEDNESDAY, time(18, 15), time(21)),
        )
    )
    both = [contact(1, 90, tags=("IRL preferred",)), contact(2, 60, tags=("URL preferred",))]
    assert slots(user(both, parameters=hours)) == ["1 Wed 25 18:30-20:30", "2 Tue 24 09:00-09:30"]
    short = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.TUESDAY, time(9), time(10, 30)),))
    assert slots(user(both, parameters=short)) == ["2 Tue 24 09:00-09:30"]


def test_the_next_14_days_are_looked_at_and_no_more() -> None:
    monday = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.MONDAY, time(9), time(12)),))
    far = [event(Interval(NOW, NOW + 10 * DAY))]
    assert slots(user([contact()], far, parameters=monday)) == ["1 Mon 07 09:00-10:00"]
    assert slots(user([contact()], [event(Interval(NOW, NOW + 14 * DAY))])) == []


def test_nothing_is_proposed_beyond_what_is_known_of_the_calendars() -> None:
    busy = [event(Interval(NOW, at("25 09:00")))]
    assert slots(user([contact()], busy, known_until=at("25 10:00"))) == ["1 Wed 25 09:00-10:00"]
    assert slots(user([contact()], busy, known_until=at("25 09:59"))) == []


def test_busy_time_commutes_and_nights_are_not_proposed() -> None:
    hours = AvailabilityParameters(
        blocks=(WeeklyWindow(Weekday.TUESDAY, time(6), time(12)),),
        commutes=(WeeklyWindow(Weekday.TUESDAY, time(8), time(9)),),
        night=Night(time(22), time(7, 45)),
    )
    busy = [event(span("24 09:00", "10:40"))]
    assert slots(user([contact()], busy, parameters=hours)) == ["1 Tue 24 11:00-12:00"]


def test_one_contact_per_slot() -> None:
    assert slots(user(people(3))) == ["1 Mon 23 14:00-15:00", "2 Mon 23 15:00-16:00", "3 Mon 23 16:00-17:00"]


def test_at_most_3_suggestions_start_on_a_local_date_and_the_next_day_goes_on() -> None:
    made = slots(user(people(8)))
    assert [text.split()[1] for text in made] == ["Mon"] * 3 + ["Tue"] * 3 + ["Wed"] * 2


def test_accepted_and_pending_ones_count_for_their_date_and_snoozed_ones_do_not() -> None:
    there = [
        suggestion(span("23 09:00", "10:00"), 11, ACCEPTED),
        suggestion(span("23 18:00", "19:00"), 12),
        suggestion(span("23 20:00", "21:00"), 13, SNOOZED, snoozed_until=NOW + DAY),
    ]
    facts = user([*people(2), contact(11, 10), contact(12, 40), contact(13, 40)], suggestions=there)
    assert slots(facts) == ["1 Mon 23 14:00-15:00", "2 Tue 24 09:00-10:00"]


def test_a_date_is_the_local_date_of_the_start() -> None:
    # 22:30 UTC on Monday is Tuesday in Kiritimati.
    kiritimati = ZoneInfo("Pacific/Kiritimati")
    made = created(user(people(7), zone=kiritimati), datetime(2026, 11, 23, 22, 30, tzinfo=UTC))
    dates = [one.when.start.astimezone(kiritimati).date() for one in made]
    assert max(dates.count(day) for day in dates) == 3


def test_at_most_50_suggestions_are_open_snoozed_ones_included() -> None:
    away = [
        suggestion(Interval(NOW + DAY, NOW + 2 * DAY), number, SNOOZED, snoozed_until=NOW + 9 * DAY)
        for number in range(100, 148)
    ]
    known = [contact(number) for number in range(100, 148)]
    assert len(slots(user([*people(10), *known], suggestions=away))) == 2


def test_an_accepted_suggestion_is_busy_time() -> None:
    taken = suggestion(span("23 14:00", "16:00"), 9, ACCEPTED)
    assert slots(user([contact()], suggestions=[taken])) == ["1 Mon 23 16:00-17:00"]


# What becomes of open ones -------------------------------------------------------------------------------------------


def test_an_open_suggestion_is_kept_and_not_duplicated() -> None:
    one = suggestion(span("25 10:00", "11:00"))
    made = plan(user([contact()], suggestions=[one]), now=NOW, options=EARLIEST)
    assert not made


def test_a_pending_suggestion_whose_slot_passed_expires() -> None:
    begun = suggestion(Interval(NOW - SECOND, NOW + DAY / 24))
    made = plan(user([contact(days=1)], suggestions=[begun]), now=NOW, options=EARLIEST)
    assert [(one.suggestion, one.reason) for one in made.expired] == [(begun, ExpiryReason.PASSED)]


def test_an_undelivered_suggestion_that_passed_makes_room_for_a_new_one() -> None:
    begun = suggestion(Interval(NOW - DAY, NOW - DAY / 2))
    made = plan(user([contact()], suggestions=[begun]), now=NOW, options=EARLIEST)
    assert changes(made) == {begun.id: "passed"}
    assert len(made.created) == 1


def test_a_suggestion_not_yet_delivered_moves_when_it_clashes() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    made = plan(user([contact()], [event(span("24 11:30", "12:30"))], [one]), now=NOW, create=False, options=EARLIEST)
    assert changes(made) == {one.id: "Mon 23 14:00-16:00"}


def test_a_suggestion_not_yet_delivered_expires_when_nothing_is_free_in_14_days() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    busy = [event(Interval(NOW, NOW + 20 * DAY))]
    assert changes(plan(user([contact()], busy, [one]), now=NOW, options=EARLIEST)) == {one.id: "clash"}


def test_a_delivered_suggestion_never_moves_it_expires_and_a_new_one_may_be_made() -> None:
    one = suggestion(span("24 10:00", "12:00"), delivered_at=NOW - DAY)
    facts = user([contact()], [event(span("24 11:30", "12:30"))], [one])
    made = plan(facts, now=NOW, create=False)
    assert (changes(made), made.created) == ({one.id: "clash"}, [])
    assert len(created(applied(facts, made))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": AvailabilityParameters(night=Night(time(11), time(12)))},
        {"parameters": AvailabilityParameters(commutes=(WeeklyWindow(Weekday.TUESDAY, time(11), time(12)),))},
        {"parameters": AvailabilityParameters(blocks=(WeeklyWindow(Weekday.MONDAY, time(14), time(18)),))},
    ],
    ids=["night", "commute", "hours"],
)
def test_a_suggestion_outside_of_hours_that_the_user_changed_moves(change: dict[str, Any]) -> None:
    one = suggestion(span("24 10:00", "12:00"))
    assert changes(plan(user([contact()], suggestions=[one], **change), now=NOW, options=EARLIEST)) == {
        one.id: "Mon 23 14:00-16:00"
    }


def test_of_two_suggestions_at_one_time_one_moves() -> None:
    first, second = suggestion(span("24 10:00", "11:00"), 1), suggestion(span("24 10:30", "11:30"), 2)
    made = plan(user([contact(1), contact(2)], suggestions=[second, first]), now=NOW, options=EARLIEST)
    assert changes(made) == {second.id: "Mon 23 14:00-15:00"}


def test_a_pending_suggestion_moves_away_from_an_accepted_one() -> None:
    taken = suggestion(span("24 10:00", "11:00"), 1, ACCEPTED)
    other = suggestion(span("24 10:30", "11:30"), 2)
    made = plan(user([contact(1), contact(2)], suggestions=[taken, other]), now=NOW, options=EARLIEST)
    assert changes(made) == {other.id: "Mon 23 14:00-15:00"}


def test_without_current_calendars_what_clashes_expires_instead_of_moving_to_an_unknown_hour() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    facts = user([contact()], [event(span("24 11:30", "12:30"))], [one], known_until=None)
    assert changes(plan(facts, now=NOW, options=EARLIEST)) == {one.id: "clash"}


def test_a_moved_suggestion_says_how_long_it_is_now() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    made = plan(user([contact(days=50)], [event(span("24 11:30", "12:30"))], [one]), now=NOW, options=EARLIEST)
    assert made.moved[0].reasoning == "50 days since you last met; you aim for monthly"


@pytest.mark.parametrize(("until", "back"), [(NOW, True), (NOW + SECOND, False)])
def test_a_snoozed_suggestion_returns_after_its_time(until: datetime, back: bool) -> None:
    one = suggestion(span("20 10:00", "12:00"), 1, SNOOZED, snoozed_until=until, delivered_at=NOW - 3 * DAY)
    made = plan(user([contact()], suggestions=[one]), now=NOW, options=EARLIEST)
    assert changes(made) == ({one.id: "Mon 23 14:00-16:00"} if back else {})
    assert made.created == []


def test_a_snoozed_suggestion_without_room_waits_until_there_is_some() -> None:
    one = suggestion(span("20 10:00", "12:00"), 1, SNOOZED, snoozed_until=NOW)
    facts = user([contact()], [event(Interval(NOW, NOW + 20 * DAY))], [one])
    assert not plan(facts, now=NOW, options=EARLIEST)
    assert changes(plan(replace(facts, events=()), now=NOW, options=EARLIEST)) == {one.id: "Mon 23 14:00-16:00"}


@pytest.mark.parametrize("status", [SuggestionStatus.PENDING, SNOOZED])
def test_an_excluded_or_archived_contact_loses_its_open_suggestion(status: SuggestionStatus) -> None:
    snooze: dict[str, Any] = {"snoozed_until": NOW + DAY} if status is SNOOZED else {}
    one = suggestion(span("24 10:00", "12:00"), 7, status, **snooze)
    assert changes(plan(user([], suggestions=[one]), now=NOW, options=EARLIEST)) == {one.id: "contact_excluded"}


def test_who_was_met_meanwhile_is_not_suggested_any_more() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    assert changes(plan(user([contact(days=1)], suggestions=[one]), now=NOW, options=EARLIEST)) == {one.id: "met"}


@pytest.mark.parametrize(
    ("days", "status", "expected"),
    [
        (3, SuggestionStatus.PENDING, "met"),
        (3, SNOOZED, "met"),
        (30, SuggestionStatus.PENDING, "met"),
        (31, SuggestionStatus.PENDING, None),
    ],
)
def test_a_contact_that_is_logged_late_ends_the_suggestion_as_met(
    days: int, status: SuggestionStatus, expected: str | None
) -> None:
    """The suggestion was made two days ago: the interaction is older, and was not known then."""
    snooze: dict[str, Any] = {"snoozed_until": NOW + DAY} if status is SNOOZED else {}
    one = suggestion(span("24 10:00", "12:00"), 1, status, **snooze)
    assert (
        changes(plan(user([contact(days=days)], suggestions=[one]), now=NOW, options=EARLIEST)).get(one.id) == expected
    )


def test_without_any_contact_a_suggestion_is_not_met() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    known = contact(days=None, created_at=NOW - 3 * DAY)
    assert not plan(user([known], suggestions=[one]), now=NOW, options=EARLIEST)


def test_a_contact_that_is_never_to_be_reminded_of_loses_its_time_bound_suggestion() -> None:
    one = suggestion(span("24 10:00", "12:00"))
    assert changes(plan(user([contact(frequency=Frequency.NA)], suggestions=[one]), now=NOW, options=EARLIEST)) == {
        one.id: "contact_excluded"
    }


@pytest.mark.parametrize(
    ("delivered", "create", "told"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_the_days_in_a_reason_are_todays_until_the_user_has_seen_it(delivered: bool, create: bool, told: bool) -> None:
    days = suggestion(
        span("24 10:00", "12:00"),
        reasoning="41 days since you last met; you aim for monthly",
        delivered_at=NOW - DAY if delivered else None,
    )
    made = plan(user([contact(days=42)], suggestions=[days]), now=NOW, create=create)
    assert [one.reasoning for one in made.reworded] == (
        ["42 days since you last met; you aim for monthly"] if told else []
    )
    assert changes(made) == {}


# Reasons -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "frequency", "text"),
    [
        (42.9, Frequency.MONTHLY, "42 days since you last met; you aim for monthly"),
        (1.5, Frequency.DAILY, "1 day since you last met; you aim for daily"),
        (20, Frequency.BIWEEKLY, "20 days since you last met; you aim for every two weeks"),
        (70, Frequency.FLEXIBLE, "70 days since you last met; you keep it flexible"),
        (31, None, "31 days since you last met; you usually catch up monthly"),
    ],
)
def test_the_reason_names_the_facts(days: float, frequency: Frequency | None, text: str) -> None:
    (made,) = created(user([contact(days=days, frequency=frequency)]))
    assert made.reasoning == text


def test_a_reason_names_people_and_never_ids() -> None:
    climbing = event(span("25 18:00", "20:00"), "evt-77", "Climbing")
    mates = [contact(4711, 42, name="Ben", tags=("climbing",), city="Berlin"), contact(4712, None, name="Cleo")]
    for made in created(user(mates, [climbing], city="Berlin")):
        assert not any(text in made.reasoning for text in ("4711", "4712", "evt-77", "ada"))


# Shared activities ---------------------------------------------------------------------------------------------------

CLIMBING = event(span("25 18:15", "20:00"), "climbing", "Climbing with the crew", description="Top rope only")


def climber(number: int = 1, days: float = 10, **named: Any) -> Any:
    return contact(number, days, **{"tags": ("climbing",)} | named)


def test_a_shared_activity_has_its_events_time_and_details() -> None:
    (made,) = created(user([climber()], [CLIMBING]))
    assert (made.trigger, made.mode) == (Trigger.SHARED_ACTIVITY, Mode.IN_PERSON)
    assert (made.when, made.source) == (CLIMBING.when, CLIMBING)
    assert made.reasoning == (
        'you have "Climbing with the crew" then; both like climbing; 10 days since you last met; you aim for monthly'
    )


@pytest.mark.parametrize(
    ("tag", "title", "description", "matches"),
    [
        ("climbing", "CLIMBING!", None, True),
        ("climb", "Climbing", None, False),
        ("art", "Party", "Artful start", False),
        ("top rope", "Evening", "a top-rope course", True),
        ("rope top", "Evening", "a top-rope course", False),
        ("top rope", "Top", "rope", False),
        ("science fiction film", "Science Fiction Film Night", None, True),
        ("Überraschung", "überraschung für alle", None, True),
        ("br", "Talk", "one<br>two", False),
        ("two", "Talk", "one<br>two", True),
        ("C", "C++ meetup", None, False),
        ("C", "C# and F#", None, False),
        ("C", "C, the book club", None, True),
        ("C++", "C++ meetup", None, True),
        ("c++", "Modern (C++), C++17", None, True),
        ("C++", "Vitamin C", None, False),
        ("C#", "An evening of C#.", None, True),
        ("R", "R&D review", None, False),
        ("R&D", "R&D review", None, True),
        (".NET", ".NET users", None, True),
        (".NET", "Fishing net", None, False),
        ("net", ".NET users", None, False),
        ("tennis", "tennis+dinner", None, True),
        ("climbing", "#climbing", None, True),
        ("climbing", "Well...climbing", None, True),
        ("IRL preferred", "IRL preferred", None, False),
        ("climbing", None, None, False),
    ],
)
def test_a_tag_matches_as_whole_words_of_title_or_description(
    tag: str, title: str | None, description: str | None, matches: bool
) -> None:
    happening = event(span("25 18:00", "20:00"), None, title, description=description)
    assert bool(slots(user([contact(days=10, tags=(tag,))], [happening]))) is matches


def test_long_ago_alone_is_no_match_for_an_event() -> None:
    facts = user([contact(days=500, tags=("chess",), city="Berlin")], [CLIMBING], city="Berlin")
    assert [one.trigger for one in created(facts)] == [Trigger.TIME_BOUND]


def test_the_score_is_tags_plus_the_same_city_plus_overdue_up_to_1() -> None:
    best_first = [
        climber(1, 10, tags=("climbing", "top rope", "crew")),  # 3
        climber(2, 90, city="Berlin"),  # 1 + 1 + 1
        climber(3, 500, tags=("climbing", "crew")),  # 2 + 1
        climber(4, 10, city="Berlin"),  # 1 + 1
        climber(5, 45),  # 1 + 0.5
        climber(6, 10),  # 1
    ]
    found = list(Tastes(list(reversed(best_first)), user_city="Berlin", clocks=clocks(), now=NOW).matches([CLIMBING]))
    assert [round(match.score, 2) for match in found] == [3, 3, 3, 2, 1.5, 1]
    assert [match.contact.id for match in found[3:]] == [4, 5, 6]


@pytest.mark.parametrize(
    ("location", "contact_city", "user_city", "nearby"),
    [
        ("Boulderhalle, 10115 Berlin", "Berlin", "Hamburg", True),
        ("Berliner Allee 1, Hamburg", "Berlin", "Hamburg", False),
        (None, "berlin", "Berlin", True),
        (None, "Berlin", None, False),
        (None, None, "Berlin", False),
        ("https://meet.example.com/x", "Berlin", "Berlin", False),
    ],
)
def test_the_same_city_counts_for_events_in_person(
    location: str | None, contact_city: str | None, user_city: str | None, nearby: bool
) -> None:
    tastes = Tastes([climber(city=contact_city)], user_city=user_city, clocks=clocks(), now=NOW)
    (match,) = tastes.matches([replace(CLIMBING, location=location)])
    assert match.nearby is nearby


def test_one_contact_an_event_the_best_match() -> None:
    facts = user([climber(1, 10), climber(2, 20, tags=("climbing", "crew"))], [CLIMBING])
    assert [one.contact_id for one in created(facts)] == [2]


def test_one_event_a_contact() -> None:
    again = event(span("26 18:00", "20:00"), "again", "Climbing")
    assert slots(user([climber()], [again, CLIMBING])) == ["1 Wed 25 18:15-20:00"]


def test_copies_of_an_event_in_two_calendars_are_one_event() -> None:
    copy = replace(CLIMBING, calendar_id=2, event_id="copy", ical_uid="u")
    facts = user([climber(1), climber(2)], [replace(CLIMBING, ical_uid="u"), copy])
    assert len(created(facts)) == 1


def test_shared_activities_are_placed_before_time_bound_ones_and_count_for_their_date() -> None:
    facts = user([climber(9, 10), *people(4)], [event(span("23 18:00", "20:00"), "e", "Climbing")])
    assert slots(facts) == [
        "9 Mon 23 18:00-20:00",
        "1 Mon 23 14:00-15:00",
        "2 Mon 23 15:00-16:00",
        "3 Tue 24 09:00-10:00",
        "4 Tue 24 10:00-11:00",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"events": [event(span("25 19:00", "21:00"))]},
        {"suggestions": [suggestion(span("25 19:00", "21:00"), 8, ACCEPTED)]},
        {"parameters": AvailabilityParameters(night=Night(time(19), time(7)))},
        {"parameters": AvailabilityParameters(commutes=(WeeklyWindow(Weekday.WEDNESDAY, time(18), time(19)),))},
    ],
    ids=["another event", "another suggestion", "night", "commute"],
)
def test_a_shared_activity_may_overlap_its_own_event_and_nothing_else(other: dict[str, Any]) -> None:
    events = [CLIMBING, *other.pop("events", [])]
    assert slots(user([climber()], events, **other)) == []


def test_an_event_that_never_ends_costs_no_more_than_its_time_within_reach() -> None:
    sabbatical = event(Interval(at("26 10:00"), datetime.max.replace(tzinfo=UTC)), "s", "Sabbatical")
    nights = AvailabilityParameters(night=Night(time(22), time(7)))
    assert slots(user([climber()], [CLIMBING, sabbatical], parameters=nights)) == ["1 Wed 25 18:15-20:00"]


def test_a_shared_activity_may_be_outside_of_the_open_hours() -> None:
    mornings = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.MONDAY, time(9), time(10)),))
    assert slots(user([climber()], [CLIMBING], parameters=mornings)) == ["1 Wed 25 18:15-20:00"]


@pytest.mark.parametrize(
    ("tags", "location", "expected"),
    [
        (("climbing", "URL preferred"), None, []),
        (("climbing", "IRL preferred"), None, [Mode.IN_PERSON]),
        (("climbing", "IRL preferred"), "https://meet.example.com/x", []),
        (("climbing", "URL preferred"), "https://meet.example.com/x", [Mode.CALL]),
        (("climbing",), "https://meet.example.com/x", [Mode.CALL]),
    ],
)
def test_the_communication_preference_is_respected_for_events_too(
    tags: tuple[str, ...], location: str | None, expected: list[Mode]
) -> None:
    facts = user([climber(tags=tags)], [replace(CLIMBING, location=location)])
    assert [one.mode for one in created(facts)] == expected


@pytest.mark.parametrize(
    "unfit",
    [
        event(span("23 13:30", "15:00"), "e", "Climbing"),
        event(Interval(NOW + 13.95 * DAY, NOW + 14.05 * DAY), "e", "Climbing"),
        event(Interval(at("25 00:00"), at("26 00:00")), "e", "Climbing", all_day=True),
    ],
    ids=["too soon", "beyond 14 days", "all day"],
)
def test_an_event_too_soon_too_late_or_without_hours_is_not_proposed(unfit: Any) -> None:
    assert slots(user([climber()], [unfit])) == []


def test_an_event_that_was_booked_for_an_accepted_suggestion_is_not_proposed_again() -> None:
    # The user moved it in the calendar since.
    booked = suggestion(span("24 10:00", "11:00"), 5, ACCEPTED, booked_event_id=CLIMBING.event_id)
    assert slots(user([climber()], [CLIMBING], [booked])) == []


@pytest.mark.parametrize("status", [SuggestionStatus.PENDING, ACCEPTED, SNOOZED])
def test_an_event_with_a_suggestion_gets_no_second_one(status: SuggestionStatus) -> None:
    snooze: dict[str, Any] = {"snoozed_until": NOW + DAY} if status is SNOOZED else {}
    there = suggestion(CLIMBING.when, 5, status, of=CLIMBING, **snooze)
    assert slots(user([climber(1), climber(5)], [CLIMBING], [there])) == []


LATER = replace(CLIMBING, when=span("26 18:15", "20:00"), title="Climbing, new date")


def test_an_undelivered_shared_activity_follows_its_event() -> None:
    one = suggestion(CLIMBING.when, of=CLIMBING)
    made = plan(user([climber(days=12)], [LATER], [one]), now=NOW, create=False)
    assert changes(made) == {one.id: shown(LATER.when)}
    assert made.moved[0].title == "Climbing, new date"
    assert made.moved[0].reasoning is not None
    assert made.moved[0].reasoning.startswith('you have "Climbing, new date" then; both like climbing; 12 days')


@pytest.mark.parametrize(
    ("events", "delivered", "reason"),
    [
        ([], False, "event_gone"),
        ([], True, "event_gone"),
        ([LATER], True, "event_moved"),
        ([LATER, event(LATER.when)], False, "event_moved"),
        ([CLIMBING, event(CLIMBING.when)], False, "clash"),
        ([CLIMBING, event(CLIMBING.when)], True, "clash"),
    ],
)
def test_a_shared_activity_expires_with_its_event_or_when_something_else_comes_in_its_time(
    events: list[Any], delivered: bool, reason: str
) -> None:
    one = suggestion(CLIMBING.when, of=CLIMBING, delivered_at=NOW - DAY if delivered else None)
    assert changes(plan(user([climber()], events, [one]), now=NOW, create=False)) == {one.id: reason}


@pytest.mark.parametrize(
    ("events", "expected"), [([CLIMBING], shown(CLIMBING.when)), ([LATER], shown(LATER.when)), ([], "event_gone")]
)
def test_a_snoozed_shared_activity_returns_with_its_event_or_not_at_all(events: list[Any], expected: str) -> None:
    one = suggestion(CLIMBING.when, 1, SNOOZED, of=CLIMBING, snoozed_until=NOW)
    assert changes(plan(user([climber()], events, [one]), now=NOW, options=EARLIEST)) == {one.id: expected}


# What the first implementation got wrong -----------------------------------------------------------------------------


def test_not_every_run_inserts_duplicates() -> None:
    facts = user([climber(99), *people(20)], [CLIMBING])
    made = plan(facts, now=NOW, options=EARLIEST)
    assert len(made.created) == 21
    assert not plan(applied(facts, made), now=NOW, options=EARLIEST)


def test_dismissed_snoozed_and_paused_are_not_ignored() -> None:
    assert slots(user([contact(dismissed_at=NOW - DAY)])) == []
    away = suggestion(span("24 10:00", "11:00"), 1, SNOOZED, snoozed_until=NOW + DAY)
    assert slots(user([contact()], suggestions=[away])) == []
    assert slots(user([contact()], paused=True)) == []


def test_past_slots_expire() -> None:
    assert changes(
        plan(
            user([contact(1)], suggestions=[(past := suggestion(span("22 10:00", "11:00")))]), now=NOW, options=EARLIEST
        )
    ) == {past.id: "passed"}


def test_a_free_fortnight_is_not_one_slot_of_14_days() -> None:
    (made,) = created(user([contact()]))
    assert made.when.end - made.when.start == timedelta(hours=1)


def test_hours_are_local_not_the_servers() -> None:
    new_york = ZoneInfo("America/New_York")
    (made,) = created(user([contact()], zone=new_york), datetime(2026, 11, 23, 6, tzinfo=UTC))
    assert f"{made.when.start.astimezone(new_york):%H:%M}" == "09:00"


def test_irl_and_url_are_implemented() -> None:
    assert modes(user([contact(1, 60, tags=("IRL preferred",)), contact(2, 50, tags=("URL preferred",))])) == [
        (Mode.IN_PERSON, 2),
        (Mode.CALL, 0.5),
    ]


def test_the_berlin_of_these_tests_is_an_hour_ahead_of_utc() -> None:
    assert NOW.astimezone(BERLIN).hour == 12
