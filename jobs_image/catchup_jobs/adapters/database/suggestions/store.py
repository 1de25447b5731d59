"""Suggestions in the database: stored in batches, and repaired when events change."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from catchup_jobs.adapters.database.people.planning_version import raise_version
from catchup_jobs.adapters.database.runs.store import check_fence, is_kept, keep_checkpoint
from catchup_jobs.adapters.database.schema import suggestions, users
from catchup_jobs.adapters.database.suggestions.facts import known_users
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import Plan
from catchup_jobs.domain.vocabulary import SuggestionStatus
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.suggestions.ports import Saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.ports import Fence
    from catchup_jobs.jobs.suggestions.ports import KnownUser


# How long an expired suggestion is kept after its time: a delivered one, and one that was never delivered.
KEEP_SEEN: Final = timedelta(days=366)
KEEP_UNSEEN: Final = timedelta(days=90)


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


def repair(connection: Connection, user_id: str, now: datetime) -> Plan:
    """Move or expire pending suggestions that clash, in the transaction that changed the user's events.

    Call it after the change and after `raise_version`, which invalidates plans made from the events before.
    """
    pending = select(suggestions.c.id).where(
        suggestions.c.user_id == user_id, suggestions.c.status == SuggestionStatus.PENDING
    )
    if connection.execute(pending.limit(1)).first() is not None:
        for user in known_users(connection, [user_id], now):
            if user.facts is not None and (made := plan(user.facts, now=now, create=False)):
                _write(connection, {user_id: made}, now)
                return made
    return Plan()


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
            _write(connection, changed, now)
            raise_version(connection, changed)
    except (IntegrityError, DataError):
        return _save_one_by_one(connection, changed, now)
    return Saved(changed)


def _save_one_by_one(connection: Connection, plans: Mapping[str, Plan], now: datetime) -> Saved:
    saved = Saved()
    for user_id, made in plans.items():
        try:
            with connection.begin_nested():
                _write(connection, {user_id: made}, now)
                raise_version(connection, [user_id])
        except (IntegrityError, DataError) as error:
            saved.refused[user_id] = type(error.orig).__name__
        else:
            saved.plans[user_id] = made
    return saved


def _write(connection: Connection, plans: Mapping[str, Plan], now: datetime) -> None:
    _forget(connection, plans, now)
    expired = [
        {"row_id": change.suggestion.id, "row_version": change.suggestion.version, "reason": change.reason}
        for made in plans.values()
        for change in made.expired
    ]
    if expired:
        over = _changed(now).values(
            status=SuggestionStatus.EXPIRED, expiry_reason=bindparam("reason"), snoozed_until=None
        )
        connection.execute(over, expired)
    rewordings = [
        {"row_id": change.suggestion.id, "row_version": change.suggestion.version, "new_reasoning": change.reasoning}
        for made in plans.values()
        for change in made.reworded
    ]
    if rewordings:
        # The version stays: an answer given to the earlier wording still counts.
        connection.execute(_unchanged().values(reasoning=bindparam("new_reasoning")), rewordings)
    for reworded in (True, False):
        moved = [
            {
                "row_id": change.suggestion.id,
                "row_version": change.suggestion.version,
                "new_start": change.when.start,
                "new_end": change.when.end,
                "new_title": change.title,
                **({"new_reasoning": change.reasoning} if reworded else {}),
            }
            for made in plans.values()
            for change in made.moved
            if (change.reasoning is not None) is reworded
        ]
        if moved:
            statement = _changed(now).values(
                status=SuggestionStatus.PENDING,
                start_at=bindparam("new_start"),
                end_at=bindparam("new_end"),
                source_event_title=bindparam("new_title"),
                snoozed_until=None,
                delivered_at=None,
            )
            if reworded:
                statement = statement.values(reasoning=bindparam("new_reasoning"))
            connection.execute(statement, moved)
    created = [
        {
            "user_id": user_id,
            "contact_id": change.contact_id,
            "trigger": change.trigger,
            "status": SuggestionStatus.PENDING,
            "mode": change.mode,
            "start_at": change.when.start,
            "end_at": change.when.end,
            "reasoning": change.reasoning,
            "source_calendar_id": change.source.calendar_id if change.source else None,
            "source_event_id": change.source.event_id if change.source else None,
            "source_event_title": change.source.title if change.source else None,
            "created_at": now,
            "updated_at": now,
        }
        for user_id, made in plans.items()
        for change in made.created
    ]
    if created:
        _insert(connection, created)


def _forget(connection: Connection, user_ids: Iterable[str], now: datetime) -> None:
    """Delete old expired suggestions of users whose suggestions change anyway."""
    seen = suggestions.c.delivered_at.is_not(None)
    connection.execute(
        delete(suggestions).where(
            suggestions.c.user_id.in_(list(user_ids)),
            suggestions.c.status == SuggestionStatus.EXPIRED,
            suggestions.c.end_at < case((seen, now - KEEP_SEEN), else_=now - KEEP_UNSEEN),
        )
    )


# The columns of a new suggestion, and their types in PostgreSQL.
_NEW: Final = {
    "user_id": "text",
    "contact_id": "bigint",
    "trigger": "text",
    "status": "text",
    "mode": "text",
    "start_at": "timestamptz",
    "end_at": "timestamptz",
    "reasoning": "text",
    "source_calendar_id": "bigint",
    "source_event_id": "text",
    "source_event_title": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_UNNEST: Final = (
    f"INSERT INTO suggestions ({', '.join(_NEW)}) SELECT * FROM"  # noqa: S608 - of the names above
    f" unnest({', '.join(f'%({name})s::{kind}[]' for name, kind in _NEW.items())})"
)


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if connection.dialect.name != "postgresql":
        connection.execute(insert(suggestions), rows)
        return
    # One statement for all rows takes a third of the time of one statement for each.
    columns = {name: [row[name] for row in rows] for name in _NEW}
    for name in ("trigger", "status", "mode"):
        columns[name] = [member.value for member in columns[name]]
    connection.exec_driver_sql(_UNNEST, columns)


def _unchanged() -> Any:
    return update(suggestions).where(
        suggestions.c.id == bindparam("row_id"), suggestions.c.version == bindparam("row_version")
    )


def _changed(now: datetime) -> Any:
    return _unchanged().values(version=suggestions.c.version + 1, updated_at=now)
