"""When an interval kind runs for a user: evenly spread over the fleet, and the same for a user each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_HOUR: Final = 60
# Runs at this interval (minutes) or a longer one are too rare to lose one to an outage of the cluster overnight.
_RARE: Final = 12 * _HOUR
"""The interval (minutes) from which a missed sync may start until an hour before the next; at a shorter one uses its
kind's deadline.
"""

CALENDAR_LIST_MINUTES: Final = 24 * _HOUR
"""How often a user's list of calendars is read, in minutes: it seldom changes, and each reading is a request."""
FRESH: Final = timedelta(hours=24)
"""How long after its last sync a calendar counts as known; then its user gets no suggestions."""
MISSED_SYNCS: Final = 3
"""A sync is overdue when so many intervals have passed since the last success."""


def stable_hash(*parts: str) -> int:
    """Return a 256-bit number that depends on the parts only (Python's own `hash` differs between processes)."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest())


@dataclass(frozen=True, slots=True)
class Cadence:
    """Runs at every minute of the UTC day that is `offset` modulo `interval`; both in minutes, and it divides a day."""

    interval: int
    offset: int

    @classmethod
    def of_user(cls, kind: str, interval: int, user_id: str) -> Cadence:
        """Return a user's cadence for a kind: the offset is a hash of both, so that the fleet is spread evenly."""
        return cls(interval, stable_hash(kind, user_id) % interval)

    def starting_deadline(self, usual: int) -> int:
        """Return how late a run may still start, in seconds: `usual`, for rare runs until an hour before the next.

        Of the runs that were missed the CronJob controller starts the latest only.
        """
        return usual if self.interval < _RARE else (self.interval - _HOUR) * 60

    def latest(self, now: datetime) -> datetime:
        """Return the latest run that is not later than `now` (aware), in UTC."""
        return next(self.due_after(now)) - timedelta(minutes=self.interval)

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the runs later than `now` (aware), in UTC, without end."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        minutes = (now - midnight) // timedelta(minutes=1)
        runs = (minutes - self.offset) // self.interval + 1
        following = midnight + timedelta(minutes=self.offset + runs * self.interval)
        while True:
            yield following
            following += timedelta(minutes=self.interval)
