"""SchedulePools: CronJobs that serve any number of users; each of their runs is called a tick."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from catchup_contract.api import name_form, name_pattern

POOL_KIND: Final = "SchedulePool"
POOL_PLURAL: Final = "schedulepools"
LABEL_POOL: Final = "catchup.dev/schedule-pool"

# The names of the CronJobs are `<pool>-pool-<kind>`, of at most 52 characters.
POOL_NAME_MAX: Final = 40
"""Characters of a SchedulePool's name at most."""
POOL_NAME_PATTERN: Final = name_pattern(POOL_NAME_MAX)
POOL_NAME_FORM: Final = name_form(POOL_NAME_MAX)


class Members(StrEnum):
    """Where the members of a pool are (`spec.members`)."""

    DATABASE = "Database"  # enrolled by `user import`
    USER_SCHEDULES = "UserSchedules"  # those that say `spec.pool`


class Off(StrEnum):
    """Why a SchedulePool's kind of job is switched off."""

    SUSPENDED = "Suspended"  # or an older SchedulePool has its name
    DISABLED = "Disabled"


TICKS_MINUTES: Final = {f"{minutes}m": minutes for minutes in (1, 2, 5, 10)}
"""The intervals at which the pods of a pool look who is due (minutes)."""
DEFAULT_TICK: Final = "1m"
SHARDS_MAX: Final = 64
"""The largest number of shards of a pool: pods that share a tick's work."""
TICK_DEADLINE_SECONDS: Final = 300
"""`activeDeadlineSeconds` of a tick's Job: it bounds how many ticks live at once, with `concurrencyPolicy: Allow`."""
TICK_STARTING_SECONDS: Final = 60
"""`startingDeadlineSeconds` of a tick: a later one would do what the next one does."""
SNAPSHOT_MINUTES: Final = 5
"""A pool's pods count the whole pool at most this often (minutes), for its status."""


def counts_the_pool(slot: datetime | None, tick: str) -> bool:
    """Return whether the tick of a slot (UTC) counts the whole pool: the first one in each `SNAPSHOT_MINUTES`.

    One that is started by hand (None) does, too. `tick` is a key of `TICKS_MINUTES`.
    """
    if slot is None:
        return True
    minutes = TICKS_MINUTES[tick]
    return slot.minute % SNAPSHOT_MINUTES < (minutes if minutes < SNAPSHOT_MINUTES else 1)


def pages_max(tick: str) -> int:
    """Return how many pages come round within `SNAPSHOT_MINUTES` with a tick, a key of `TICKS_MINUTES`; at least 1."""
    return max(1, SNAPSHOT_MINUTES // TICKS_MINUTES[tick])


def turn_of(slot: datetime | None, tick: str) -> int:
    """Return the number of the tick of a slot (UTC), one more than that of the tick before; 0 for one by hand."""
    return 0 if slot is None else int(slot.timestamp()) // (60 * TICKS_MINUTES[tick])
