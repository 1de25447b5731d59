from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.kinds import DIGEST, SYNC
from catchup_operator.cli import main
from catchup_operator.ops import what_if
from catchup_operator.ops.forecast import MINUTES, forecast
from catchup_operator.ops.forecast_report import as_json, as_text, draw

SATURDAY = datetime(2026, 11, 28, 20, 0, 30, tzinfo=UTC)


def users(count: int, **spec: Any) -> list[dict[str, Any]]:
    return [body({"userId": f"user-{number}", **spec}, name=f"u{number}", uid=f"{number}") for number in range(count)]


def minute_of(at: datetime) -> int:
    return (at - SATURDAY.replace(second=0) - timedelta(minutes=1)) // timedelta(minutes=1)


@given(st.sampled_from(sorted(SYNC_INTERVALS_MINUTES)), st.integers(1, 20))
def test_each_user_is_synced_as_often_in_a_day_as_the_interval_says(every: str, count: int) -> None:
    found = forecast(users(count, calendarSync={"every": every}, digest={"enabled": False}), SATURDAY)
    assert sum(found.pods_of(SYNC)) == count * 24 * 60 // SYNC_INTERVALS_MINUTES[every]
    assert sum(found.requests) == sum(found.pods_of(SYNC))
    assert found.requests_of_the_day == sum(found.requests) + count, "the list of each user once"
    assert sum(found.pods_of(DIGEST)) == 0


def test_digests_fire_at_their_local_time_and_one_and_three_hours_later() -> None:
    herd = users(100, timeZone="Asia/Bangkok", digest={"time": "15:00"}, calendarSync={"enabled": False})
    found = forecast(herd, SATURDAY)
    at = {minute for minute, count in enumerate(found.pods_of(DIGEST)) if count}
    assert at == {minute_of(datetime(2026, 11, 29, hour, 0, tzinfo=UTC)) for hour in (8, 9, 11)}
    assert set(found.pods_of(DIGEST)) == {0, 100}


def test_a_zone_with_two_offsets_has_firings_for_both() -> None:
    found = forecast(users(1, timeZone="Asia/Beirut", calendarSync={"enabled": False}), SATURDAY)
    at = [minute for minute, count in enumerate(found.pods_of(DIGEST)) if count]
    assert at == [minute_of(datetime(2026, 11, 29, hour, 0, tzinfo=UTC)) for hour in (6, 7, 8, 9, 10)]


def test_what_is_suspended_in_conflict_or_invalid_starts_nothing() -> None:
    bodies = [
        *users(1, suspend=True),
        {**users(1)[0], "status": {"conflictsWith": "people/other"}},
        body({"userId": "$(X)"}),
    ]
    assert sum(forecast(bodies, SATURDAY).pods) == 0


def until(at: datetime) -> dict[str, str]:
    return {"reason": "move", "until": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


def test_what_is_suspended_until_a_time_of_the_day_counts_from_then() -> None:
    at = SATURDAY + timedelta(hours=6)  # half a minute after a full one
    found = forecast(users(30, suspension=until(at), digest={"enabled": False}), SATURDAY)
    everyone = forecast(users(30, digest={"enabled": False}), SATURDAY)
    assert {minute for minute, pods in enumerate(found.pods) if pods} == {
        minute for minute, pods in enumerate(everyone.pods) if pods and minute > minute_of(at)
    }
    assert found.requests_of_the_day == 30 * (18 * 2 + 1)
    assert sum(forecast(users(3, suspension=until(SATURDAY + timedelta(hours=25))), SATURDAY).pods) == 0
    assert sum(forecast(users(3, suspend=True, suspension=until(at)), SATURDAY).pods) == 0


def test_members_of_a_pool_that_is_suspended_until_a_time_of_the_day_count_from_then_or_from_their_own_end() -> None:
    at, later = SATURDAY + timedelta(hours=6), SATURDAY + timedelta(hours=12)
    paused = pool(suspension=until(at), calendarSync={"tick": "10m"})
    herd = [*users(30, pool="people"), *users(30, pool="people", suspension=until(later))]
    found = forecast(herd, SATURDAY, pools=[paused])
    assert sum(found.pods_of(SYNC)) == 18 * 6
    assert min(minute for minute, pods in enumerate(found.pods_of(SYNC)) if pods) == minute_of(at) + 10
    assert found.requests_of_the_day == 30 * (18 * 2 + 1) + 30 * (12 * 2 + 1)
    database = pool(counted=3000, members="Database", suspension=until(at))
    assert forecast([], SATURDAY, pools=[database]).requests_of_the_day == 3000 * (18 * 2 + 1)


def test_a_users_own_count_of_requests_is_believed() -> None:
    one = {**users(1, digest={"enabled": False})[0], "status": {"sync": {"counts": {"apiRequests": 9}}}}
    found = forecast([one], SATURDAY)
    assert sum(found.requests) == 9 * sum(found.pods_of(SYNC))


def test_minutes_with_too_many_pods_name_the_setting_that_most_of_these_very_pods_come_from() -> None:
    no_sync = {"calendarSync": {"enabled": False}}
    herds = [*users(60, timeZone="America/New_York", **no_sync), *users(40, timeZone="Europe/Berlin", **no_sync)]
    found = forecast(herds, SATURDAY)
    peaks = {peak.at: peak.advice for peak in found.peaks(max_pods=3, max_requests=10**6)}
    says = "spec.digest.time: {} of the pods are digests of Sunday 09:00 {}, and operator.digestSpreadMinutes is 0"
    assert peaks == {
        **{datetime(2026, 11, 29, hour, tzinfo=UTC): says.format(40, "Europe/Berlin") for hour in range(7, 12)},
        **{datetime(2026, 11, 29, hour, tzinfo=UTC): says.format(60, "America/New_York") for hour in range(13, 18)},
    }
    assert found.peaks(max_pods=60, max_requests=10**6) == []


def test_the_interval_that_is_named_is_the_one_of_most_pods_not_of_most_users() -> None:
    no_digest = {"digest": {"enabled": False}}
    herds = [
        *users(90, calendarSync={"every": "24h"}, **no_digest),
        *users(60, calendarSync={"every": "5m"}, **no_digest),
    ]
    peaks = forecast(herds, SATURDAY).peaks(max_pods=10, max_requests=10**6)
    assert peaks
    assert all(peak.pods > 10 for peak in peaks)
    assert {peak.advice.split(":")[0] for peak in peaks} == {"spec.calendarSync.every"}
    assert {peak.advice.split(" are ")[1] for peak in peaks} == {"syncs every 5m"}


def test_minutes_with_too_many_requests_alone_name_the_syncs_though_more_digests_start() -> None:
    (peak,) = (
        peak
        for peak in forecast(users(50, calendarSync={"every": "5m"}), SATURDAY).peaks(max_pods=1000, max_requests=9)
        if peak.at == datetime(2026, 11, 29, 9, tzinfo=UTC)
    )
    assert peak.pods > 50
    assert peak.advice.startswith("spec.calendarSync.every")


def test_the_spread_that_the_advice_names_flattens_the_peak() -> None:
    herd = users(600, timeZone="Europe/Berlin", calendarSync={"enabled": False})
    spread = forecast(herd, SATURDAY, digest_spread=60)
    assert sum(spread.pods_of(DIGEST)) == sum(forecast(herd, SATURDAY).pods_of(DIGEST)) == 5 * 600
    assert max(spread.pods_of(DIGEST)) < 40
    begin = minute_of(datetime(2026, 11, 29, 7, 0, tzinfo=UTC))
    assert {minute for minute, count in enumerate(spread.pods_of(DIGEST)) if count} <= set(range(begin, begin + 300))
    assert "digestSpreadMinutes is 60" in spread.peaks(max_pods=1, max_requests=10**6)[0].advice


def test_the_drawing_has_a_line_an_hour_a_bar_a_minute_and_marks_what_is_too_much() -> None:
    found = forecast(users(50, calendarSync={"enabled": False}), SATURDAY)
    lines = draw(found.pods, found.start, limit=49)
    assert len(lines) == 24
    assert sum(line.count("!") for line in lines) == 3
    assert all(len(line.split(" ", 1)[1][:60]) == 60 for line in lines)
    text = as_text(found, max_pods=49, max_requests=10, max_requests_a_day=10)
    assert "3 minutes above 49 pods" in text
    assert "Sun 09:00  50 pods, 0 requests; spec.digest.time" in text


def test_the_json_has_a_number_a_minute() -> None:
    found = json.loads(as_json(forecast(users(3), SATURDAY), max_pods=0, max_requests=10**6, max_requests_a_day=200))
    assert (found["googleRequestsOfTheDay"], found["isAboveDayLimit"]) == (147, False)
    assert found["start"] == "2026-11-28T20:01:00Z"
    assert {len(found[name]) for name in ("syncPods", "digestPods", "googleRequests")} == {MINUTES}
    assert found["peaks"]


def test_nothing_at_all_can_be_drawn_too() -> None:
    assert "0 minutes above" in as_text(forecast([], SATURDAY), max_pods=1, max_requests=1, max_requests_a_day=1)


def test_a_limit_of_nothing_marks_no_idle_minute_and_one_below_that_is_refused() -> None:
    assert forecast([], SATURDAY).peaks(max_pods=0, max_requests=0) == []
    for option in ("--max-pods", "--max-requests"):
        done = CliRunner().invoke(main, ["forecast", option, "-1"])
        assert (done.exit_code, f"Invalid value for '{option}'" in done.output) == (2, True)


def pool(*, counted: int = 0, **spec: Any) -> dict[str, Any]:
    return body({"members": "UserSchedules", **spec}, name="people", uid="of-pool", status={"members": counted})


def test_users_of_a_pool_start_no_pods_but_its_ticks_do_and_ask_google_as_often() -> None:
    herd = users(90, pool="people")
    found = forecast(herd, SATURDAY, pools=[pool(calendarSync={"tick": "5m", "shards": 3})])
    alone = forecast(users(90), SATURDAY)
    assert sum(found.pods_of(SYNC)) == 3 * 24 * 12
    assert sum(found.pods_of(DIGEST)) == 24 * 60
    assert (found.requests, found.requests_of_the_day) == (alone.requests, 90 * 48 + 90)
    peak = found.peaks(max_pods=3, max_requests=10**6)[0]
    assert peak.at.minute % 5 == 0
    assert peak.advice == "spec.calendarSync.tick and shards of the SchedulePool people: 3 of the pods are its syncs"


def test_a_pool_of_the_database_asks_for_the_members_that_its_status_counts() -> None:
    found = forecast([], SATURDAY, pools=[pool(counted=100_000, members="Database")])
    assert found.requests_of_the_day == 4_900_000
    assert set(found.requests) == {3333, 3334}
    assert found.peaks(max_pods=10, max_requests=3333)[0].advice == (
        "spec.calendarSync.every of the SchedulePool people: 3334 of the requests are syncs every 30m"
    )


@pytest.mark.parametrize("pools", [[], [pool(suspend=True)], [pool(members="Database")]])
def test_users_of_a_pool_that_serves_them_not_start_nothing_and_ask_nothing(pools: list[dict[str, Any]]) -> None:
    found = forecast(users(3, pool="people"), SATURDAY, pools=pools)
    assert found.requests_of_the_day == 0


def test_a_change_is_answered_before_it_is_made() -> None:
    herd, changes = users(90), what_if.parse(["every=1h", "every=15m", "pool=people", "shards=2"])
    found = forecast(
        what_if.schedules(herd, changes), SATURDAY, pools=what_if.pools([], changes, namespaces=["people", "people"])
    )
    assert sum(found.pods_of(SYNC)) == 2 * 24 * 60
    assert found.requests_of_the_day == 90 * (96 + 1)
    back = what_if.schedules(what_if.schedules(herd, changes), what_if.parse(["pool=", "every=30m"]))
    assert forecast(back, SATURDAY).pods == forecast(herd, SATURDAY).pods


def test_a_number_of_members_is_answered_for_pools_of_the_database() -> None:
    changes = what_if.parse(["members=20000", "every=1h", "tick=10m"])
    (changed,) = what_if.pools([pool(counted=3, members="Database")], changes, namespaces=[])
    found = forecast([], SATURDAY, pools=[changed])
    assert (found.requests_of_the_day, sum(found.pods_of(SYNC))) == (20_000 * 25, 24 * 6)


@pytest.mark.parametrize("change", ["every", "every=7m", "pool=A_B", "tick=3m", "shards=0", "members=-1", "moon=1"])
def test_a_change_that_is_none_is_refused_with_what_there_is(change: str) -> None:
    done = CliRunner().invoke(main, ["forecast", "--if", change])
    assert (done.exit_code, f"Invalid value for --if: {change}" in done.output) == (2, True), done.output
