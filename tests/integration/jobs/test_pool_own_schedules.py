"""A user's own schedule, as it was imported, and the one that a UserSchedule says: each holds in its time."""

from __future__ import annotations

from datetime import UTC, datetime, time

from integration.jobs.pool_world import PoolWorld, apply, dedicated, schedule
from sqlalchemy import select

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST
from catchup_contract.pools import Members
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.schema import users
from catchup_jobs.domain.people.users import Schedule

LISBON = Schedule("Europe/Lisbon", DigestDay.DAILY, time(18, 30), "1h")
BY_RESOURCE = {"time_zone": "Asia/Kathmandu", "digest_day": "Daily", "digest_time": "07:15"}


def holds(pool: PoolWorld) -> tuple[str, time]:
    """Return the zone and the digest's time of the user's row."""
    with pool.database.read() as connection:
        row = connection.execute(select(users.c.time_zone, users.c.digest_time)).one()
    return row.time_zone, row.digest_time


def apply_to_enrolled(pool: PoolWorld, *names: str, order: int) -> None:
    apply(pool, *(dedicated(name) for name in names), where=Members.DATABASE, order=order)


def test_whose_user_schedule_is_gone_is_served_by_the_imported_schedule_again(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", digest_time=time(9))
    apply(pool, schedule("ada", pool="staff", **BY_RESOURCE), name="staff")
    assert holds(pool) == ("Asia/Kathmandu", time(7, 15))
    apply(pool, name="staff", order=1)
    apply_to_enrolled(pool, order=1)
    pool.tick()

    assert holds(pool) == ("Europe/Berlin", time(9))
    assert pool.row("ada").due_at == datetime(2026, 11, 29, 8, tzinfo=UTC)


def test_what_was_imported_while_a_user_schedule_said_when_holds_once_that_is_gone(pool: PoolWorld) -> None:
    pool.kind = DIGEST
    pool.enrol("ada")
    apply_to_enrolled(pool, "ada", order=1)
    DatabaseUsers(pool.database).record_schedule("ada", LISBON, now=pool.now)  # as a pod of its own does
    pool.enrol("ada", digest_time=time(21, 30))
    assert holds(pool) == ("Europe/Lisbon", time(18, 30))

    apply_to_enrolled(pool, order=2)
    pool.tick()

    assert holds(pool) == ("Europe/Berlin", time(21, 30))
    assert pool.row("ada").due_at == datetime(2026, 11, 29, 20, 30, tzinfo=UTC)


def test_who_is_enrolled_after_the_user_schedule_of_cronjobs_is_gone_is_served_by_the_imported_schedule(
    pool: PoolWorld,
) -> None:
    pool.kind = DIGEST
    pool.enrol("ada", pool=None)
    apply_to_enrolled(pool, "ada", order=1)
    DatabaseUsers(pool.database).record_schedule("ada", LISBON, now=pool.now)
    apply_to_enrolled(pool, order=2)
    pool.enrol("ada", digest_time=time(21, 30))
    pool.tick()
    assert holds(pool) == ("Europe/Lisbon", time(18, 30)), "until the list says that no UserSchedule names the user"

    apply_to_enrolled(pool, order=2)
    pool.tick()

    assert holds(pool) == ("Europe/Berlin", time(21, 30))
    assert pool.row("ada").due_at == datetime(2026, 11, 29, 20, 30, tzinfo=UTC)


def test_a_user_who_is_enrolled_nowhere_has_the_own_schedule_too_once_the_pools_user_schedule_is_gone(
    pool: PoolWorld,
) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", **BY_RESOURCE), order=1)
    assert holds(pool) == ("Asia/Kathmandu", time(7, 15))

    apply(pool, order=2)

    assert holds(pool) == ("Europe/Berlin", time(9))


def test_who_moves_from_a_pool_to_cronjobs_keeps_the_user_schedules_values(pool: PoolWorld) -> None:
    pool.enrol("ada", pool=None)
    apply(pool, schedule("ada", **BY_RESOURCE), order=1)

    apply(pool, schedule("ada", pool="", generation=2, **BY_RESOURCE), order=2)

    assert holds(pool) == ("Asia/Kathmandu", time(7, 15))
