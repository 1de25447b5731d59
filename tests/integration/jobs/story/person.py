"""One user of a story: what they want, what Google knows of their time, and when their digest fires."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from catchup_contract.api import DEFAULT_SYNC_EVERY
from catchup_contract.digest_rule import FOLLOW_UPS, DigestDay, DigestTime
from catchup_contract.env import Env
from catchup_contract.timestamps import format_utc
from catchup_jobs.domain.placement.job_slots import Slots, When, slots_of

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind

FREQUENCIES: Final = ("daily", "weekly", "biweekly", "monthly", None)
# The controller starts a CronJob at the due time and as much later, as long as that is the same local date.
_FIRINGS: Final = (timedelta(0), *FOLLOW_UPS)


@dataclass
class Person:
    """What the application, the UserSchedule and Google have of a user.

    Attributes:
        since: when the schedule was made or resumed (UTC).
        blocks: hours of each day for others, as (start, end); empty: 09:00 to 21:00.
        busy: the events at Google by id, as (start, end, title).
        known: how many contacts they ever had.
        fired: the latest slot for which the controller started a digest, or when the CronJob was made.
        made: when the CronJobs of their own were made.
        joined: when they came to the pool last, None for never.
        pooled: whether they are in the pool.
        enrolled: when they were enrolled in a pool of the database (UTC), None in one of UserSchedules. While they have
            a UserSchedule, and CronJobs of their own, that waits.
        schedules: how many UserSchedules they ever had.
        until: when a suspension with an end is over, or was (UTC).
        pauses: the suspensions, as (begin, end); of the present one the end that it has so far.
        pool_pauses: those of the pool that served them then.
        edited: when they last changed when their digests are due.
    """

    id: str
    number: int
    zone: str
    at: str
    since: datetime
    fired: datetime
    day: str = "Daily"
    suspended: bool = False
    made: datetime = field(init=False)
    joined: datetime | None = None
    pooled: bool = False
    enrolled: datetime | None = None
    schedules: int = 1
    until: datetime | None = None
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)
    pool_pauses: list[tuple[datetime, datetime]] = field(default_factory=list)
    edited: datetime = field(init=False)
    paused: bool = False
    connected: bool = False
    stopped: bool = False
    sms: str = "on"
    email: str = "fallback"
    consent_at: datetime | None = None
    blocks: list[tuple[str, str]] = field(default_factory=list)
    known: int = 0
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    busy: dict[str, tuple[datetime, datetime, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.made = self.edited = self.since

    @property
    def when(self) -> DigestTime:
        return DigestTime(ZoneInfo(self.zone), DigestDay(self.day), time.fromisoformat(self.at))

    @property
    def phone(self) -> str:
        return f"+447700900{self.number:03d}"

    @property
    def address(self) -> str:
        """Of the mailbox, and of the Google account."""
        return f"{self.id}@example.com"

    def know(self, now: datetime, dice: random.Random, *, days: int = 400) -> str:
        """Get a new contact, known for so many days and never met; return their name."""
        self.known += 1
        name = f"C{self.known}"
        self.contacts[name] = {
            "id": name,
            "name": name,
            "frequency": dice.choice(FREQUENCIES),
            "tags": dice.choice([[], ["climbing"], ["URL preferred"]]),
            "createdAt": (now - timedelta(days=days)).isoformat(),
            "interactions": [],
        }
        return name

    def document(self) -> dict[str, Any]:
        """Return the user as the application imports it."""
        days = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        blocks = [{"days": days, "start": start, "end": end} for start, end in self.blocks]
        consent = {"consentAt": self.consent_at.isoformat()} if self.consent_at else {}
        return {
            "id": self.id,
            "name": self.id.title(),
            "timeZone": self.zone,
            "paused": self.paused,
            "digest": {"day": self.day, "time": self.at},
            "availability": {"manualBlocks": blocks, "night": {"start": "22:00", "end": "07:00"}},
            "channels": {
                "sms": {"phone": self.phone, "mode": self.sms, **consent},
                "email": {"address": self.address, "mode": self.email},
            },
            "contacts": list(self.contacts.values()),
        }

    def is_off(self, now: datetime) -> bool:
        """Whether their schedule is suspended."""
        return self.suspended or (self.until is not None and now < self.until)

    def active_since(self, now: datetime) -> datetime:
        """Return since when their digests are due: what fell due in a suspension is not."""
        return self.since if self.until is None or now < self.until else max(self.since, self.until)

    def suspend(self, now: datetime, until: datetime | None) -> None:
        """Suspend their schedule, with an end or without."""
        self.resume(now)
        self.suspended, self.until = until is None, until
        self.pauses.append((now, until or datetime.max.replace(tzinfo=UTC)))

    def resume(self, now: datetime) -> None:
        """Resume it, if it is suspended, and forget a suspension that is over."""
        self.since = self.active_since(now)
        if self.is_off(now):
            self.since = now
            self.pauses[-1] = (self.pauses[-1][0], now)
        self.suspended, self.until = False, None

    def environment(self, now: datetime) -> dict[str, str]:
        """Return what the operator sets in the pods of their UserSchedule."""
        return {
            Env.TIME_ZONE: self.zone,
            Env.DIGEST_DAY: self.day,
            Env.DIGEST_TIME: self.at,
            Env.DIGEST_SINCE: format_utc(self.active_since(now)),
            Env.SYNC_EVERY: DEFAULT_SYNC_EVERY,
        }

    def slots(self, kind: Kind, *, resumed: datetime | None = None) -> Slots:
        """Return their slots, the same in each placement; `resumed` is when their pool was."""
        day, at = DigestDay(self.day), time.fromisoformat(self.at)
        ends = max((end for end in (self.until, resumed) if end is not None), default=None)
        return slots_of(kind, self.id, When(self.zone, day, at, self.since, DEFAULT_SYNC_EVERY, ends))

    def due_after(self, instant: datetime) -> datetime:
        """Return the next instant at which a digest is due."""
        return next(self.when.due_after(instant))

    def firing(self, now: datetime) -> datetime | None:
        """Return the latest slot up to now that was not fired, None where there is none or it is suspended."""
        if self.is_off(now):
            return None
        due, zone, found = now - timedelta(days=9), ZoneInfo(self.zone), []
        while (due := self.due_after(due)) <= now:
            date = due.astimezone(zone).date()
            found += [slot for later in _FIRINGS if (slot := due + later).astimezone(zone).date() == date]
        return max((slot for slot in found if self.fired < slot <= now), default=None)

    def keeps(self, start: datetime, end: datetime) -> bool:
        """Whether a time is within the hours that they keep for others, and none of Google's events is in it."""
        zone = ZoneInfo(self.zone)
        first, last = start.astimezone(zone), end.astimezone(zone)
        hours = [
            (time.fromisoformat(begin), time.fromisoformat(over)) for begin, over in self.blocks or [("09:00", "21:00")]
        ]
        inside = first.date() == last.date() and any(
            begin <= first.time() and last.time() <= over for begin, over in hours
        )
        return inside and not any(begin < end and start < over for begin, over, _ in self.busy.values())
