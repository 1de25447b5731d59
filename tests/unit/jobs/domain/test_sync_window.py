from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.calendar.sync_window import (
    AVAILABILITY_SPAN,
    FullSync,
    IncrementalSync,
    SyncState,
    choose_sync,
    full_window,
    spread,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SYNCED = SyncState(sync_token="token", params_hash="hash", horizon_end=NOW + timedelta(days=45))


def planned(
    state: SyncState = SYNCED, *, now: datetime = NOW, params_hash: str = "hash", force_full: bool = False
) -> FullSync | IncrementalSync:
    return choose_sync(state, params_hash=params_hash, spread_key="ada:primary", now=now, force_full=force_full)


def test_a_calendar_just_read_whole_is_read_for_changes() -> None:
    assert planned() == IncrementalSync(
        window=type(full_window(NOW))(NOW - timedelta(days=1), NOW + timedelta(days=45)), sync_token="token"
    )


@pytest.mark.parametrize(
    "state",
    [
        SyncState(),
        SyncState(sync_token=None, params_hash="hash", horizon_end=NOW + timedelta(days=45)),
        SyncState(sync_token="token", params_hash="hash", horizon_end=None),
        SyncState(sync_token="token", params_hash="other", horizon_end=NOW + timedelta(days=45)),
        SyncState(sync_token="token", params_hash="hash", horizon_end=NOW + timedelta(days=31)),
        SyncState(sync_token="token", params_hash="hash", horizon_end=NOW - timedelta(days=31)),
    ],
    ids=["never synced", "no token", "no horizon", "other parameters", "horizon near", "horizon past"],
)
def test_a_full_sync_is_due(state: SyncState) -> None:
    assert planned(state) == FullSync(full_window(NOW))


def test_a_full_sync_can_be_asked_for() -> None:
    assert isinstance(planned(force_full=True), FullSync)


def test_a_full_sync_reads_from_a_day_ago_to_45_days_ahead() -> None:
    assert full_window(NOW).start == NOW - timedelta(days=1)
    assert full_window(NOW).end == NOW + timedelta(days=45)


@given(st.text(), st.integers(0, 45 * 48))
def test_an_incremental_sync_always_leaves_more_than_the_days_that_availability_needs(key: str, halves: int) -> None:
    now = NOW + timedelta(minutes=30 * halves)
    if isinstance(choose_sync(SYNCED, params_hash="hash", spread_key=key, now=now), IncrementalSync):
        assert SYNCED.horizon_end is not None
        assert SYNCED.horizon_end - now > AVAILABILITY_SPAN + timedelta(days=1)


@given(st.text())
def test_a_full_sync_is_not_due_again_within_five_days(key: str) -> None:
    later = NOW + timedelta(days=5)
    assert isinstance(choose_sync(SYNCED, params_hash="hash", spread_key=key, now=later), IncrementalSync)


def test_the_next_full_syncs_of_a_fleet_connected_at_once_are_spread_over_days() -> None:
    by_day = [0] * 7
    for user in range(1000):
        by_day[int(spread(f"user-{user}") * 7)] += 1
    assert min(by_day) > 100
