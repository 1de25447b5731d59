"""The version of what a user's suggestions are planned from, and the lock on it.

A transaction that changes events, hours, contacts or suggestions raises the version first, which locks the user's row:
plans of two processes for one user follow one another, and a plan made from an older version is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from catchup_jobs.adapters.database.schema import users

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection


def bump_planning_version(connection: Connection, user_ids: Iterable[str]) -> None:
    """Lock these users' rows and invalidate plans that were made before."""
    connection.execute(
        update(users).where(users.c.id.in_(list(user_ids))).values(planning_version=users.c.planning_version + 1)
    )
