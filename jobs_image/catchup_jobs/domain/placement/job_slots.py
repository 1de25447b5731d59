"""The slots of a user for a kind of job, as the user's own CronJob would have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime, occurrence_of_slot
from catchup_contract.kinds import Kind, Rule

_INSTANT: Final = timedelta(microseconds=1)
# Dates end with the year 9999, and a slot is looked for in the days after the end of a suspension.
_LATEST_END: Final = datetime(9999, 12, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class When:
    """When a user's jobs run, all kinds together.

    Attributes:
        digest_since: digests that fell due before are not caught up on (UTC).
        sync_every: a key of `catchup_contract.api.SYNC_INTERVALS_MINUTES`.
        resumes_at: the end of a suspension, present or past (UTC): what falls due before is not served.
    """

    time_zone: str
    digest_day: DigestDay
    digest_time: time
    digest_since: datetime | None
    sync_every: str
    resumes_at: datetime | None = None

    @property
    def digest(self) -> DigestTime:
        """The digest's part of it."""
        since = max((at for at in (self.digest_since, self.resumes_at) if at is not None), default=None)
        return DigestTime(ZoneInfo(self.time_zone), self.digest_day, self.digest_time, _bounded(since))


def _bounded(end: datetime | None) -> datetime | None:
    return None if end is None else min(end, _LATEST_END)


class Slots(Protocol):
    """A user's slots of one kind, all in UTC."""

    def latest(self, now: datetime) -> datetime | None:
        """Return the latest slot that is not later than `now` (aware), None where there is none to serve."""
        ...

    def missed(self, now: datetime) -> datetime | None:
        """Return the latest slot, None where it is so long ago that nothing is done for it any more."""
        ...

    def after(self, at: datetime) -> datetime:
        """Return the first slot later than `at` (aware)."""
        ...

    def next_after(self, slot: datetime, *, served_at: datetime) -> datetime:
        """Return the first slot that is to be served after one whose run began at `served_at` (aware).

        A sync that waited past further slots has served those, too; each digest is one of its own.
        """
        ...


@dataclass(frozen=True, slots=True)
class _IntervalSlots:
    cadence: Cadence
    since: datetime | None

    def latest(self, now: datetime) -> datetime | None:
        latest = self.cadence.latest(now)
        return latest if self.since is None or latest >= self.since else None

    def missed(self, now: datetime) -> datetime | None:
        return self.latest(now)

    def after(self, at: datetime) -> datetime:
        # A slot at the very end of a suspension is served.
        return next(self.cadence.due_after(at if self.since is None or self.since <= at else self.since - _INSTANT))

    def next_after(self, slot: datetime, *, served_at: datetime) -> datetime:
        return self.after(max(slot, served_at))


@dataclass(frozen=True, slots=True)
class _LocalTimeSlots:
    digest: DigestTime

    def latest(self, now: datetime) -> datetime | None:
        return self.digest.latest_firing(now)

    def missed(self, now: datetime) -> datetime | None:
        latest = self.digest.latest_firing(now)
        due = None if latest is None else occurrence_of_slot(latest, self.digest)
        return None if due is None or due.is_late(now) else latest

    def after(self, at: datetime) -> datetime:
        return next(self.digest.firings_after(at))

    def next_after(self, slot: datetime, *, served_at: datetime) -> datetime:  # noqa: ARG002 - of the protocol
        return self.after(slot)


def _interval_slots(kind: Kind, user_id: str, when: When) -> Slots:
    cadence = Cadence.of_user(kind.name, SYNC_INTERVALS_MINUTES[when.sync_every], user_id)
    return _IntervalSlots(cadence, _bounded(when.resumes_at))


def _local_time_slots(_kind: Kind, _user_id: str, when: When) -> Slots:
    return _LocalTimeSlots(when.digest)


_RULES: Final[Mapping[Rule, Callable[[Kind, str, When], Slots]]] = {
    Rule.INTERVAL: _interval_slots,
    Rule.LOCAL_TIME: _local_time_slots,
}


def slots_of(kind: Kind, user_id: str, when: When) -> Slots:
    """Return a user's slots of a kind. Raises ValueError for a kind that no user's schedule configures."""
    if kind.user_work is None:
        raise ValueError(f"{kind} is no kind of a user")
    return _RULES[kind.user_work.rule](kind, user_id, when)
