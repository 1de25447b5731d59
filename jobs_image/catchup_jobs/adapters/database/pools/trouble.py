"""Members of pools who are in trouble: their last run failed, or asks somebody to act."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, or_, select

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import Reason
from catchup_contract.trouble import ASKS_SOMEBODY, NO_NEWS
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


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
