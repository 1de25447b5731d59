"""Runs and dead letters in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, case, delete, false, or_, select, true, update

from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.counters import End, count_ends
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS, RunState
from catchup_jobs.jobs.run.context import RunInterruptedError
from catchup_jobs.jobs.run.ports import Closing, DeadLetter, Fence, Run, RunRecord

KEEP_FAILURES: Final = timedelta(days=90)
"""How long dead letters and runs are kept."""
# The next run's start sweeps the rest.
_SWEEP_LIMIT: Final = 100
"""Runs with expired leases that the start of a run gives up at most."""
_SWEEP_EVERY: Final = timedelta(minutes=1)
LEASE_EXPIRED: Final = "LeaseExpired"


def check_fence(connection: Connection, fence: Fence) -> None:
    """Refuse the transaction if another process has taken the run over; call it first in every write transaction.

    The row stays locked until the transaction ends, so that no process takes the run over meanwhile.

    Raises:
        RunInterruptedError: the process has lost its lock, perhaps without noticing.
    """
    owner = connection.execute(
        select(runs.c.owner).where(runs.c.run_key == fence.run_key).with_for_update(read=True)
    ).scalar_one_or_none()
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

    def open(self, run: Run, *, now: datetime, lease_until: datetime) -> RunRecord:
        """Record that the run goes on, remove its dead letter, and fail runs with expired leases."""
        with self._database.write() as connection:
            record = self._reopen(connection, run, now, lease_until)
            if record.state is not RunState.DONE:
                answered = [key for key in (run.key, run.replays) if key is not None]
                connection.execute(delete(dead_letters).where(dead_letters.c.run_key.in_(answered)))
            # Not for each of the users that a pool's pod serves.
            if self._swept_at is None or now - self._swept_at >= _SWEEP_EVERY:
                self._sweep(connection, now)
                self._swept_at = now
        return record

    def _reopen(self, connection: Connection, run: Run, now: datetime, lease_until: datetime) -> RunRecord:
        opened = self._database.insert(runs).values(
            run_key=run.key,
            kind=run.kind,
            subject=run.subject,
            slot=run.slot,
            state=RunState.OPEN,
            attempts=0,
            lease_until=lease_until,
            started_at=now,
        )
        # Another process may execute the run under the same key: its owner and its start stay.
        reopened = opened.on_conflict_do_update(
            index_elements=["run_key"],
            set_={
                "state": RunState.OPEN,
                "reason": None,
                "finished_at": None,
                "lease_until": opened.excluded.lease_until,
            },
            where=runs.c.state != RunState.DONE,
        )
        return _record(connection.execute(reopened.returning(*_RECORD)).one_or_none())

    def _sweep(self, connection: Connection, now: datetime) -> None:
        # Only the columns of a dead letter: a value elsewhere in the row that cannot be loaded must not fail the sweep.
        columns = (
            runs.c.run_key,
            runs.c.kind,
            runs.c.subject,
            runs.c.slot,
            runs.c.state,
            runs.c.reason,
            runs.c.attempts,
            runs.c.started_at,
        )
        expired = connection.execute(
            select(*columns)
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
                .values(state=RunState.FAILED, reason=reason, owner=None, lease_until=None, finished_at=now)
            )
            self._write_dead_letter(connection, row, DeadLetter(reason, LEASE_EXPIRED), row["attempts"], now)
            seconds = (now - row["started_at"]).total_seconds()
            ends.append(End(str(row["kind"]), RunState.FAILED, reason, row["run_key"], seconds))
        count_ends(self._database, connection, ends, now)

    def take_over(self, run: Run, owner: str) -> RunRecord:
        """Make `owner` the only process whose writes for this kind and subject are accepted."""
        is_this = runs.c.run_key == run.key
        is_another = and_(runs.c.kind == run.kind, runs.c.subject == run.subject, runs.c.owner.is_not(None), ~is_this)
        taken_over = (
            update(runs)
            .where(or_(and_(is_this, runs.c.state != RunState.DONE), is_another))
            .values(owner=case((is_this, owner), else_=None))
            .returning(runs.c.run_key, *_RECORD)
        )
        with self._database.write() as connection:
            rows = {row.run_key: row for row in connection.execute(taken_over)}
        return _record(rows.get(run.key))

    def record_attempt(self, fence: Fence, *, attempts: int, reason: Reason, checkpoint: dict[str, Any]) -> None:
        """Store the number of attempts; it never decreases."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            connection.execute(
                update(runs)
                .where(runs.c.run_key == fence.run_key)
                .values(attempts=_at_least(attempts), reason=reason, checkpoint=checkpoint or None)
            )

    def close(self, run: Run, owner: str, closing: Closing, *, now: datetime) -> bool:
        """Record the end and delete older runs; return False if another process has taken the run over."""
        unfinished = closing.state in UNFINISHED_RUNS
        with self._database.write() as connection:
            started_at = connection.execute(
                update(runs)
                .where(
                    runs.c.run_key == run.key,
                    runs.c.state != RunState.DONE,
                    or_(runs.c.owner == owner, runs.c.owner.is_(None)),
                )
                .values(
                    state=closing.state,
                    reason=closing.reason,
                    attempts=_at_least(closing.attempts),
                    counts=closing.counts or None,
                    checkpoint=closing.checkpoint or None,
                    owner=None,
                    lease_until=(closing.lease_until or runs.c.lease_until) if unfinished else None,
                    finished_at=now,
                )
                .returning(runs.c.started_at)
            ).scalar_one_or_none()
            if started_at is None:
                return False
            if closing.dead_letter is not None:
                row = {"run_key": run.key, "kind": run.kind, "subject": run.subject, "slot": run.slot}
                self._write_dead_letter(connection, row, closing.dead_letter, closing.attempts, now)
            if not unfinished:
                _delete_older(connection, run, closing, now)
            end = End(str(run.kind), closing.state, closing.reason, run.key, (now - started_at).total_seconds())
            count_ends(self._database, connection, [end], now)
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


_RECORD: Final = (runs.c.state, runs.c.attempts, runs.c.checkpoint)


def _record(row: Any | None) -> RunRecord:
    """Return what a statement returned that leaves runs alone that are done."""
    if row is None:
        return RunRecord(RunState.DONE)
    return RunRecord(row.state, row.attempts, dict(row.checkpoint or {}))


def _at_least(attempts: int) -> Any:
    # Portable: PostgreSQL has GREATEST for this, SQLite MAX with two arguments.
    return case((runs.c.attempts > attempts, runs.c.attempts), else_=attempts)


def _delete_older(connection: Connection, run: Run, closing: Closing, now: datetime) -> None:
    # The latest run of a kind and subject is kept, and failures for 90 days. A run at whose slot nothing was due is no
    # news of its subject: it replaces only others of its sort. A slot that nobody tries any more, since the user was
    # moved meanwhile, is answered by a later one that ended well.
    nothing_was_due = closing.reason is Reason.NOT_DUE
    answers = run.slot is not None and (closing.state is RunState.DONE or closing.reason is Reason.ALREADY_DONE)
    started_at = select(runs.c.started_at).where(runs.c.run_key == run.key).scalar_subquery()
    connection.execute(
        delete(runs).where(
            runs.c.kind == run.kind,
            runs.c.subject == run.subject,
            runs.c.run_key != run.key,
            runs.c.started_at <= started_at,
            runs.c.reason == Reason.NOT_DUE if nothing_was_due else true(),
            or_(
                runs.c.state.in_((RunState.DONE, RunState.SKIPPED)),
                and_(runs.c.state == RunState.FAILED, runs.c.finished_at < now - KEEP_FAILURES),
                and_(runs.c.state.in_(UNFINISHED_RUNS), runs.c.slot < run.slot) if answers else false(),
            ),
        )
    )
    connection.execute(
        delete(dead_letters).where(
            dead_letters.c.kind == run.kind,
            dead_letters.c.subject == run.subject,
            dead_letters.c.created_at < now - KEEP_FAILURES,
        )
    )
