"""Members of pools who are in trouble: their last run failed, or asks somebody to act."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Select, func, or_, select

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import ASKS_SOMEBODY, Reason
from catchup_jobs.adapters.database.last_runs import last_run
from catchup_jobs.adapters.database.pools.members import is_served
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

# The metrics look each of them up by an index of its own.
IS_TROUBLE: Final = (runs.c.state == RunState.FAILED, runs.c.reason.in_(sorted(ASKS_SOMEBODY)))
"""What makes the last run of a member trouble: any of these."""
_TROUBLE: Final = (pool_slots.c.user_id, pool_members.c.uid, runs.c.reason, runs.c.finished_at)


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


def in_trouble(kind: Kind, *columns: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members of any pool whose last run of a kind failed, or asks somebody to act.

    The last run counts, however fresh the success before it is.
    """
    return (
        select(*columns)
        .select_from(pool_slots.join(pool_members).join(runs, runs.c.run_key == last_run(kind, pool_slots.c.user_id)))
        .where(pool_slots.c.kind == kind, ~pool_members.c.leaving)
        .where(or_(*IS_TROUBLE))
    )


def failing(kind: Kind, now: datetime, *columns: ColumnElement[Any]) -> Select[Any]:
    """Return the statement for members of any pool who count as failing: those in trouble whom a pool serves at `now`.

    What a tick tells of UserSchedules names suspended ones, too: their users are in trouble as soon as they resume.
    """
    return in_trouble(kind, *columns).where(is_served(now))


def failing_members(connection: Connection, pool: str, kind: Kind, *, now: datetime, limit: int) -> Iterator[Trouble]:
    """Yield the members of a pool who count as failing with a kind at `now` (aware), by their ids."""
    return _read(connection, failing(kind, now, *_TROUBLE).where(pool_slots.c.pool == pool).limit(limit))


def troubles(connection: Connection, pool: str, kind: Kind) -> Iterator[Trouble]:
    """Yield the members of a pool by UserSchedules who are in trouble with a kind, by their ids."""
    named = (pool_slots.c.pool == pool, pool_members.c.uid.is_not(None))
    return _read(connection, in_trouble(kind, *_TROUBLE).where(*named))


def _read(connection: Connection, statement: Select[Any]) -> Iterator[Trouble]:
    for row in connection.execute(statement.order_by(pool_slots.c.user_id)):
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
