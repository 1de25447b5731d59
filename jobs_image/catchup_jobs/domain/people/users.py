"""Users and their schedules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.domain.calendar.availability import AvailabilityParameters


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the user's jobs run; the user's UserSchedule owns it, where there is one.

    Attributes:
        time_zone: IANA name; the other values are meant in it.
        sync_every: the time between two syncs, a key of `catchup_contract.api.SYNC_INTERVALS_MINUTES`.
    """

    time_zone: str
    digest_day: DigestDay
    digest_time: time
    sync_every: str


@dataclass(frozen=True, slots=True)
class User:
    """A person who uses CatchUp.

    Attributes:
        city: where the user lives; a contact there is near.
        paused: the user wants no suggestions and digests; calendars are still synced.
    """

    id: str
    name: str = field(repr=False)
    schedule: Schedule
    paused: bool
    availability: AvailabilityParameters
    city: str | None = field(default=None, repr=False)
