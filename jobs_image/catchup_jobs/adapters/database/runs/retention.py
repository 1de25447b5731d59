"""How long the rows of runs and dead letters are kept. The end of a run deletes what is kept no longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, or_

from catchup_contract.outcomes import NO_NEWS, Reason
from catchup_jobs.adapters.database.comparisons import is_one_of
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.domain.stored_enums import RunState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Delete

    from catchup_jobs.jobs.run.ports import Closing, Run

FAILED_RUNS_KEPT: Final = timedelta(days=90)
"""How long the rows of failed runs are kept; of runs that ended well or were skipped, only the latest of a kind and
subject is, and the latest that is no news of it.
"""
DEAD_LETTERS_KEPT: Final = timedelta(days=90)
"""How long dead letters are kept that nobody retries or discards."""


def _deletion(*replaced: ColumnElement[bool]) -> Delete:
    """Return the statement that deletes older runs; of those that ended well or were skipped, these."""
    return delete(runs).where(
        runs.c.kind == bindparam("of_kind"),
        runs.c.subject == bindparam("of_subject"),
        runs.c.run_key != bindparam("key"),
        runs.c.started_at <= bindparam("began"),
        or_(
            and_(is_one_of(runs.c.state, (RunState.DONE, RunState.SKIPPED)), *replaced),
            and_(runs.c.state == RunState.FAILED, runs.c.finished_at < bindparam("before")),
            # A slot that was put back and that nobody tries any more, since the user was moved meanwhile, is answered
            # by a later one that ended well. A crash is told all the same.
            and_(runs.c.state == RunState.RETRY, runs.c.reason != Reason.CRASHED, runs.c.slot < bindparam("answered")),
        ),
    )


# Made once: to build a statement for each run takes as long as to execute it.
_OLDER: Final = _deletion()
_OLDER_WITHOUT_NEWS: Final = _deletion(is_one_of(runs.c.reason, NO_NEWS))


def delete_older_runs(
    connection: Connection, run: Run, closing: Closing, *, started_at: datetime, now: datetime
) -> None:
    """Delete the rows of older runs of the same kind and subject that a run, which has ended at `now`, replaces.

    A run at whose slot nothing was due, or whose digest was sent before, is no news of its subject: it replaces only
    others of its sort, or how the digest ended would be forgotten with its first follow-up.

    Args:
        closing: how the run ended, for good.
        started_at: when it began (aware).
    """
    answers = closing.state is RunState.DONE or closing.reason is Reason.ALREADY_DONE
    connection.execute(
        _OLDER_WITHOUT_NEWS if closing.reason in NO_NEWS else _OLDER,
        {
            "key": run.key,
            "of_kind": run.kind,
            "of_subject": run.subject,
            "began": started_at,
            "before": now - FAILED_RUNS_KEPT,
            "answered": run.slot if answers else None,
        },
    )


def delete_old_dead_letters(connection: Connection, now: datetime) -> None:
    """Delete dead letters that are kept no longer at `now` (aware)."""
    connection.execute(delete(dead_letters).where(dead_letters.c.created_at < now - DEAD_LETTERS_KEPT))
