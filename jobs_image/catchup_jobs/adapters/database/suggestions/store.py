"""Suggestions in the database: planned from in batches, and stored in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.exc import DataError, IntegrityError

from catchup_jobs.adapters.database.people.planning_version import bump_planning_version
from catchup_jobs.adapters.database.runs.store import check_fence, is_kept, keep_checkpoint
from catchup_jobs.adapters.database.schema import users
from catchup_jobs.adapters.database.suggestions.changes import write_plans
from catchup_jobs.adapters.database.suggestions.facts import known_users
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.suggestions.ports import Saved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.planning.suggestions import Plan
    from catchup_jobs.jobs.run.ports import Fence
    from catchup_jobs.jobs.suggestions.ports import KnownUser


class DatabaseSuggestionStore:
    """`jobs.suggestions.ports.SuggestionStore` in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self, *, after: str, limit: int) -> list[str]:
        """Return the next users' ids, in the order of their bytes."""
        statement = select(users.c.id).where(users.c.id > after).order_by(users.c.id).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def user_count(self) -> int:
        """Return how many users there are."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(users)).scalar_one()

    def known(self, user_ids: Sequence[str], *, now: datetime) -> list[KnownUser]:
        """Return what is stored of those users who still exist, in the order of their ids."""
        with self._database.read() as connection:
            return known_users(connection, user_ids, now)

    def save(
        self,
        plans: Mapping[str, tuple[int, Plan]],
        *,
        again: Callable[[KnownUser], Plan],
        checkpoint: Callable[[Saved], dict[str, Any]],
        now: datetime,
        fence: Fence,
    ) -> Saved:
        """Store plans and the run's checkpoint in one transaction, refused to a stale process."""
        kept: dict[str, Any] | None = None
        try:
            with self._database.write() as connection:
                check_fence(connection, fence)
                saved = _save_plans(connection, plans, again, now) if plans else Saved()
                kept = checkpoint(saved)
                keep_checkpoint(connection, fence, kept)
        except TemporaryError:
            # Perhaps only the reply to the commit is lost: storing again would change and count nothing.
            if kept is None or not self._is_kept(fence, kept):
                raise
        return saved

    def _is_kept(self, fence: Fence, checkpoint: dict[str, Any]) -> bool:
        with self._database.read() as connection:
            return is_kept(connection, fence, checkpoint)


def _save_plans(
    connection: Connection,
    plans: Mapping[str, tuple[int, Plan]],
    again: Callable[[KnownUser], Plan],
    now: datetime,
) -> Saved:
    # In the order of ids, which prevents deadlocks between batches.
    locked = connection.execute(
        select(users.c.id, users.c.planning_version)
        .where(users.c.id.in_(sorted(plans)))
        .order_by(users.c.id)
        .with_for_update()
    ).all()
    current = {row.id: plans[row.id][1] for row in locked if plans[row.id][0] == row.planning_version}
    overtaken = [row.id for row in locked if row.id not in current]
    if overtaken:
        # One by one: together they may be more than is held in memory.
        for user_id in overtaken:
            current |= {user.user_id: again(user) for user in known_users(connection, [user_id], now)}
    changed = {user_id: made for user_id, made in current.items() if made}
    if not changed:
        return Saved()
    try:
        with connection.begin_nested():
            write_plans(connection, changed, now)
            bump_planning_version(connection, changed)
    except (IntegrityError, DataError):
        return _save_one_by_one(connection, changed, now)
    return Saved(changed)


def _save_one_by_one(connection: Connection, plans: Mapping[str, Plan], now: datetime) -> Saved:
    saved = Saved()
    for user_id, made in plans.items():
        try:
            with connection.begin_nested():
                write_plans(connection, {user_id: made}, now)
                bump_planning_version(connection, [user_id])
        except (IntegrityError, DataError) as error:
            saved.refused[user_id] = type(error.orig).__name__
        else:
            saved.plans[user_id] = made
    return saved
