"""Members who leave a pool while something of theirs is due: the pool ends that, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, delete, or_, select, update

from catchup_contract.digest_rule import LATEST
from catchup_contract.kinds import Kind
from catchup_contract.schedule_list import ListedSchedule
from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import pool_members, pool_slots, runs
from catchup_jobs.domain.stored_enums import RunState


def hand_over(connection: Connection, pool: str, schedules: Sequence[ListedSchedule]) -> None:
    """Let members whom others serve by now leave a pool: it ends what is due, begun or put back, and nothing else."""
    if not schedules:
        return
    # A pod with an older list does not take them back.
    is_same = pool_members.c.uid == bindparam("of")
    generation = case((is_same, bindparam("known")), else_=pool_members.c.generation)
    connection.execute(
        update(pool_members)
        .where(pool_members.c.user_id == bindparam("user"), pool_members.c.pool == pool)
        .values(leaving=True, generation=generation),
        [
            {"user": one.user_id, "of": one.uid, "known": one.generation}
            for one in sorted(schedules, key=lambda one: one.user_id)
        ],
    )


def forget_put_back(connection: Connection, *which: ColumnElement[bool]) -> None:
    """Delete the runs that were put back and that nobody tries any more, of the slots with these conditions."""
    slot = (
        pool_slots.c.user_id == runs.c.subject,
        pool_slots.c.kind == runs.c.kind,
        pool_slots.c.unfinished == runs.c.slot,
    )
    of_them = select(pool_slots.c.user_id).where(*slot, *which).correlate(runs).exists()
    connection.execute(delete(runs).where(runs.c.state == RunState.RETRY, of_them))


def release(database: Database, kind: Kind, mine: Sequence[ColumnElement[bool]], *, now: datetime) -> None:
    """End the membership of users who leave a pool and for whom nothing is due, begun or put back.

    What is due for longer than a digest may be late is not ended any more.

    Args:
        mine: the conditions for the slots of the pool, the kind and the shard.
        now: the time, aware.
    """
    ended = (
        select(pool_slots.c.user_id)
        .join(pool_members)
        .where(
            *mine,
            pool_members.c.leaving,
            or_(
                and_(
                    pool_slots.c.owner.is_(None),
                    pool_slots.c.unfinished.is_(None),
                    or_(pool_slots.c.due_at > now, pool_slots.c.due_at.is_(None)),
                ),
                # The pool did not tick meanwhile, and the user is served elsewhere since.
                pool_slots.c.due_at < now - LATEST,
            ),
        )
    )
    with database.read() as connection:
        if connection.execute(ended.limit(1)).first() is None:
            return
    with database.write() as connection:
        locked = ended.order_by(pool_slots.c.user_id).with_for_update(of=pool_slots, skip_locked=True)
        for page in chunks(connection.execute(locked).scalars()):
            is_here = pool_slots.c.user_id.in_(page)
            connection.execute(delete(pool_slots).where(pool_slots.c.kind == kind, is_here))
            others = select(pool_slots.c.user_id).where(is_here)
            connection.execute(
                delete(pool_members).where(
                    pool_members.c.user_id.in_(page), pool_members.c.leaving, pool_members.c.user_id.not_in(others)
                )
            )
