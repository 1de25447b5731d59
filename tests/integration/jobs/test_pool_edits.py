"""A member whose times are edited is served as by a CronJob of their own: from the first slot after the edit on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from integration.jobs.pool_world import PoolWorld, apply, cadence_of, schedule

from catchup_contract.kinds import DIGEST
from catchup_contract.timestamps import format_utc

# A Sunday; 08:00 UTC is 09:00 in Berlin.
DUE = datetime(2026, 11, 29, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
EDITED = DUE - 5 * MINUTE


class Imported:
    """`ada`, whose digest is in the evening, by enrolment: an import edits it to 09:00."""

    def __init__(self, pool: PoolWorld) -> None:
        self.pool = pool
        pool.enrol("ada", digest_time=time(18))

    def edit(self) -> None:
        self.pool.enrol("ada", digest_time=time(9))

    def read(self) -> None:
        """Nobody tells the pods of it."""


class Listed:
    """`ada` by a UserSchedule: the operator sees its edit, and a later tick reads the list."""

    def __init__(self, pool: PoolWorld) -> None:
        self.pool = pool
        pool.enrol("ada", pool=None)
        self.schedule = schedule("ada", digest_time="18:00", digest_since="2026-11-01T00:00:00Z")
        self.read()

    def edit(self) -> None:
        edited_at = format_utc(self.pool.now)
        self.schedule = replace(self.schedule, generation=2, digest_time="09:00", edited_at=edited_at)

    def read(self) -> None:
        apply(self.pool, self.schedule)


@pytest.mark.parametrize("member", [Imported, Listed])
@pytest.mark.parametrize(
    ("edited_at", "read_at", "served"),
    [
        (EDITED, DUE + 3 * timedelta(seconds=1), DUE),
        (EDITED, DUE + 40 * MINUTE, DUE),
        (EDITED, DUE + HOUR + 40 * MINUTE, DUE + HOUR),
        # What passed before the edit is left to the follow-up.
        (DUE + 20 * MINUTE, DUE + 40 * MINUTE, None),
        (DUE + 20 * MINUTE, DUE + HOUR, DUE + HOUR),
    ],
    ids=["at once", "later", "after the follow-up", "edited into the past", "follow-up of the past"],
)
def test_a_digest_that_is_edited_is_served_from_the_first_slot_after_the_edit_on_however_late_a_tick_reads_it(
    pool: PoolWorld,
    member: type[Imported | Listed],
    edited_at: datetime,
    read_at: datetime,
    served: datetime | None,
) -> None:
    pool.kind, pool.now = DIGEST, DUE - 2 * HOUR
    ada = member(pool)
    pool.tick()
    assert pool.row("ada").due_at == DUE + 9 * HOUR
    pool.now = edited_at
    ada.edit()
    pool.now = read_at
    ada.read()
    pool.tick()
    pool.tick()

    assert pool.served == ([] if served is None else [("ada", served)])
    assert pool.row("ada").due_at > pool.now


def test_an_edit_of_something_else_makes_nobody_due_again(pool: PoolWorld) -> None:
    pool.kind, pool.now = DIGEST, DUE - 2 * HOUR
    ada = Listed(pool)
    ada.edit()
    ada.read()
    pool.now = DUE
    pool.tick()
    assert pool.served == [("ada", DUE)]
    pool.now = DUE + 40 * MINUTE
    ada.schedule = replace(ada.schedule, generation=3, priority="high")
    ada.read()
    pool.tick()

    assert pool.served == [("ada", DUE)]
    assert pool.row("ada").due_at == DUE + HOUR


@pytest.mark.parametrize("member", [Imported, Listed])
def test_a_sync_is_made_at_its_own_slots_whatever_is_edited(pool: PoolWorld, member: type[Imported | Listed]) -> None:
    pool.now = DUE
    ada = member(pool)
    pool.tick()
    due_at = pool.row("ada").due_at
    pool.pass_time(minutes=1)
    ada.edit()
    ada.read()
    assert pool.row("ada").due_at == due_at
    pool.tick()

    assert len(pool.served) == 1
    assert pool.row("ada").due_at == due_at


def test_a_sync_whose_longer_interval_is_edited_away_is_not_put_off_by_that(pool: PoolWorld) -> None:
    pool.now = DUE
    ada = Listed(pool)
    ada.schedule = replace(ada.schedule, sync_every="24h")
    ada.read()
    pool.tick()
    slot = next(cadence_of("ada").due_after(pool.now))
    ada.edit()
    ada.schedule = replace(ada.schedule, sync_every="30m")
    pool.now = slot + 15 * MINUTE
    ada.read()
    pool.tick()

    assert pool.served[1:] == [("ada", slot)]
