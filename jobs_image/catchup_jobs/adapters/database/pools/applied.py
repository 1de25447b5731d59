"""Which list of UserSchedules a pool's members agree with, and the transactions in which another one is applied."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Select, select, update

from catchup_contract.pools import Members
from catchup_contract.schedule_list import ScheduleList
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.members import HEAD, HEAD_ALONE
from catchup_jobs.adapters.database.schema import pool_lists

C = TypeVar("C", bound=Collection[str])

# In place of the letter of `Members` while the first list is applied.
_NONE_YET: Final = "?"


class OvertakenError(Exception):
    """Another pod has applied the same list meanwhile, or a newer one."""


def applied(pool: str) -> Select[Any]:
    """Return the statement for what is stored of the list that a pool has applied last."""
    return select(pool_lists.c.digest).where(pool_lists.c.pool == pool)


def letter_of(where: Members) -> str:
    """Return how it is stored where a pool's members are."""
    return where.value[0]


def text_of(listed: ScheduleList, where: Members) -> str:
    """Return what is stored of a list that was applied."""
    return f"#{listed.order or 0:015}{letter_of(where)} {listed.digest}"


def is_older(listed: ScheduleList, stored: str | None) -> bool:
    """Return whether a newer list was applied; of one that says no order, and before the first one, nobody knows."""
    is_known = stored is not None and stored.startswith("#")
    return is_known and listed.order is not None and listed.order < int(str(stored)[1 : HEAD - 1])


def is_first(stored: str | None) -> bool:
    """Return whether the pool has not applied a complete list so far."""
    return stored is None or stored[HEAD - 1 : HEAD] == _NONE_YET


@dataclass(frozen=True)
class Turns:
    """The transactions in which a pool applies a list: short ones, since runs wait for the rows of their users.

    Each locks the pool's row of `pool_lists`, so that pods of one pool take turns. Transactions that lock rows in
    another order, such as an import's, may end one of these; it is made anew then.

    Attributes:
        where: where the pool's members are.
    """

    database: Database
    pool: str
    listed: ScheduleList
    where: Members

    def begin(self) -> None:
        """Keep pods with an older list from going on. Raises OvertakenError, JobError."""

        def note(connection: Connection) -> list[str]:
            head = text_of(self.listed, self.where)[:HEAD]
            if is_first(connection.execute(applied(self.pool)).scalar()):
                head = head[: HEAD - 1] + _NONE_YET
            stored = self.database.insert(pool_lists).values(pool=self.pool, digest=f"{head} {self._token}")
            connection.execute(
                stored.on_conflict_do_update(index_elements=["pool"], set_={"digest": stored.excluded.digest})
            )
            return []

        self.take(note)

    def take(self, change: Callable[[Connection], C]) -> C:
        """Return the users whom `change` has changed.

        What an incomplete list changes, a part of which may be older than what is known, holds until the next complete
        one: that is applied even if it was applied before.

        Raises:
            OvertakenError: another pod has applied the same list meanwhile, or a newer one.
            JobError: the database cannot be used.
        """
        return self.database.write_anew(lambda connection: self._change(connection, change))

    def end(self) -> None:
        """Store that the list was applied, unless it is to be applied again. Raises JobError."""
        begun = pool_lists.c.digest.endswith(self._token, autoescape=True)
        with self.database.write() as connection:
            connection.execute(
                update(pool_lists)
                .where(pool_lists.c.pool == self.pool, begun)
                .values(digest=text_of(self.listed, self.where))
            )

    def _change(self, connection: Connection, change: Callable[[Connection], C]) -> C:
        stored = connection.execute(applied(self.pool).with_for_update()).scalar()
        is_done = self.listed.is_complete and stored == text_of(self.listed, self.where)
        if is_done or is_older(self.listed, stored):
            raise OvertakenError
        changed = change(connection)
        if changed and not self.listed.is_complete:
            connection.execute(update(pool_lists).where(pool_lists.c.pool == self.pool).values(digest=HEAD_ALONE))
        return changed

    @cached_property
    def _token(self) -> str:
        # Whoever has the list applied again cuts it off, and whoever begins after this process replaces it.
        return f"begun {uuid.uuid4().hex}"
