"""Users whom UserSchedules name: who is a member, and when they are served."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from integration.jobs.pool_world import (
    NOW,
    POOL,
    PoolWorld,
    apply,
    apply_part,
    apply_to_enrolled,
    cadence_of,
    dedicated,
    held,
    listed_members,
    member,
    schedule,
)
from sqlalchemy import select

from catchup_contract.cadence import Cadence
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, decode, encode
from catchup_jobs.adapters.database.pools.apply_list import apply_list
from catchup_jobs.adapters.database.pools.overview import overviews
from catchup_jobs.adapters.database.pools.ticks import note_tick
from catchup_jobs.adapters.database.schema import pool_slots, users
from catchup_jobs.jobs.run.errors import TemporaryError


@pytest.mark.parametrize(
    "names_ada",
    [
        dedicated("ada"),
        schedule("ada", pool="others"),
        schedule("ada", is_served=False),
        schedule("ada", pool="", is_served=False),
    ],
    ids=["CronJobs of its own", "another pool", "suspended", "in conflict"],
)
def test_whom_a_user_schedule_names_is_not_served_by_enrolment_until_it_is_gone(
    pool: PoolWorld, names_ada: ListedSchedule
) -> None:
    pool.enrol("ada", "bob")
    pool.tick()
    pool.served.clear()

    apply_to_enrolled(pool, names_ada, dedicated("stranger"))
    pool.tick()
    pool.pass_time(minutes=30)
    pool.tick()
    assert (pool.users_served(), held(pool)) == (["bob"], 1)
    apply_to_enrolled(pool, dedicated("stranger"))
    pool.tick()
    assert held(pool) == 0
    pool.now = pool.row("ada").due_at
    pool.tick()
    assert "ada" in pool.users_served()


def test_an_import_of_a_user_whom_a_user_schedule_names_makes_no_member(pool: PoolWorld) -> None:
    apply_to_enrolled(pool, dedicated("ada"))

    pool.enrol("ada")
    apply_to_enrolled(pool, dedicated("ada"))
    pool.tick()

    assert held(pool) == 1  # though the pool has no member
    assert all(one.members == 0 for one in overviews(pool.database, now=pool.now))


def test_a_pool_of_user_schedules_serves_nobody_by_enrolment_and_the_other_way_round(pool: PoolWorld) -> None:
    pool.enrol("ada")
    pool.enrol("bob", pool=None)

    def members() -> list[tuple[int, int]]:
        return [(shown.members, shown.by_schedules) for shown in overviews(pool.database, now=pool.now)][:1]

    apply_to_enrolled(pool, schedule("bob"))
    assert members() == [(1, 0)]
    apply(pool, schedule("bob"))
    assert members() == [(1, 1)]
    apply_to_enrolled(pool, schedule("bob"))
    assert members() == [(1, 0)]


def test_a_list_that_is_not_complete_ends_no_membership(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"))

    apply_part(pool, schedule("bob"))

    assert {overview.by_schedules for overview in overviews(pool.database, now=pool.now)} == {2}
    apply(pool, schedule("bob"))
    assert {overview.by_schedules for overview in overviews(pool.database, now=pool.now)} == {1}


def test_before_a_complete_list_was_read_nobody_is_served(pool: PoolWorld) -> None:
    with pytest.raises(TemporaryError, match="not complete yet"):
        apply_part(pool, schedule("ada"))


def test_a_user_schedule_that_names_the_pool_says_when(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None, digest_time=time(6))
    apply(pool, schedule("ada", time_zone="Asia/Kathmandu", digest_day="Daily", digest_time="07:15"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)


def test_the_sync_of_a_user_schedule_has_its_own_interval(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", sync_every="6h"))

    pool.tick()

    assert pool.served == [("ada", Cadence.of_user("sync", 360, "ada").latest(NOW))]
    assert pool.row("ada").due_at == next(Cadence.of_user("sync", 360, "ada").due_after(NOW))


@pytest.mark.parametrize(("field", "kind"), [("sync_every", SYNC), ("digest_day", DIGEST)])
def test_a_kind_that_a_user_schedule_disables_is_not_served(pool: PoolWorld, field: str, kind: Kind) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", generation=2, **{field: ""}))

    shown = [overview.kind for overview in overviews(pool.database, now=pool.now)]

    assert shown == [other for other in (DIGEST, SYNC) if other is not kind]


def test_an_older_generation_never_overwrites_a_newer_one(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", generation=3, digest_time="18:00"))
    apply(pool, schedule("ada", generation=2, digest_time="07:00"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 17, tzinfo=UTC)


def test_a_pod_with_an_old_list_takes_no_user_from_the_pool_that_serves_them_now(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", generation=2, pool="others"), name="others")

    apply(pool, schedule("ada"), dedicated("bob"))
    apply(pool, schedule("ada", generation=2, pool="others"))

    assert {overview.pool for overview in overviews(pool.database, now=pool.now)} == {"others"}


def test_a_user_who_is_imported_after_the_user_schedule_becomes_a_member(pool: PoolWorld) -> None:
    assert apply(pool, schedule("ada")) == []

    pool.enrol("ada", pool=None)

    assert apply(pool, schedule("ada")) == ["ada"]


def test_users_of_high_priority_are_served_first_until_others_have_waited_for_half_an_hour(pool: PoolWorld) -> None:
    names = ["high", "normal", "low", "low-for-long"]
    pool.enrol(*names, pool=None)
    apply(pool, *(schedule(name, priority=name.partition("-")[0]) for name in names))
    pool.make_due()
    pool.make_due(["low-for-long"], at=NOW - timedelta(minutes=31))
    pool.make_due(["high"], at=NOW)

    pool.tick(workers=1)

    assert pool.users_served() == ["low-for-long", "high", "normal", "low"]


def test_the_priority_does_not_count_after_an_interval_of_waiting(pool: PoolWorld) -> None:
    names = ["high", "low", "low-for-long"]
    pool.enrol(*names, pool=None)
    apply(pool, *(schedule(name, priority=name.partition("-")[0], sync_every="5m") for name in names))
    pool.make_due()
    pool.make_due(["low-for-long"], at=NOW - timedelta(minutes=6))

    pool.tick(workers=1)

    assert pool.users_served() == ["low-for-long", "high", "low"]


def test_who_is_put_back_has_waited_since_the_slot(pool: PoolWorld) -> None:
    names = ["high", "low", "low-put-back"]
    pool.enrol(*names, pool=None)
    apply(pool, *(schedule(name, priority=name.partition("-")[0]) for name in names))
    pool.tick()
    pool.served.clear()
    pool.make_due()
    with pool.database.write() as connection:
        # The slot waited for a quota again and again.
        slot = cadence_of("low-put-back").latest(NOW - timedelta(minutes=31))
        put_back = pool_slots.update().where(pool_slots.c.user_id == "low-put-back", pool_slots.c.kind == SYNC)
        connection.execute(put_back.values(unfinished=slot))

    pool.tick(workers=1)

    assert pool.users_served() == ["low-put-back", "high", "low"]


def test_what_was_due_before_a_user_schedule_was_resumed_is_not_sent_while_nobody_knows_since_when(
    pool: PoolWorld,
) -> None:
    pool.kind, pool.now = DIGEST, datetime(2026, 11, 29, 8, 0, 30, tzinfo=UTC)
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))

    pool.tick()

    assert pool.served == []


def test_a_changed_spread_of_digests_is_followed_and_the_users_row_keeps_the_chosen_time(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"))
    apply(pool, schedule("ada", digest_time="09:40", digest_chosen="09:00"))

    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 8, 40, tzinfo=UTC)
    with pool.database.read() as connection:
        assert connection.execute(select(users.c.digest_time)).scalar() == time(9)


def test_a_user_whose_user_schedule_is_gone_may_be_given_another_time_by_import(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada")
    apply(pool, schedule("ada", digest_time="10:00"))
    apply_to_enrolled(pool)

    pool.enrol("ada", digest_time=time(18, 30))
    pool.tick()

    assert pool.row("ada").due_at == datetime(2026, 11, 29, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize("fields", [{"time_zone": "Moon/Base"}, {"digest_day": "Someday"}, {"sync_every": "7m"}])
def test_a_user_schedule_that_this_version_cannot_read_stops_nobody_else(
    pool: PoolWorld, fields: dict[str, str]
) -> None:
    pool.enrol("ada", "bob", pool=None)

    assert apply(pool, schedule("ada", **fields), schedule("bob")) == ["bob"]


def test_an_older_list_never_undoes_a_newer_one_whatever_happens_between(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), order=7)
    apply(pool, schedule("bob"), order=8)

    assert apply(pool, schedule("ada"), order=7) == []
    assert listed_members(pool) == {"bob"}
    pool.enrol("cy", pool=None)  # has the list read again
    assert apply(pool, schedule("ada"), schedule("cy"), order=7) == []
    assert listed_members(pool) == {"bob"}
    assert apply(pool, schedule("ada"), schedule("cy"), order=9) == ["ada", "cy"]
    assert listed_members(pool) == {"ada", "cy"}


def test_a_list_of_an_operator_that_says_no_order_is_applied_as_before(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), order=7)

    old = replace(decode(encode([schedule("bob")])), order=None)
    apply_list(pool.database, POOL, old, where=Members.USER_SCHEDULES, now=pool.now)
    assert listed_members(pool) == {"bob"}
    apply(pool, schedule("ada"), order=8)
    assert listed_members(pool) == {"ada"}


def test_a_part_that_is_older_than_what_is_known_ends_no_membership(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", generation=2))

    apply_part(pool, schedule("ada", generation=1, pool="others"))

    assert listed_members(pool) == {"ada"}


def test_a_priority_of_a_newer_version_counts_as_normal(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)

    assert apply(pool, schedule("ada", priority="urgent"), schedule("bob")) == ["ada", "bob"]
    assert pool.row("ada").priority == pool.row("bob").priority


def test_a_pool_whose_enrolled_users_are_all_held_is_shown(pool: PoolWorld) -> None:
    pool.enrol("ada")
    apply_to_enrolled(pool, schedule("ada", is_served=False))

    assert [(one.pool, one.kind, one.members, one.held) for one in overviews(pool.database, now=pool.now)] == [
        (POOL, DIGEST, 0, 1),
        (POOL, SYNC, 0, 1),
    ]


def test_an_enrolment_that_ends_while_a_digest_is_due_loses_no_digest(pool: PoolWorld) -> None:
    due = datetime(2026, 11, 29, 8, tzinfo=UTC)
    pool.kind, pool.now = DIGEST, due - timedelta(hours=1)
    pool.enrol("ada", "bob", "cy")
    pool.tick()
    pool.now = due + timedelta(seconds=20)
    # CronJobs of ada's own serve her from the next time on; bob has left for good.
    apply_to_enrolled(pool, dedicated("ada"))
    pool.enrol("ada", "bob", pool=None)

    pool.tick()
    assert sorted(pool.served) == [("ada", due), ("bob", due), ("cy", due)]
    pool.pass_time(minutes=5)
    pool.tick()
    pool.pass_time(days=7)
    pool.served.clear()
    pool.tick()

    assert pool.users_served() == ["cy"]


def test_who_left_while_the_pool_did_not_tick_is_not_served_weeks_later(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("ada"), schedule("bob"))
    pool.make_due()
    apply(pool, dedicated("ada"), schedule("bob"))
    pool.pass_time(days=14)

    pool.tick()

    assert pool.users_served() == ["bob"]


def test_whose_user_schedule_is_gone_after_its_pool_is_served_by_enrolment(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", pool="old"), name="old")
    note_tick(pool.database, "old", now=pool.now)
    # The pool is deleted: no pod of it drops whoever leaves.
    pool.enrol("ada")
    apply(pool, schedule("ada", pool="old", is_served=False), where=Members.DATABASE, order=1)
    assert held(pool) == 1
    apply(pool, where=Members.DATABASE, order=2)
    assert held(pool) == 1, "the other pool may be there, with a newer list"

    pool.pass_time(minutes=61)
    apply(pool, where=Members.DATABASE, order=2)
    pool.tick()

    assert (pool.users_served(), held(pool)) == (["ada"], 0)


def test_a_pool_that_ticks_keeps_the_members_whom_another_pools_list_does_not_name(pool: PoolWorld) -> None:
    """Such as those of another cluster on the same database."""
    pool.enrol("ada")
    apply(pool, schedule("ada", pool="elsewhere"), name="elsewhere")
    for _ in range(3):
        pool.pass_time(minutes=30)
        note_tick(pool.database, "elsewhere", now=pool.now)
        apply(pool, where=Members.DATABASE, order=1)

    assert (member(pool, "ada").pool, held(pool)) == ("elsewhere", 1)


def test_a_pool_that_is_back_takes_those_members_back_whom_another_has_freed(pool: PoolWorld) -> None:
    pool.enrol("ada")
    apply(pool, schedule("ada", pool="old"), name="old", order=1)
    apply(pool, where=Members.DATABASE, order=1)
    assert member(pool, "ada").pool == POOL

    apply(pool, schedule("ada", pool="old"), name="old", order=1)

    assert member(pool, "ada").pool == "old"
