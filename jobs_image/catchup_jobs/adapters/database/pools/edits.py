"""Members whose times were edited: they are due from the first slot after the edit on, however late a tick reads it.

So a CronJob of their own would be: it fires at its new time, though nobody looks at the user in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, update

from catchup_contract.api import DEFAULT_SYNC_EVERY
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.pools.due import UNREADABLE, DueRules, ended_runs, member_rows
from catchup_jobs.adapters.database.schema import pool_members, pool_slots
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.ports import Run

_DUE: Final = (
    update(pool_slots)
    .where(pool_slots.c.user_id == bindparam("user"), pool_slots.c.kind == bindparam("of"))
    .values(due_at=bindparam("due"))
)


def note_edits(connection: Connection, edited: Mapping[str, datetime], *, now: datetime) -> None:
    """Store from when members are due whose times were edited; part of the transaction that stores the edits.

    Whoever is due or served at `now` (aware) stays so, and who is due sooner: which slot that serves, the claim decides
    by the new times.

    Args:
        edited: when the times of each user were edited (UTC), not later than `now`.
    """
    for page in chunks(sorted(edited)):
        rows = connection.execute(
            member_rows(pool_slots.c.kind).where(
                pool_slots.c.user_id.in_(page),
                pool_slots.c.owner.is_(None),
                pool_slots.c.unfinished.is_(None),
                pool_slots.c.due_at > now,
                ~pool_members.c.leaving,
            )
        ).all()
        first = {(row.user_id, row.kind): due for row in rows if (due := _first_after(row, edited[row.user_id], now))}
        runs = {each: Run(each[1], each[0], due, "").key for each, due in first.items() if due <= now}
        ended = ended_runs(connection, [*runs.values()], RunState.DONE, RunState.SKIPPED, RunState.FAILED)
        known = {(row.user_id, row.kind): row.due_at for row in rows}
        values = [
            {"user": user_id, "of": kind, "due": due}
            for (user_id, kind), due in first.items()
            if due < known[user_id, kind] and runs.get((user_id, kind)) not in ended
        ]
        if values:
            connection.execute(_DUE, values)


def _first_after(row: Any, edited_at: datetime, now: datetime) -> datetime | None:
    """Return the first slot after an edit, or the newest one of those that have passed meanwhile."""
    rules = DueRules(row.kind, row.sync_every or DEFAULT_SYNC_EVERY, "", None)
    with suppress(*UNREADABLE):
        if (slots := rules.slots(row)) is not None:
            first = slots.after(edited_at)
            return first if first > now else slots.missed(now)
    return None
