"""The calendar list is read once a day, and a change of it is seen within a day, or at once where it must be."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis
from integration.jobs.sync_world import ADA, EMAIL, outcome

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.redis.quota import RedisQuota
from catchup_jobs.domain.calendar.list_age import is_list_due
from catchup_jobs.jobs.sync.ports import DailyLimitError

if TYPE_CHECKING:
    from integration.jobs.sync_world import SyncWorld


def test_a_day_of_syncs_reads_the_list_once_and_sees_within_it_that_a_calendar_was_added(world: SyncWorld) -> None:
    world.sync()
    world.google.add_calendar(EMAIL, "team")
    world.google.clear_requests()

    for _ in range(48):
        world.pass_time(minutes=30)
        world.sync()

    assert (world.google.count("calendarList"), world.google.count("events")) == (1, 48)
    assert {calendar.google_id for calendar in world.selection.listing(ADA)} == {EMAIL, "team"}


def test_the_lists_of_users_who_connected_at_once_are_read_over_the_whole_day(world: SyncWorld) -> None:
    users = [f"user-{number}" for number in range(2000)]
    due = [
        sum(is_list_due(user, at - timedelta(minutes=30), now=at) for user in users)
        for at in (world.now + timedelta(minutes=30 * slot) for slot in range(48))
    ]
    assert sum(due) == len(users)
    assert max(due) < 3 * len(users) / 48


@pytest.mark.parametrize("how", ["full", "connects again"])
def test_by_hand_and_after_the_user_connected_again_the_list_is_read_at_once(world: SyncWorld, how: str) -> None:
    world.sync()
    world.google.add_calendar(EMAIL, "team")
    if how == "connects again":
        world.connect()

    world.sync(full=how == "full")

    assert {calendar.google_id for calendar in world.selection.listing(ADA)} == {EMAIL, "team"}


def test_a_calendar_that_answers_404_is_looked_for_in_the_list_at_once(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.google.remove_calendar(EMAIL, "team")
    world.google.clear_requests()

    report = world.sync()

    assert world.google.count("calendarList") == 1
    assert report.summary.counts[Count.CALENDARS_GONE] == 1
    assert world.calendar("team").removed_at == world.now


def test_a_calendar_that_is_forbidden_for_good_has_the_list_read_once(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.google.add_fault(kind="events", calendar="team", status=403, reason="forbidden", times=None)
    world.google.clear_requests()

    for _ in range(3):
        world.sync()

    assert world.google.count("calendarList") == 1


def test_a_sync_that_was_overtaken_by_a_new_consent_leaves_the_list_to_be_read_with_that(world: SyncWorld) -> None:
    kept = world.tokens.load(ADA)
    assert kept is not None
    world.connect()

    world.tokens.mark_listed(ADA, version=kept.version, now=world.now)

    assert world.token_row().calendars_listed_at is None


def test_requests_above_the_budget_of_the_day_are_refused_until_there_is_room_and_reserve_nothing(
    redis_url: str,
) -> None:
    with closing(RedisQuota.open(redis_url, "ada", project=10_000, user=600, day=10)) as quota:
        assert [quota.reserve() for _ in range(2)] == [0.0, 0.0]
        for _ in range(3):
            with pytest.raises(DailyLimitError):
                quota.reserve()
        with closing(redis.Redis.from_url(redis_url)) as client:
            # A fifth of ten at once, and the rest over the day: one in three hours.
            client.hincrbyfloat("catchup:quota:google:day", "at", -3 * 3600)
        assert quota.reserve() == 0.0
        with pytest.raises(DailyLimitError):
            quota.reserve()


def test_a_sync_without_room_in_the_budget_of_the_day_is_skipped(world: SyncWorld) -> None:
    class Spent:
        def reserve(self) -> float:
            raise DailyLimitError

    world.quota = Spent()

    assert outcome(world.sync()) == (ExitCode.DONE, Outcome.SKIPPED, Reason.DAILY_LIMIT)
    assert world.google.requests() == []
