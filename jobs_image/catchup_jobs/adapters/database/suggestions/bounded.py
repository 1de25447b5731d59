"""Reading no more rows than a process should hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from catchup_jobs.jobs.suggestions.ports import TooMuchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CompoundSelect, Connection, Select

MOST_ROWS: Final = 20_000
"""Rows of a kind (contacts, events of 14 days, suggestions, calendars) that are held in memory for one user."""


def bounded_rows(connection: Connection, statement: Select[Any] | CompoundSelect[Any]) -> Sequence[Any]:
    """Return the rows of a statement.

    Raises:
        TooMuchError: there are more than `MOST_ROWS`.
    """
    rows = connection.execute(statement.limit(MOST_ROWS + 1)).all()
    if len(rows) > MOST_ROWS:
        raise TooMuchError
    return rows
