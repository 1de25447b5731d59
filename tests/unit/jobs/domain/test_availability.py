from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.local_time import day_bounds, local_date
from catchup_jobs.domain.calendar.availability import (
    MINIMUM_SLOT,
    AvailabilityParameters,
    Interval,
    Night,
    WeeklyWindow,
    all_day,
    free_slots,
    merge,
    subtract,
)
from catchup_jobs.domain.stored_enums import Weekday

NEW_YORK = ZoneInfo("America/New_York")
UTC_ZONE = ZoneInfo("Etc/UTC")
MONDAY = date(2026, 11, 23)
DEFAULT = AvailabilityParameters()
ALWAYS = AvailabilityParameters(blocks=tuple(WeeklyWindow(day, time.min, time.min) for day in Weekday))


def at(text: str, zone: ZoneInfo = UTC_ZONE) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def shown(slots: list[Interval], zone: ZoneInfo = UTC_ZONE) -> list[str]:
    return [f"{slot.start.astimezone(zone):%a %H:%M}-{slot.end.astimezone(zone):%a %H:%M}" for slot in slots]


def slots_of_monday(parameters: AvailabilityParameters = DEFAULT, busy: list[Interval] | None = None) -> list[str]:
    now = at("2026-11-23T00:00")
    slots = free_slots(parameters, busy or [], UTC_ZONE, now=now, until=now + timedelta(days=1))
    return [text.replace("Mon ", "") for text in shown(slots)]


def busy_on_monday(*spans: str) -> list[Interval]:
    ends = [span.split("-") for span in spans]
    return [Interval(at(f"2026-11-23T{start}"), at(f"2026-11-23T{end}")) for start, end in ends]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], ["09:00-21:00"]),
        (["10:00-11:00"], ["09:00-10:00", "11:00-21:00"]),
        (["08:00-09:15"], ["09:15-21:00"]),
        (["20:00-22:00"], ["09:00-20:00"]),
        (["09:29-21:00"], []),
        (["09:30-21:00"], ["09:00-09:30"]),
        (["10:00-12:00", "11:00-13:00", "13:00-13:30"], ["09:00-10:00", "13:30-21:00"]),
        (["10:00-11:00", "11:20-12:00"], ["09:00-10:00", "12:00-21:00"]),
        (["00:00-23:59"], []),
        (["06:00-07:00"], ["09:00-21:00"]),
    ],
)
def test_only_the_overlap_with_busy_time_is_taken_away(busy: list[str], expected: list[str]) -> None:
    assert slots_of_monday(busy=busy_on_monday(*busy)) == expected


def test_the_users_own_blocks_replace_the_default_hours() -> None:
    blocks = (
        WeeklyWindow(Weekday.MONDAY, time(7), time(8)),
        WeeklyWindow(Weekday.MONDAY, time(18), time(22)),
        WeeklyWindow(Weekday.TUESDAY, time(9), time(10)),
    )
    assert slots_of_monday(AvailabilityParameters(blocks=blocks)) == ["07:00-08:00", "18:00-22:00"]


def test_a_day_without_a_block_is_closed_once_there_is_any_block() -> None:
    assert slots_of_monday(AvailabilityParameters(blocks=(WeeklyWindow(Weekday.TUESDAY, time(9), time(10)),))) == []


def test_blocks_that_overlap_or_touch_make_one_slot() -> None:
    blocks = (
        WeeklyWindow(Weekday.MONDAY, time(9), time(11)),
        WeeklyWindow(Weekday.MONDAY, time(10), time(12)),
        WeeklyWindow(Weekday.MONDAY, time(12), time(13)),
    )
    assert slots_of_monday(AvailabilityParameters(blocks=blocks)) == ["09:00-13:00"]


def test_commutes_are_not_free() -> None:
    commutes = (WeeklyWindow(Weekday.MONDAY, time(9), time(9, 45)), WeeklyWindow(Weekday.MONDAY, time(17), time(18)))
    assert slots_of_monday(AvailabilityParameters(commutes=commutes)) == ["09:45-17:00", "18:00-21:00"]


def test_a_night_that_crosses_midnight_takes_both_ends_of_the_day() -> None:
    night = Night(time(20, 30), time(10))
    assert slots_of_monday(AvailabilityParameters(night=night)) == ["10:00-20:30"]


def test_a_night_after_midnight_takes_the_morning_only() -> None:
    assert slots_of_monday(AvailabilityParameters(ALWAYS.blocks, night=Night(time(1), time(8)))) == [
        "00:00-01:00",
        "08:00-Tue 00:00",
    ]


def test_a_block_across_midnight_is_two_slots_one_on_each_day() -> None:
    parameters = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.MONDAY, time(22), time(2)),))
    now = at("2026-11-23T00:00")
    slots = free_slots(parameters, [], UTC_ZONE, now=now, until=now + timedelta(days=2))
    assert shown(slots) == ["Mon 22:00-Tue 00:00", "Tue 00:00-Tue 02:00"]


def test_yesterdays_block_that_reaches_past_midnight_is_still_open() -> None:
    parameters = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.SUNDAY, time(22), time(2)),))
    assert slots_of_monday(parameters) == ["00:00-02:00"]


def test_a_free_fortnight_is_one_slot_a_day_not_one_of_fourteen_days() -> None:
    now = at("2026-11-23T00:00")
    slots = free_slots(ALWAYS, [], UTC_ZONE, now=now, until=now + timedelta(days=14))
    assert len(slots) == 14
    assert {slot.end - slot.start for slot in slots} == {timedelta(days=1)}


def test_no_slot_starts_in_the_past_and_a_started_one_is_cut() -> None:
    slots = free_slots(AvailabilityParameters(), [], UTC_ZONE, now=at("2026-11-23T10:10"), until=at("2026-11-24T10:00"))
    assert shown(slots) == ["Mon 10:10-Mon 21:00", "Tue 09:00-Tue 10:00"]


def test_what_is_left_of_today_counts_only_from_30_minutes_on() -> None:
    until = at("2026-11-23T23:00")
    assert free_slots(AvailabilityParameters(), [], UTC_ZONE, now=at("2026-11-23T20:31"), until=until) == []
    assert free_slots(AvailabilityParameters(), [], UTC_ZONE, now=at("2026-11-23T20:30"), until=until) != []


def test_the_hours_are_those_of_the_users_clock_on_both_sides_of_a_change() -> None:
    now = at("2026-10-31T00:00", NEW_YORK)
    slots = free_slots(AvailabilityParameters(), [], NEW_YORK, now=now, until=now + timedelta(days=3))
    assert shown(slots, NEW_YORK) == ["Sat 09:00-Sat 21:00", "Sun 09:00-Sun 21:00", "Mon 09:00-Mon 21:00"]
    assert slots[0].start.hour == 13
    assert slots[1].start.hour == 14


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ],
)
def test_a_day_of_a_clock_change_is_as_long_as_it_is(zone: str, day: date, hours: float) -> None:
    now, until = day_bounds(day, ZoneInfo(zone))
    (slot,) = free_slots(ALWAYS, [], ZoneInfo(zone), now=now, until=until)
    assert slot.end - slot.start == timedelta(hours=hours)


def test_a_window_that_the_clock_skips_is_not_moved_to_another_hour() -> None:
    now, until = day_bounds(date(2026, 3, 8), NEW_YORK)
    inside = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.SUNDAY, time(2), time(3)),))
    assert free_slots(inside, [], NEW_YORK, now=now, until=until) == []
    into = AvailabilityParameters(blocks=(WeeklyWindow(Weekday.SUNDAY, time(1), time(2, 30)),))
    assert shown(free_slots(into, [], NEW_YORK, now=now, until=until), NEW_YORK) == ["Sun 01:00-Sun 03:00"]


def test_a_commute_that_ends_at_a_repeated_time_lasts_to_the_second_of_them() -> None:
    now, until = day_bounds(date(2026, 11, 1), NEW_YORK)
    parameters = AvailabilityParameters(ALWAYS.blocks, commutes=(WeeklyWindow(Weekday.SUNDAY, time(0), time(1, 30)),))
    (slot,) = free_slots(parameters, [], NEW_YORK, now=now, until=until)
    assert slot.start == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


def test_an_all_day_event_covers_the_dates_of_the_users_zone() -> None:
    kiritimati = ZoneInfo("Pacific/Kiritimati")
    interval = all_day(date(2026, 11, 24), date(2026, 11, 25), kiritimati)
    now = at("2026-11-23T00:00", kiritimati)
    slots = free_slots(AvailabilityParameters(), [interval], kiritimati, now=now, until=now + timedelta(days=3))
    assert shown(slots, kiritimati) == ["Mon 09:00-Mon 21:00", "Wed 09:00-Wed 21:00"]


def test_an_all_day_event_on_a_short_day_covers_all_of_it_and_nothing_more() -> None:
    interval = all_day(date(2026, 3, 8), date(2026, 3, 9), NEW_YORK)
    assert (interval.start, interval.end) == day_bounds(date(2026, 3, 8), NEW_YORK)
    assert interval.end - interval.start == timedelta(hours=23)


def test_nothing_is_free_where_the_window_is_empty() -> None:
    now = at("2026-11-23T10:00")
    assert free_slots(ALWAYS, [], UTC_ZONE, now=now, until=now) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Night(time(22), time(22)),
        lambda: Interval(at("2026-11-23T10:00"), at("2026-11-23T10:00")),
        lambda: Interval(datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_values_that_mean_nothing_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=" "):
        make()


# Properties --------------------------------------------------------------------------------------------------------

ZONES = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "America/New_York",
            "Europe/Berlin",
            "Africa/Cairo",
            "Australia/Lord_Howe",
            "Pacific/Kiritimati",
            "Antarctica/Troll",
            "America/Nuuk",
            "Asia/Kathmandu",
            "Etc/UTC",
        )
    ]
)
MINUTE = timedelta(minutes=1)
NOWS = st.integers(0, 366 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE)
TIMES = st.integers(0, 24 * 4 - 1).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))
WINDOWS = st.builds(WeeklyWindow, st.sampled_from(Weekday), TIMES, TIMES)
NIGHTS = st.none() | st.tuples(TIMES, TIMES).filter(lambda ends: ends[0] != ends[1]).map(lambda ends: Night(*ends))
PARAMETERS = st.builds(
    AvailabilityParameters,
    st.lists(WINDOWS, max_size=5).map(tuple),
    st.lists(WINDOWS, max_size=4).map(tuple),
    NIGHTS,
)


@st.composite
def intervals(draw: st.DrawFn, around: datetime) -> Interval:
    start = around + draw(st.integers(-2 * 24 * 60, 10 * 24 * 60)) * MINUTE
    return Interval(start, start + draw(st.integers(1, 3 * 24 * 60)) * MINUTE)


@st.composite
def cases(draw: st.DrawFn) -> tuple[AvailabilityParameters, list[Interval], ZoneInfo, datetime, datetime]:
    now = draw(NOWS)
    until = now + draw(st.integers(0, 8 * 24 * 60)) * MINUTE
    busy = draw(st.lists(intervals(now), max_size=6))
    return draw(PARAMETERS), busy, draw(ZONES), now, until


Case = tuple[AvailabilityParameters, list[Interval], ZoneInfo, datetime, datetime]


def computed(case: Case, extra: list[Interval] | None = None) -> list[Interval]:
    parameters, busy, zone, now, until = case
    return free_slots(parameters, [*busy, *(extra or [])], zone, now=now, until=until)


@given(cases())
def test_slots_are_ordered_apart_long_enough_within_the_window_and_within_one_local_date(case: Case) -> None:
    _, _, zone, now, until = case
    slots = computed(case)
    for before, after in pairwise(slots):
        assert before.end <= after.start
    for slot in slots:
        assert slot.end - slot.start >= MINIMUM_SLOT
        assert now <= slot.start
        assert slot.end <= until
        assert local_date(slot.start, zone) == local_date(slot.end - MINUTE, zone)


@given(cases())
def test_no_slot_overlaps_busy_time(case: Case) -> None:
    for slot in computed(case):
        assert all(event.end <= slot.start or slot.end <= event.start for event in case[1])


@given(st.data())
def test_adding_a_busy_event_never_adds_availability(data: st.DataObject) -> None:
    case = data.draw(cases())
    before = computed(case)
    after = computed(case, [data.draw(intervals(case[3]))])
    for slot in after:
        assert any(old.start <= slot.start and slot.end <= old.end for old in before)


@given(cases())
def test_the_order_and_repetition_of_busy_events_do_not_matter(case: Case) -> None:
    parameters, busy, zone, now, until = case
    assert computed(case) == computed((parameters, [*reversed(busy), *busy], zone, now, until))


@given(cases())
def test_what_is_given_back_as_busy_is_gone(case: Case) -> None:
    assert computed(case, computed(case)) == []


@given(st.data())
def test_subtracting_takes_the_overlap_only(data: st.DataObject) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    open_time = merge(data.draw(st.lists(intervals(now), max_size=5)))
    blocked = merge(data.draw(st.lists(intervals(now), max_size=5)))
    left = list(subtract(open_time, blocked))

    def covers(spans: list[Interval], minute: datetime) -> bool:
        return any(span.start <= minute < span.end for span in spans)

    edges = {edge for span in (*open_time, *blocked) for edge in (span.start, span.end, span.end - MINUTE)}
    for edge in edges:
        assert covers(left, edge) == (covers(open_time, edge) and not covers(blocked, edge))
