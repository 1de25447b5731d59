from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_operator.schedule.cron import interval_schedule, local_time_schedule

cadences = st.sampled_from(sorted(SYNC_INTERVALS_MINUTES.values())).flatmap(
    lambda interval: st.builds(Cadence, st.just(interval), st.integers(0, interval - 1))
)
instants = st.integers(1704067200, 2145916800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def fires(cron: str, instant: datetime) -> bool:
    minutes, hours, *rest = cron.split()
    assert rest == ["*", "*", "*"]
    return str(instant.minute) in minutes.split(",") and (hours == "*" or str(instant.hour) in hours.split(","))


@given(cadences, instants)
def test_the_next_run_is_the_first_minute_after_now_at_which_the_cron_expression_fires(
    cadence: Cadence, now: datetime
) -> None:
    minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not fires(interval_schedule(cadence), minute):
        minute += timedelta(minutes=1)
    assert next(cadence.due_after(now)) == minute


@pytest.mark.parametrize(
    ("cadence", "cron"),
    [
        (Cadence(30, 7), "7,37 * * * *"),
        (Cadence(60, 59), "59 * * * *"),
        (Cadence(120, 61), "1 1,3,5,7,9,11,13,15,17,19,21,23 * * *"),
        (Cadence(1440, 754), "34 12 * * *"),
    ],
)
def test_cron_expression(cadence: Cadence, cron: str) -> None:
    assert interval_schedule(cadence) == cron


@pytest.mark.parametrize(
    ("zone", "day", "at", "cron"),
    [
        # One offset: the due time and its two follow-ups.
        ("Asia/Kathmandu", "Daily", "09:00", "15 3,4,6 * * *"),
        # Two offsets an hour apart: follow-ups of one coincide with firings of the other.
        ("Europe/Berlin", "Daily", "09:00", "0 7,8,9,10,11 * * *"),
        ("Europe/Berlin", "Saturday", "18:05", "5 16,17,18,19,20 * * 6"),
        # In UTC it is the day before, the day after, or both.
        ("Pacific/Chatham", "Monday", "09:00", "15 19,20,21,22,23 * * 0"),
        ("America/Los_Angeles", "Saturday", "20:30", "30 3,4,5,6,7 * * 0"),
        ("Europe/Berlin", "Sunday", "00:30", "30 0,1,2,22,23 * * 0,6"),
        ("Pacific/Kiritimati", "Sunday", "13:00", "0 0,2,23 * * 0,6"),
        # Offsets half an hour apart.
        ("Australia/Lord_Howe", "Sunday", "09:00", "0,30 1,22,23 * * 0,6"),
        ("America/Havana", "Daily", "23:30", "30 3,4 * * *"),
        # The time itself is skipped on a day in March: 07:00 UTC is the jump.
        ("America/New_York", "Sunday", "02:30", "0,30 6,7,8,9,10 * * 0"),
        # A skipped time whose jump is on the next local day.
        ("America/Nuuk", "Saturday", "23:30", "0,30 0,1 * * 0"),
        # An offset of before the year of the zone data: Tehran's clock was set forward until 2022.
        ("Asia/Tehran", "Daily", "09:00", "30 5,6,8 * * *"),
    ],
)
def test_a_digest_fires_in_utc_at_its_local_time_by_each_offset_of_the_zone_and_at_its_follow_ups(
    zone: str, day: str, at: str, cron: str
) -> None:
    assert local_time_schedule(DigestTime(ZoneInfo(zone), DigestDay(day), time.fromisoformat(at))) == cron
