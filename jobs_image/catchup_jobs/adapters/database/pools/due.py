"""When a member of a pool is due, and for what: read from the member's rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Select, select

from catchup_contract.api import DEFAULT_DIGEST_DAY, DEFAULT_DIGEST_TIME
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import Kind, Rule
from catchup_contract.local_time import is_time_zone
from catchup_contract.requests import is_live
from catchup_jobs.adapters.database.pools.members import is_suspended
from catchup_jobs.adapters.database.schema import dead_letters, pool_members, pool_slots, runs, users
from catchup_jobs.domain.placement.job_slots import Slots, When, slots_of
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.pool.ports import Member
from catchup_jobs.jobs.run.ports import LEASE_EXPIRED, Run

_JUST_EDITED: Final = timedelta(minutes=10)
"""A slot of a pool's member that passed within this time is served, though the schedule was edited meanwhile."""
# Other zone data move a due time by hours, and the digests of a user are a day apart.
_SAME_DATE: Final = timedelta(hours=12)
"""A digest of a pool's member that other zone data put into the past is served if it was to come within this time."""

# What a schedule raises that this version cannot compute with, such as an interval of a newer one.
UNREADABLE: Final = (ValueError, LookupError, ArithmeticError)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DueRules:
    """How the rows of `member_rows` are read; the attributes are those of `PoolSlots`.

    Attributes:
        ended: the keys of runs that have ended (`ended_runs`): they are passed over.
    """

    kind: Kind
    every: str
    version: str
    since: datetime | None
    ended: Collection[str] = ()

    def due_at(self, row: Any, now: datetime) -> datetime | None:
        """Return when a member is due whose schedule is new or changed; None where it cannot be read."""
        # Whoever is due stays due: which slot that serves, the claim decides.
        due: datetime | None = None if is_suspended(row.suspended_until, now) else row.due_at
        is_due = due is not None and due <= now
        if not is_due and _is_requested(row, now):
            return now
        if is_due or (due is not None and row.unfinished is not None):
            return due
        slots = self.slots(row)
        if slots is None:
            _log.warning("the user's schedule cannot be read, the user is not served", user=row.user_id)
            return None
        latest = slots.latest(now)
        if row.leaving or latest is None or self._has_ended(row, latest):
            return slots.after(now)
        missed = slots.missed(now)
        # A new user need not wait for a first sync, and one who comes from another placement may come at the minute of
        # a slot.
        is_missed = missed is not None and (row.due_at is None or self._has_moved(row, missed))
        # An edit shortly before the new time is read shortly after it.
        return now if is_missed or now - latest < _JUST_EDITED else slots.after(now)

    def _has_moved(self, row: Any, missed: datetime) -> bool:
        """Return whether other zone data, and no edit, have put a digest into the past that was still to come."""
        return (
            self.kind.rule is Rule.LOCAL_TIME
            and row.version not in {"", self.version}
            and row.due_at - missed < _SAME_DATE
        )

    def _has_ended(self, row: Any, slot: datetime | None) -> bool:
        return slot is not None and Run(self.kind, row.user_id, slot, "").key in self.ended

    def run_keys(self, row: Any, now: datetime) -> list[str]:
        """Return the keys of the runs that `due_at` and `member` may decide for."""
        slots = self.slots(row)
        wanted = {row.unfinished, None if slots is None else slots.latest(now)} - {None}
        return [Run(self.kind, row.user_id, slot, "").key for slot in wanted]

    def unfinished(self, row: Any, now: datetime) -> datetime | None:
        """Return the slot that is due beside a request, so that it is served after it; else the one that there is."""
        if is_suspended(row.suspended_until, now):
            return None
        unfinished: datetime | None = row.unfinished
        is_due = row.due_at is not None and row.due_at <= now
        if unfinished is not None or not (is_due and _is_requested(row, now)):
            return unfinished
        slots = self.slots(row)
        return None if slots is None else slots.latest(now)

    def member(self, row: Any, now: datetime) -> Member | None:
        """Return a member who is claimed at `now`, None where the schedule cannot be read."""
        slots = self.slots(row)
        if slots is None:
            return None
        deaths = row.deaths + row.has_died
        # A request that came after it was computed when the member is due waits for that to be computed again.
        requested_at = row.requested_at if row.version == self.version and _is_requested(row, now) else None
        unfinished = None if is_suspended(row.suspended_until, now) else row.unfinished
        if self._has_ended(row, unfinished):
            # The process that ended it did not settle its claim.
            unfinished, deaths = None, 0
        latest = slots.latest(now) if requested_at is None else None
        slot = unfinished or (None if self._has_ended(row, latest) else latest)
        return Member(row.user_id, self._when(row), slots, slot, unfinished is not None, deaths, requested_at)

    def slots(self, row: Any) -> Slots | None:
        """Return the user's slots, None where the schedule holds what this version cannot read."""
        when = self._when(row)
        if not is_time_zone(when.time_zone) or not isinstance(when.digest_day, DigestDay):
            return None
        return slots_of(self.kind, row.user_id, when)

    def _when(self, row: Any) -> When:
        if row.uid is None:
            return When(row.time_zone, row.digest_day, row.digest_time, row.digest_since, self.every, self.since)
        # A kind that the UserSchedule disables has no row in `pool_slots`.
        return When(
            row.schedules_time_zone,
            row.schedules_digest_day or DigestDay(DEFAULT_DIGEST_DAY),
            row.schedules_digest_time or time.fromisoformat(DEFAULT_DIGEST_TIME),
            row.digest_since,
            row.sync_every or self.every,
            max((at for at in (row.suspended_until, self.since) if at is not None), default=None),
        )


def ended_runs(connection: Connection, keys: Collection[str], *states: RunState) -> frozenset[str]:
    """Return the keys of those runs that ended in one of these states: a pool does not try them again.

    A run of which nobody told for so long that it counted as crashed is none of them.
    """
    if not keys:
        return frozenset()
    letter = dead_letters.c.run_key == runs.c.run_key
    has_expired = select(dead_letters.c.run_key).where(letter, dead_letters.c.error_class == LEASE_EXPIRED).exists()
    ended = select(runs.c.run_key).where(runs.c.run_key.in_(keys), runs.c.state.in_(states), ~has_expired)
    return frozenset(connection.execute(ended).scalars())


def _is_requested(row: Any, now: datetime) -> bool:
    """Return whether a run by hand is to be made at `now`."""
    return bool(row.is_requested) and is_live(row.requested_at, now) and not is_suspended(row.suspended_until, now)


def member_rows(*others: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members and kinds with what says when they are due: a UserSchedule, or the user's row.

    `others` are further columns.
    """
    statement = select(
        *others,
        pool_slots.c.due_at,
        pool_slots.c.unfinished,
        pool_slots.c.requested_at,
        pool_slots.c.is_requested,
        pool_members.c.user_id,
        pool_members.c.uid,
        pool_members.c.leaving,
        pool_members.c.digest_since,
        pool_members.c.sync_every,
        pool_members.c.suspended_until,
        pool_members.c.time_zone.label("schedules_time_zone"),
        pool_members.c.digest_day.label("schedules_digest_day"),
        pool_members.c.digest_time.label("schedules_digest_time"),
        users.c.time_zone,
        users.c.digest_day,
        users.c.digest_time,
    ).join_from(pool_members, users)
    return statement.join(pool_slots, pool_slots.c.user_id == pool_members.c.user_id)
