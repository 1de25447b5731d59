"""Lists of UserSchedules of which parts are missing or older than the index: the next complete list mends all."""

from __future__ import annotations

import pytest
from integration.jobs.pool_world import (
    PoolWorld,
    apply,
    apply_part,
    dedicated,
    held,
    listed_members,
    member,
    schedule,
)
from sqlalchemy import select

from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule
from catchup_jobs.adapters.database.schema import pool_lists


@pytest.mark.parametrize(
    "older",
    [
        schedule("ada", is_served=False),
        schedule("ada", pool=""),
        schedule("ada", pool="others"),
        schedule("ada", uid="deleted", generation=9, is_served=False),
        schedule("ada", uid="deleted", generation=9, pool=""),
    ],
    ids=["conflict", "own CronJobs", "another pool", "recreated", "recreated, was Dedicated"],
)
def test_an_older_part_ends_no_membership_of_a_user_schedule(pool: PoolWorld, older: ListedSchedule) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"), order=2)

    apply_part(pool, older, order=2)

    assert listed_members(pool) == {"ada"}
    assert not member(pool, "ada").leaving


@pytest.mark.parametrize(
    "older",
    [
        schedule("ada", sync_every="6h"),
        schedule("ada", uid="deleted", generation=9),
        schedule("ada", suspended_until="2027-01-01T00:00:00Z"),
    ],
    ids=["same generation", "recreated", "suspension"],
)
def test_an_older_part_changes_no_member(pool: PoolWorld, older: ListedSchedule) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"), order=2)
    before = member(pool, "ada")

    assert apply_part(pool, older, order=2) == []

    assert member(pool, "ada") == before


def test_a_part_that_is_newer_than_what_is_known_counts_at_once(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", "cy", pool=None)
    apply(pool, schedule("ada"), schedule("bob"), order=2)

    newer = [
        schedule("ada", generation=2, is_served=False),
        schedule("bob", generation=2, sync_every="6h"),
        schedule("cy"),
    ]
    assert apply_part(pool, *newer, order=2) == ["bob", "cy"]

    assert listed_members(pool) == {"bob", "cy"}
    assert member(pool, "bob").sync_every == "6h"


def test_whom_an_older_part_makes_a_member_the_same_complete_list_drops(pool: PoolWorld) -> None:
    pool.enrol("ada", "bob", pool=None)
    apply(pool, schedule("bob"), order=2)

    assert apply_part(pool, schedule("ada"), schedule("bob"), order=2) == ["ada"]
    apply(pool, schedule("bob"), order=2)

    assert listed_members(pool) == {"bob"}


@pytest.mark.parametrize("older", [dedicated("ada"), schedule("ada", is_served=False)], ids=["served", "not served"])
def test_whose_enrolment_an_older_part_ends_the_same_complete_list_brings_back(
    pool: PoolWorld, older: ListedSchedule
) -> None:
    pool.enrol("ada")
    apply(pool, dedicated("stranger"), where=Members.DATABASE, order=2)

    apply_part(pool, older, where=Members.DATABASE, order=2)
    assert held(pool) == 1, "nobody is served twice"
    apply(pool, dedicated("stranger"), where=Members.DATABASE, order=2)

    assert held(pool) == 0


def test_a_part_by_which_nothing_changes_leaves_the_list_applied(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada"), order=2)
    noted = applied(pool)

    apply_part(pool, schedule("ada"), order=2)

    assert applied(pool) == noted


def applied(pool: PoolWorld) -> str | None:
    """Return what is stored of the list that was applied last."""
    with pool.database.read() as connection:
        return connection.execute(select(pool_lists.c.digest)).scalar()
