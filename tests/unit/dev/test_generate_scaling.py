"""The sizes of docs/scaling.md follow from its figures."""

from __future__ import annotations

import pytest

from catchup_dev.generate import scaling


@pytest.mark.parametrize(("users", "cores"), [(1_000, 1.5), (10_000, 15), (100_000, 147)])
def test_users_with_cronjobs_of_their_own_take_what_was_measured_of_a_pod(users: int, cores: float) -> None:
    # 48 syncs of 2.6 s and 5 of 7 days a start of a digest, by hand: 126.6 s a day and user.
    assert scaling.own_cores(users) == pytest.approx(users * 126.6 / 86_400, rel=0.001)
    assert scaling.own_cores(users) == pytest.approx(cores, rel=0.05)


def test_a_pool_without_work_costs_its_ticks_and_a_large_one_its_members() -> None:
    assert scaling.pool_cores(0) == pytest.approx(2 * 1_440 * scaling.TICK.value / 86_400)
    ticks = (5 + 1) * 1_440 * scaling.TICK.value
    members = 100_000 * (48 * scaling.POOLED.value + 3 / 7 * scaling.POOLED_DIGEST.value + 4 * scaling.PLAN.value)
    assert scaling.pool_cores(100_000) == pytest.approx((ticks + members) / 86_400)


@pytest.mark.parametrize(
    ("users", "sync", "digest"), [(100, 1, 1), (24_000, 1, 1), (24_001, 2, 1), (100_000, 5, 1), (1_000_000, 42, 6)]
)
def test_shards_grow_with_who_is_due_in_a_minute(users: int, sync: int, digest: int) -> None:
    assert (scaling.sync_shards(users), scaling.digest_shards(users)) == (sync, digest)


def test_the_smallest_of_the_clusters_limits_counts() -> None:
    # 5,000 CronJobs are 2,500 users.
    assert [scaling.own_clusters(users) for users in (2_500, 2_501, 100_000)] == [1, 2, 40]


def test_the_list_of_calendars_is_one_request_a_day_beside_those_of_the_syncs() -> None:
    assert scaling.requests_a_day(100_000, 30) == 4_900_000
    assert scaling.requests_a_day(100_000, 180) == 900_000
