"""Runs by hand that UserSchedules ask for, noted with the members of a pool."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from catchup_contract.kinds import Kind
from catchup_contract.requests import is_live
from catchup_contract.schedule_list import REQUEST_FIELDS, ListedSchedule
from catchup_contract.timestamps import parse_utc
from catchup_jobs.adapters.database.schema import pool_slots


def note_requests(connection: Connection, schedules: Iterable[ListedSchedule], *, now: datetime) -> list[str]:
    """Note the requests that are newer than those which are known; return the users.

    The next tick then computes anew when they are due.
    """
    asked = {(one.user_id, kind): at for one in schedules for kind, at in _requests(one).items() if is_live(at, now)}
    if not asked:
        return []
    rows = connection.execute(
        select(pool_slots.c.user_id, pool_slots.c.kind, pool_slots.c.requested_at).where(
            pool_slots.c.user_id.in_({user_id for user_id, _ in asked})
        )
    )
    known = {(row.user_id, row.kind): row.requested_at for row in rows}
    news = [
        {"user": user_id, "of": kind, "at": at}
        for (user_id, kind), at in sorted(asked.items(), key=lambda each: (each[0][0], each[0][1].name))
        if (user_id, kind) in known and ((before := known[user_id, kind]) is None or before < at)
    ]
    if news:
        connection.execute(
            update(pool_slots)
            .where(pool_slots.c.user_id == bindparam("user"), pool_slots.c.kind == bindparam("of"))
            .values(requested_at=bindparam("at"), is_requested=True, version=""),
            news,
        )
    return [str(each["user"]) for each in news]


def _requests(schedule: ListedSchedule) -> dict[Kind, datetime]:
    texts = {kind: getattr(schedule, name) for kind, name in REQUEST_FIELDS.items()}
    return {kind: parse_utc(text) for kind, text in texts.items() if text}
