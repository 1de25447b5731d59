"""When a sync runs: an even interval and an offset that spreads the users over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from catchup_operator.manifests.names import stable_hash

_HOUR = 60


@dataclass(frozen=True, slots=True)
class Cadence:
    """Runs at every minute of the UTC day that is `offset` modulo `interval`; both in minutes, and it divides a day."""

    interval: int
    offset: int

    @classmethod
    def spread(cls, interval: int, user_id: str) -> Cadence:
        """Return the cadence of a user: the same at every visit, evenly spread over the fleet."""
        return cls(interval, stable_hash("sync", user_id) % interval)

    def cron(self) -> str:
        """Return the cron expression, to be read in UTC, e.g. `7,37 * * * *` or `12 1,3,5 * * *`."""
        if self.interval <= _HOUR:
            minutes = range(self.offset, _HOUR, self.interval)
            return f"{','.join(map(str, minutes))} * * * *"
        hours = range(self.offset // _HOUR, 24, self.interval // _HOUR)
        return f"{self.offset % _HOUR} {','.join(map(str, hours))} * * *"

    def runs_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the runs later than `now` (aware), in UTC, without end."""
        following = self.next_after(now)
        while True:
            yield following
            following += timedelta(minutes=self.interval)

    def next_after(self, now: datetime) -> datetime:
        """Return the first run later than `now` (aware), in UTC."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        passed = (now - midnight) // timedelta(minutes=1)
        runs = (passed - self.offset) // self.interval + 1
        return midnight + timedelta(minutes=self.offset + runs * self.interval)


def in_zone(instant: datetime, zone: str) -> str:
    """Return local time with the zone's short name and offset, e.g. `2026-11-24 09:07 CET (UTC+01:00)`."""
    local = instant.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M %Z} (UTC{offset[:3]}:{offset[3:5]})"


def instant_of(text: str) -> datetime:
    """Read the instant (UTC) that `in_zone` wrote. Raises ValueError for anything else."""
    day, clock, *_, offset = text.split(" ")
    return datetime.fromisoformat(f"{day}T{clock}{offset.removeprefix('(UTC').removesuffix(')')}").astimezone(UTC)
