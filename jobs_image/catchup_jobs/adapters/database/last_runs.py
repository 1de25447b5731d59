"""The last run of a kind that says something of its subject: pools, and the metrics of failing users, go by it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, ScalarSelect, or_, select

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import NO_NEWS
from catchup_jobs.adapters.database.schema import runs
from catchup_jobs.domain.stored_enums import UNFINISHED_RUNS


def last_run(kind: Kind, subject: ColumnElement[str]) -> ScalarSelect[str]:
    """Return the key of the last run of a kind that says something of a subject, which the statement names.

    A run that is under way, or is tried again, says nothing yet.
    """
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
