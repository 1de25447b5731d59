"""Members of pools who are in trouble, by their last run, and who are late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, func, or_, select

from catchup_contract.api import DEFAULT_SYNC_EVERY, SYNC_INTERVALS_MINUTES
from catchup_contract.digest_rule import LATE_AFTER
from catchup_contract.kinds import Kind, Rule
from catchup_contract.outcomes import Reason
from catchup_contract.trouble import ASKS_SOMEBODY, NO_NEWS
from catchup_jobs.adapters.database.intervals import intervals_before
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

# Nobody is late with a sync sooner, whatever the interval.
_SOONEST: Final = timedelta(minutes=min(SYNC_INTERVALS_MINUTES.values()))
_AGED: Final = timedelta(minutes=30)
"""After so much waiting, or an interval, a member of a pool is served by age, whatever the priority."""
EVERY: Final = func.coalesce(pool_members.c.sync_every, DEFAULT_SYNC_EVERY)
# A claim and a run that is put back move `due_at` on, and the slot waits.
WAITING_SINCE: Final = func.coalesce(pool_slots.c.unfinished, pool_slots.c.due_at, type_=pool_slots.c.due_at.type)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A member in trouble.

    Attributes:
        uid: of the UserSchedule; None for an enrolled user.
        since: when the last run ended (UTC).
    """

    user_id: str
    uid: str | None
    reason: Reason
    since: datetime | None


def last_run(kind: Kind, subject: ColumnElement[str]) -> ScalarSelect[str]:
    """Return the key of the last run of a kind that says something of a subject, which the statement names."""
    of_subject = runs.alias()
    return (
        select(of_subject.c.run_key)
        .where(
            of_subject.c.kind == kind,
            of_subject.c.subject == subject,
            of_subject.c.state.not_in(UNFINISHED_RUNS),
            or_(of_subject.c.reason.is_(None), of_subject.c.reason.not_in(NO_NEWS)),
        )
        .order_by(of_subject.c.started_at.desc())
        .limit(1)
        .scalar_subquery()
    )


def in_trouble(kind: Kind, *columns: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members of any pool whose last run of a kind failed, or asks somebody to act.

    The last run counts, however fresh the success before it is. One that is under way, or is tried again, is none yet.
    """
    return (
        select(*columns)
        .select_from(pool_slots.join(pool_members).join(runs, runs.c.run_key == last_run(kind, pool_slots.c.user_id)))
        .where(pool_slots.c.kind == kind, ~pool_members.c.leaving)
        .where(or_(runs.c.state == RunState.FAILED, runs.c.reason.in_(ASKS_SOMEBODY)))
    )


def troubles(
    connection: Connection, pool: str, kind: Kind, *, limit: int | None = None, named: bool = False
) -> Iterator[Trouble]:
    """Yield the members of a pool who are in trouble with a kind, by their ids; `named`: by UserSchedules only."""
    statement = in_trouble(kind, pool_slots.c.user_id, pool_members.c.uid, runs.c.reason, runs.c.finished_at)
    mine = statement.where(pool_slots.c.pool == pool).order_by(pool_slots.c.user_id).limit(limit)
    for row in connection.execute(mine.where(pool_members.c.uid.is_not(None)) if named else mine):
        yield Trouble(row.user_id, row.uid, _reason(row.reason), row.finished_at)


def causes(connection: Connection, pool: str, kind: Kind) -> dict[Reason, int]:
    """Return by its cause the number of enrolled members of a pool who are in trouble with a kind.

    There may be 100,000 of them, and nobody names them one by one.
    """
    mine = (pool_slots.c.pool == pool, pool_members.c.uid.is_(None))
    statement = in_trouble(kind, runs.c.reason, func.count().label("number")).where(*mine).group_by(runs.c.reason)
    found: Counter[Reason] = Counter()
    for row in connection.execute(statement):
        found[_reason(row.reason)] += row.number
    return dict(found)


def _reason(stored: object) -> Reason:
    return stored if isinstance(stored, Reason) else Reason.CRASHED


def is_served(now: datetime) -> ColumnElement[bool]:
    """Return the condition for members (of `pool_members`) who are not suspended and do not leave, at `now` (aware)."""
    until = pool_members.c.suspended_until
    return and_(~pool_members.c.leaving, or_(until.is_(None), until <= now))


def is_late(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return whether a member (of `pool_slots`, `pool_members`) was not served in time, at `now` (aware)."""
    before = intervals_before(now, 1, EVERY) if _is_interval(kind) else now - LATE_AFTER
    return before > WAITING_SINCE


def has_aged(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return whether a member (of `pool_slots`, `pool_members`) has waited so long that the priority does not count."""
    is_long = now - _AGED > WAITING_SINCE
    return or_(is_long, intervals_before(now, 1, EVERY) > WAITING_SINCE) if _is_interval(kind) else is_long


def may_be_late(kind: Kind, now: datetime) -> ColumnElement[bool]:
    """Return a condition that slots (of `pool_slots`) meet whose members are late, and few others, by indexes only."""
    before = now - (_SOONEST if _is_interval(kind) else LATE_AFTER)
    return or_(pool_slots.c.due_at < before, pool_slots.c.unfinished < before)


def _is_interval(kind: Kind) -> bool:
    return kind.user_work is not None and kind.user_work.rule is Rule.INTERVAL


@dataclass(frozen=True, slots=True)
class Waiting:
    """A member who is due and was not served in time.

    Attributes:
        since: the slot that waits (UTC).
    """

    user_id: str
    uid: str | None
    since: datetime


def late(connection: Connection, pool: str, kind: Kind, *, now: datetime, limit: int) -> Iterator[Waiting]:
    """Yield the members of a pool who are late with a kind, the longest first."""
    statement = (
        select(pool_slots.c.user_id, pool_members.c.uid, WAITING_SINCE.label("since"))
        .select_from(pool_slots.join(pool_members))
        .where(and_(pool_slots.c.pool == pool, pool_slots.c.kind == kind), is_served(now), is_late(kind, now))
        .order_by(WAITING_SINCE, pool_slots.c.user_id)
        .limit(limit)
    )
    for row in connection.execute(statement):
        yield Waiting(row.user_id, row.uid, row.since)
