from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_operator.schedule.cadence import Cadence, in_zone, instant_of

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
    while not fires(cadence.cron(), minute):
        minute += timedelta(minutes=1)
    assert cadence.next_after(now) == minute


@given(cadences, instants)
def test_runs_are_one_interval_apart_also_across_midnight(cadence: Cadence, now: datetime) -> None:
    first = cadence.next_after(now)
    assert cadence.next_after(first) - first == timedelta(minutes=cadence.interval)


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
    assert cadence.cron() == cron


def test_users_are_spread_evenly_over_the_interval() -> None:
    offsets = [Cadence.spread(30, f"user-{number}").offset for number in range(3000)]
    per_minute = [offsets.count(minute) for minute in range(30)]
    assert min(per_minute) > 60
    assert max(per_minute) < 140


def test_a_user_keeps_the_same_minute() -> None:
    assert Cadence.spread(30, "ada") == Cadence.spread(30, "ada")


def test_local_time_names_the_zone_and_its_offset() -> None:
    instant = datetime(2026, 7, 1, 7, 0, tzinfo=UTC)
    assert in_zone(instant, "Europe/Berlin") == "2026-07-01 09:00 CEST (UTC+02:00)"
    assert in_zone(instant, "America/St_Johns") == "2026-07-01 04:30 NDT (UTC-02:30)"


@given(instants, st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "America/Nuuk"]))
def test_local_time_with_its_offset_can_be_read_back_to_the_minute(instant: datetime, zone: str) -> None:
    assert instant_of(in_zone(instant, zone)) == instant.replace(second=0)
