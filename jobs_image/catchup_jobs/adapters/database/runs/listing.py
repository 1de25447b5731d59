"""Runs and dead letters, listed and deleted by `catchup-jobs runs` and `failures`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, or_, select, true

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.checkpoint import counts_of, read_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catchup_jobs.adapters.database.engine import Database


@dataclass(frozen=True, slots=True)
class Failure:
    """A dead letter: a run that is not tried again automatically.

    Attributes:
        subject: the user's id, or the shard of a suggestion run.
        slot: the slot that the run served (UTC), None for one started by hand.
        created_at: when it was given up (UTC).
    """

    run_key: str
    kind: Kind
    subject: str
    slot: datetime | None
    reason: Reason
    error_class: str
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Failures:
    """A filter of dead letters: those that match every value given.

    Attributes:
        keys: run keys; any of them.
        before: given up before this instant (aware).
        after: given up at or after this instant (aware).
    """

    keys: Sequence[str] = ()
    kind: Kind | None = None
    subject: str | None = None
    reason: Reason | None = None
    error_class: str | None = None
    before: datetime | None = None
    after: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """Return it as a condition on `dead_letters`."""
        letter = dead_letters.c
        tests: list[ColumnElement[bool]] = [
            column == value
            for column, value in (
                (letter.kind, self.kind),
                (letter.subject, self.subject),
                (letter.reason, self.reason),
                (letter.error_class, self.error_class),
            )
            if value is not None
        ]
        if self.keys:
            tests.append(letter.run_key.in_(self.keys))
        if self.before is not None:
            tests.append(letter.created_at < self.before)
        if self.after is not None:
            tests.append(letter.created_at >= self.after)
        return and_(true(), *tests)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A stored run: the latest of each kind and subject, and failures for `FAILED_RUNS_KEPT`.

    Attributes:
        finished_at: None while it runs.
    """

    run_key: str
    kind: Kind
    subject: str
    slot: datetime | None
    state: RunState
    reason: Reason | None
    attempts: int
    counts: Mapping[Count, int]
    started_at: datetime
    finished_at: datetime | None


class DatabaseHistory:
    """Reads and deletes runs and dead letters; methods raise `JobError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failures(self, which: Failures, *, limit: int, after: tuple[datetime, str] | None = None) -> list[Failure]:
        """Return dead letters, the oldest first.

        Args:
            after: `created_at` and key of the last one of the page before.
        """
        order = (dead_letters.c.created_at, dead_letters.c.run_key)
        statement = select(dead_letters).where(which.condition()).order_by(*order).limit(limit)
        if after is not None:
            created_at, key = after
            statement = statement.where(or_(order[0] > created_at, and_(order[0] == created_at, order[1] > key)))
        with self._database.read() as connection:
            return [Failure(**row) for row in connection.execute(statement).mappings()]

    def count_failures(self, which: Failures) -> int:
        """Return how many dead letters there are."""
        statement = select(func.count()).select_from(dead_letters).where(which.condition())
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one()

    def discard(self, which: Failures) -> int:
        """Delete dead letters; return how many there were. The runs' own rows stay."""
        with self._database.write() as connection:
            return connection.execute(delete(dead_letters).where(which.condition())).rowcount

    def runs(
        self,
        *,
        limit: int,
        kind: Kind | None = None,
        subject: str | None = None,
        state: RunState | None = None,
    ) -> list[PastRun]:
        """Return runs, the latest first, without those at whose slot nothing was due."""
        statement: Select[Any] = select(runs).order_by(runs.c.started_at.desc(), runs.c.run_key).limit(limit)
        statement = statement.where(or_(runs.c.reason.is_(None), runs.c.reason != Reason.NOT_DUE))
        for column, value in ((runs.c.kind, kind), (runs.c.subject, subject), (runs.c.state, state)):
            if value is not None:
                statement = statement.where(column == value)
        with self._database.read() as connection:
            return [_past_run(row) for row in connection.execute(statement)]

    def run(self, key: str) -> tuple[PastRun, Failure | None] | None:
        """Return a stored run and, where it was given up, its dead letter; None where no such run is stored."""
        with self._database.read() as connection:
            row = connection.execute(select(runs).where(runs.c.run_key == key)).one_or_none()
            letter = connection.execute(select(dead_letters).where(dead_letters.c.run_key == key)).mappings().first()
        return None if row is None else (_past_run(row), None if letter is None else Failure(**letter))

    def latest(self, kind: Kind) -> dict[str, tuple[RunState, dict[Count, int]]]:
        """Return, by subject, the state of the latest run of a kind and what it has counted so far."""
        columns = (runs.c.subject, runs.c.state, runs.c.counts, runs.c.checkpoint)
        statement = select(*columns).where(runs.c.kind == kind).order_by(runs.c.started_at)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return {row.subject: (row.state, read_counts(row.counts) or counts_of(row.checkpoint or {})) for row in rows}


def _past_run(row: Row[Any]) -> PastRun:
    return PastRun(
        run_key=row.run_key,
        kind=row.kind,
        subject=row.subject,
        slot=row.slot,
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        counts=read_counts(row.counts),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def ended_since(database: Database, kind: Kind, subjects: Sequence[str], since: datetime) -> set[str]:
    """Return those subjects of whom a run that began since then (aware) has ended well, or had nothing to do.

    One that another run of the subject kept from its work has done nothing.
    """
    statement = select(runs.c.subject).where(
        runs.c.kind == kind,
        runs.c.subject.in_(subjects),
        runs.c.started_at >= since,
        runs.c.state.in_((RunState.DONE, RunState.SKIPPED)),
        or_(runs.c.reason.is_(None), runs.c.reason != Reason.LOCKED),
    )
    with database.read() as connection:
        return set(connection.execute(statement).scalars())
