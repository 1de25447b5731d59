from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from catchup_contract.local_time import day_bounds, instant, is_time_zone


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("America/New_York", date(2026, 6, 1), 24),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Antarctica/Troll", date(2026, 3, 29), 22),
        # The clock jumps at midnight itself: the day begins at 01:00.
        ("Africa/Cairo", date(2026, 4, 24), 23),
        ("Asia/Beirut", date(2026, 3, 29), 23),
    ],
)
def test_a_local_day_lasts_as_long_as_its_clock_says(zone: str, day: date, hours: float) -> None:
    start, end = day_bounds(day, ZoneInfo(zone))
    assert end - start == timedelta(hours=hours)


def test_a_skipped_time_is_the_moment_of_the_jump() -> None:
    jump = datetime(2026, 3, 8, 7, tzinfo=UTC)
    for skipped in (time(2), time(2, 30), time(2, 59)):
        assert instant(date(2026, 3, 8), skipped, ZoneInfo("America/New_York")) == jump


def test_a_time_shown_twice_is_the_first_unless_the_later_is_asked_for() -> None:
    zone, day, at = ZoneInfo("America/New_York"), date(2026, 11, 1), time(1, 30)
    assert instant(day, at, zone) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert instant(day, at, zone, later=True) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "Local",
        "localtime",
        "posixrules",
        "Factory",
        "Europe",
        "GMT+3",
        "posix/Europe/Berlin",
        "../Berlin",
        "",
        "A" * 5000,
    ],
)
def test_a_name_that_is_no_users_zone_is_refused(name: str) -> None:
    assert not is_time_zone(name)


def test_every_zone_that_the_zone_data_lists_is_one_except_those_of_the_machine() -> None:
    listed = available_timezones() - {"localtime", "posixrules", "Factory"}
    assert {name for name in listed if not is_time_zone(name)} == set()
