"""Runs and dead letters in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Integer, and_, bindparam, case, delete, func, literal, or_, select, update

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.engine import Database, insert_into
from catchup_jobs.adapters.database.runs.by_hand import note_synced
from catchup_jobs.adapters.database.runs.counters import End, count_ends
from catchup_jobs.adapters.database.runs.retention import delete_old_dead_letters, delete_older_runs
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.adapters.database.types import UtcDateTime
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState
from catchup_jobs.jobs.run.context import RunInterruptedError
from catchup_jobs.jobs.run.ports import LEASE_EXPIRED, Closing, DeadLetter, Fence, Run, RunRecord

# The next run's start sweeps the rest.
_SWEEP_LIMIT: Final = 100
"""Runs with expired leases that the start of a run gives up at most."""
_SWEEP_EVERY: Final = timedelta(minutes=1)
"""How often a process looks at most for runs with expired leases."""

_RECORD: Final = (runs.c.state, runs.c.attempts, runs.c.checkpoint)
# Made once: to build a statement for each run takes as long as to execute it.
_this: Final = runs.c.run_key == bindparam("key")
_of_subject: Final = (runs.c.kind == bindparam("of_kind"), runs.c.subject == bindparam("of_subject"))
_OWNER: Final = select(runs.c.owner).where(_this).with_for_update(read=True)
_REOPENED: Final = (
    # Another process may execute the run under the same key: its owner and its start stay.
    update(runs)
    .where(_this, runs.c.state != RunState.DONE)
    .values(state=RunState.OPEN, reason=None, finished_at=None, lease_until=bindparam("lease"))
    .returning(*_RECORD)
)
_another: Final = and_(*_of_subject, runs.c.owner.is_not(None), ~_this)
_DISOWNED: Final = update(runs).where(_another).values(owner=None)
_TAKEN_OVER: Final = (
    update(runs)
    .where(or_(and_(_this, runs.c.state != RunState.DONE), _another))
    .values(owner=case((_this, bindparam("by")), else_=None))
    .returning(runs.c.run_key, *_RECORD)
)
_CLOSED: Final = (
    update(runs)
    .where(_this, runs.c.state != RunState.DONE, or_(runs.c.owner == bindparam("by"), runs.c.owner.is_(None)))
    .values(
        state=bindparam("ended"),
        reason=bindparam("why"),
        # It never decreases. Portable: PostgreSQL has GREATEST for this, SQLite MAX with two arguments.
        attempts=case((runs.c.attempts > bindparam("made"), runs.c.attempts), else_=bindparam("made", type_=Integer)),
        counts=bindparam("counted"),
        checkpoint=bindparam("reached"),
        owner=None,
        finished_at=bindparam("at"),
    )
    .returning(runs.c.started_at)
)
_CLOSED_FOR_GOOD: Final = _CLOSED.values(lease_until=None)
_CLOSED_FOR_NOW: Final = _CLOSED.values(
    lease_until=func.coalesce(bindparam("lease", type_=UtcDateTime()), runs.c.lease_until)
)


def check_fence(connection: Connection, fence: Fence) -> None:
    """Refuse the transaction if another process has taken the run over; call it first in every write transaction.

    The row stays locked until the transaction ends, so that no process takes the run over meanwhile.

    Raises:
        RunInterruptedError: the process has lost its lock, perhaps without noticing.
    """
    owner = connection.execute(_OWNER, {"key": fence.run_key}).scalar_one_or_none()
    if owner != fence.owner:
        raise RunInterruptedError("another process has taken the run over", reason=Reason.UNAVAILABLE)


def keep_checkpoint(connection: Connection, fence: Fence, checkpoint: dict[str, Any]) -> None:
    """Store the run's checkpoint in the transaction that did the work; call `check_fence` first.

    A process that continues the run after this one was killed then knows exactly what is done.
    """
    connection.execute(update(runs).where(runs.c.run_key == fence.run_key).values(checkpoint=checkpoint or None))


def is_kept(connection: Connection, fence: Fence, checkpoint: dict[str, Any]) -> bool:
    """Return whether the run has this checkpoint: whether a transaction was committed whose reply was lost."""
    stored = connection.execute(select(runs.c.checkpoint).where(runs.c.run_key == fence.run_key)).scalar()
    return bool(stored == checkpoint)


class DatabaseRunStore:
    """`jobs.run.ports.RunStore` in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept_at: datetime | None = None

    def open(self, run: Run, *, now: datetime, lease_until: datetime, owner: str | None = None) -> RunRecord:
        """Record that the run goes on, remove its dead letter, and fail runs with expired leases."""
        with self._database.write() as connection:
            record = self._insert(connection, run, now, lease_until, owner)
            if record is None:
                record = _reopen(connection, run, lease_until)
                if record.state is not RunState.DONE and owner is not None:
                    record = _take_over(connection, run, owner)
            # A run that was not there has no dead letter.
            answered = [key for key in (None if record.is_new else run.key, run.replays) if key is not None]
            if answered and record.state is not RunState.DONE:
                connection.execute(delete(dead_letters).where(dead_letters.c.run_key.in_(answered)))
            # Not for each of the users that a pool's pod serves.
            if self._swept_at is None or now - self._swept_at >= _SWEEP_EVERY:
                self._sweep(connection, now)
                self._swept_at = now
        return record

    def _insert(
        self, connection: Connection, run: Run, now: datetime, lease_until: datetime, owner: str | None
    ) -> RunRecord | None:
        """Record a new run and, if any, `owner` as the only one of its subject; return None where it is not new."""
        values = {
            "run_key": run.key,
            "kind": run.kind,
            "subject": run.subject,
            "slot": run.slot,
            "state": RunState.OPEN,
            "attempts": 0,
            "owner": owner,
            "lease_until": lease_until,
            "started_at": now,
        }
        row = connection.execute(_inserted(self._database.backend), values | _named(run)).one_or_none()
        if row is None:
            return None
        if owner is not None and row.others:
            connection.execute(_DISOWNED, _named(run))
        return RunRecord(RunState.OPEN, is_new=True)

    def _sweep(self, connection: Connection, now: datetime) -> None:
        # Only the columns of a dead letter: a value elsewhere in the row that cannot be loaded must not fail the sweep.
        names = ("run_key", "kind", "subject", "slot", "state", "reason", "attempts", "started_at")
        expired = connection.execute(
            select(*(runs.c[name] for name in names))
            .where(runs.c.lease_until < now, runs.c.state.in_(UNFINISHED_RUNS))
            .order_by(runs.c.lease_until)
            .limit(_SWEEP_LIMIT)
            .with_for_update(skip_locked=True)
        ).mappings()
        ends = []
        for row in expired.all():
            reason = row["reason"] if row["state"] is RunState.RETRY and row["reason"] else Reason.CRASHED
            connection.execute(
                update(runs)
                .where(runs.c.run_key == row["run_key"])
                .values(
                    state=RunState.FAILED,
                    reason=reason,
                    owner=None,
                    lease_until=None,
                    finished_at=now,
                    # Nobody goes on with it, and it may hold what a calendar says.
                    checkpoint=None,
                )
            )
            self._write_dead_letter(connection, row, DeadLetter(reason, LEASE_EXPIRED), row["attempts"], now)
            seconds = (now - row["started_at"]).total_seconds()
            ends.append(End(str(row["kind"]), RunState.FAILED, reason, row["run_key"], seconds))
        count_ends(self._database, connection, ends, now)

    def take_over(self, run: Run, owner: str) -> RunRecord:
        """Make `owner` the only process whose writes for this kind and subject are accepted."""
        with self._database.write() as connection:
            return _take_over(connection, run, owner)

    def record_attempt(self, fence: Fence, *, attempts: int, reason: Reason, checkpoint: dict[str, Any]) -> None:
        """Store the number of attempts; it never decreases."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            connection.execute(
                update(runs)
                .where(runs.c.run_key == fence.run_key)
                .values(
                    attempts=case((runs.c.attempts > attempts, runs.c.attempts), else_=attempts),
                    reason=reason,
                    checkpoint=checkpoint or None,
                )
            )

    def close(self, run: Run, owner: str, closing: Closing, *, now: datetime) -> bool:
        """Record the end and delete older runs; return False if another process has taken the run over."""
        unfinished = closing.state in UNFINISHED_RUNS
        values: dict[str, Any] = {
            "key": run.key,
            "by": owner,
            "ended": closing.state,
            "why": closing.reason,
            "made": closing.attempts,
            "counted": closing.counts or None,
            "reached": closing.checkpoint or None,
            "at": now,
        }
        with self._database.write() as connection:
            ended = (
                connection.execute(_CLOSED_FOR_NOW, values | {"lease": closing.lease_until})
                if unfinished
                else connection.execute(_CLOSED_FOR_GOOD, values)
            )
            started_at = ended.scalar_one_or_none()
            if started_at is None:
                return False
            is_by_hand = run.slot is None or run.replays is not None
            if run.kind is SYNC and is_by_hand and closing.state is RunState.DONE:
                note_synced(connection, run.subject, started_at)
            if closing.dead_letter is not None:
                row = {"run_key": run.key, "kind": run.kind, "subject": run.subject, "slot": run.slot}
                self._write_dead_letter(connection, row, closing.dead_letter, closing.attempts, now)
            if not unfinished:
                delete_older_runs(connection, run, closing, started_at=started_at, now=now)
            end = End(str(run.kind), closing.state, closing.reason, run.key, (now - started_at).total_seconds())
            if count_ends(self._database, connection, [end], now):
                delete_old_dead_letters(connection, now)
        return True

    def _write_dead_letter(
        self, connection: Connection, row: Mapping[Any, Any], letter: DeadLetter, attempts: int, now: datetime
    ) -> None:
        contents = {
            "reason": letter.reason,
            "error_class": letter.error_class,
            "attempts": attempts,
            "created_at": now,
        }
        identity = {name: row[name] for name in ("run_key", "kind", "subject", "slot")}
        connection.execute(
            self._database.insert(dead_letters)
            .values(**identity, **contents)
            .on_conflict_do_update(index_elements=["run_key"], set_=contents)
        )


def _named(run: Run) -> dict[str, Any]:
    return {"key": run.key, "of_kind": run.kind, "of_subject": run.subject}


@cache
def _inserted(backend: str) -> Any:
    others = select(literal(value=True)).where(_another).exists().correlate(None).label("others")
    return insert_into(backend, runs).on_conflict_do_nothing(index_elements=["run_key"]).returning(others)


def _reopen(connection: Connection, run: Run, lease_until: datetime) -> RunRecord:
    return _record(connection.execute(_REOPENED, {"key": run.key, "lease": lease_until}).one_or_none())


def _take_over(connection: Connection, run: Run, owner: str) -> RunRecord:
    rows = {row.run_key: row for row in connection.execute(_TAKEN_OVER, _named(run) | {"by": owner})}
    return _record(rows.get(run.key))


def _record(row: Any | None) -> RunRecord:
    """Return what a statement returned that leaves runs alone that are done."""
    if row is None:
        return RunRecord(RunState.DONE)
    return RunRecord(row.state, row.attempts, dict(row.checkpoint or {}))
