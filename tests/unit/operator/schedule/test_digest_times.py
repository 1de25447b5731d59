from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.api import DIGEST_DAYS
from catchup_operator.schedule.clock_jumps import Jump, jumps, offsets
from catchup_operator.schedule.digest_times import CronSchedule, DigestTimes

ZONES = ("Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "America/Nuuk")
digests = st.builds(
    DigestTimes,
    st.sampled_from(ZONES),
    st.sampled_from(DIGEST_DAYS),
    st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
)
instants = st.integers(1704067200, 2145916800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@pytest.mark.parametrize(
    ("zone", "day", "at", "cron", "cron_zone"),
    [
        ("Europe/Berlin", "Sunday", "09:00", "0 9,10,12 * * 0", "Europe/Berlin"),
        ("Europe/Berlin", "Saturday", "18:05", "5 18,19,21 * * 6", "Europe/Berlin"),
        ("Asia/Kathmandu", "Daily", "09:00", "0 9,10,12 * * *", "Asia/Kathmandu"),
        # A midnight is skipped: one firing for each offset.
        ("Asia/Beirut", "Sunday", "09:00", "0 6,7,8,9,10 * * 0", "Etc/UTC"),
        # Half an hour is skipped; in UTC it is still Saturday.
        ("Australia/Lord_Howe", "Sunday", "09:00", "0,30 1,22,23 * * 0,6", "Etc/UTC"),
        ("America/Havana", "Daily", "23:30", "30 3,4 * * *", "Etc/UTC"),
        # The clock is set at a quarter to the hour.
        ("Pacific/Chatham", "Monday", "09:00", "15 19,20,21,22,23 * * 0", "Etc/UTC"),
        # The time itself is skipped on a day in March: 07:00 UTC is the jump.
        ("America/New_York", "Sunday", "02:30", "0,30 6,7,8,9,10 * * 0", "Etc/UTC"),
        # A skipped time whose jump is on the next local day.
        ("America/Nuuk", "Saturday", "23:30", "0,30 0,1 * * 0", "Etc/UTC"),
    ],
)
def test_the_users_zone_is_used_where_the_cron_library_reads_it_right_and_utc_elsewhere(
    zone: str, day: str, at: str, cron: str, cron_zone: str
) -> None:
    assert DigestTimes(zone, day, at).schedule() == CronSchedule(cron, cron_zone)


@given(digests, st.integers(0, 240), st.uuids().map(str))
def test_a_spread_time_is_in_the_window_on_the_same_date_and_not_at_night_unless_the_chosen_one_is(
    times: DigestTimes, window: int, user: str
) -> None:
    found = times.spread(user, window)
    assert (found.time_zone, found.day) == (times.time_zone, times.day)
    assert times.minute <= found.minute <= times.minute + max(0, window - 1)
    assert found.minute < 24 * 60
    assert found.time < "21:00" or times.time >= "21:00"
    assert times.spread(user, window) == found
    assert window > 1 or found == times


def test_users_are_spread_evenly_over_the_window() -> None:
    chosen = DigestTimes("Europe/Berlin", "Sunday", "09:00")
    minutes = Counter(chosen.spread(f"user-{number}", 60).minute for number in range(6000))
    assert set(minutes) == set(range(540, 600))
    assert max(minutes.values()) < 150


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        ("20:50", "20:50", "20:59"),
        ("20:59", "20:59", "20:59"),
        ("21:00", "21:00", "21:59"),
        ("23:30", "23:30", "23:59"),
    ],
)
def test_the_window_ends_with_the_evening_and_with_the_day(at: str, first: str, last: str) -> None:
    times = {DigestTimes("Etc/UTC", "Daily", at).spread(f"user-{number}", 60).time for number in range(3000)}
    assert (min(times), max(times)) == (first, last)


@given(digests, instants)
def test_due_times_come_in_order_and_later_than_now(times: DigestTimes, now: datetime) -> None:
    due = list(islice(times.due_after(now), 4))
    assert now < due[0]
    assert all(one < other for one, other in pairwise(due))
    days = 1 if times.day == "Daily" else 7
    assert due[0] - now <= timedelta(days=days, hours=2)
    assert all(
        timedelta(days=days, hours=-2) <= other - one <= timedelta(days=days, hours=2) for one, other in pairwise(due)
    )


@given(digests, instants)
def test_a_date_is_due_at_its_local_day_and_time_unless_the_clock_skips_it(times: DigestTimes, now: datetime) -> None:
    due = next(times.due_after(now))
    local = due.astimezone(ZoneInfo(times.time_zone))
    skipped = [jump for jump in jumps(times.time_zone) if jump.at == due and jump.shift > 0]
    assert skipped or f"{local:%H:%M}" == times.time
    assert skipped or times.day in {"Daily", DIGEST_DAYS[local.weekday()]}


@pytest.mark.parametrize(
    ("zone", "at", "day", "due"),
    [
        ("Europe/Berlin", "09:00", date(2026, 3, 29), "2026-03-29T07:00"),
        ("Europe/Berlin", "02:30", date(2026, 3, 29), "2026-03-29T01:00"),  # skipped: the jump
        ("Europe/Berlin", "02:30", date(2026, 10, 25), "2026-10-25T00:30"),  # shown twice: the first
        ("Asia/Beirut", "00:15", date(2026, 3, 29), "2026-03-28T22:00"),
        ("Asia/Beirut", "09:00", date(2026, 3, 29), "2026-03-29T06:00"),
    ],
)
def test_a_skipped_time_is_due_at_the_jump_and_a_repeated_one_at_its_first(
    zone: str, at: str, day: date, due: str
) -> None:
    assert DigestTimes(zone, "Daily", at).due_on(day) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_jumps_of_a_zone() -> None:
    (spring, *_) = [jump for jump in jumps("Asia/Beirut") if jump.at.year == 2026]
    assert spring == Jump(datetime(2026, 3, 28, 22, 0, tzinfo=UTC), 120, 180)
    assert spring.skipped_date(0) == spring.skipped_date(59) == date(2026, 3, 29)
    assert spring.skipped_date(60) is None
    assert (jumps("Asia/Kathmandu"), offsets("Asia/Kathmandu")) == ((), (345,))
    assert offsets("Australia/Lord_Howe") == (630, 660)
