from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence

cadences = st.sampled_from(sorted(SYNC_INTERVALS_MINUTES.values())).flatmap(
    lambda interval: st.builds(Cadence, st.just(interval), st.integers(0, interval - 1))
)
instants = st.integers(1704067200, 2145916800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(cadences, instants)
def test_runs_are_one_interval_apart_at_the_offset_and_the_first_is_the_next_after_now(
    cadence: Cadence, now: datetime
) -> None:
    runs = list(islice(cadence.due_after(now), 5))
    interval = timedelta(minutes=cadence.interval)
    assert now < runs[0] <= now + interval
    assert all(later - earlier == interval for earlier, later in pairwise(runs))
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    assert all((run - midnight) // timedelta(minutes=1) % cadence.interval == cadence.offset for run in runs)


@pytest.mark.parametrize("every", SYNC_INTERVALS_MINUTES)
def test_a_run_that_is_rare_outlasts_an_outage_of_a_night_and_starts_before_the_next(every: str) -> None:
    expected = {"12h": 11 * 3600, "24h": 23 * 3600}.get(every, 600)
    assert Cadence(SYNC_INTERVALS_MINUTES[every], 0).starting_deadline(600) == expected


def test_users_are_spread_evenly_over_the_interval_and_keep_their_minute() -> None:
    offsets = [Cadence.of_user("sync", 30, f"user-{number}").offset for number in range(3000)]
    per_minute = [offsets.count(minute) for minute in range(30)]
    assert min(per_minute) > 60
    assert max(per_minute) < 140
    assert Cadence.of_user("sync", 30, "ada") == Cadence.of_user("sync", 30, "ada")


@given(cadences, instants)
def test_the_latest_run_is_the_one_before_the_next(cadence: Cadence, now: datetime) -> None:
    latest = cadence.latest(now)
    assert latest <= now < latest + timedelta(minutes=cadence.interval)
    assert next(cadence.due_after(latest - timedelta(seconds=1))) == latest
