"""The version of what a user's suggestions are planned from, and the lock on it.

A transaction that changes events, hours, contacts or suggestions raises the version first, which locks the user's row:
plans of two processes for one user follow one another, and a plan made from an older version is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, update

from catchup_jobs.adapters.database.schema import users

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_RAISED: Final = update(users).values(planning_version=users.c.planning_version + 1)
_OF_ONE: Final = _RAISED.where(users.c.id == bindparam("user"))
_OF_SEVERAL: Final = _RAISED.where(users.c.id.in_(bindparam("user_ids", expanding=True)))


def bump_planning_version(connection: Connection, user_ids: Iterable[str]) -> None:
    """Lock these users' rows and invalidate plans that were made before."""
    these = list(user_ids)
    if len(these) == 1:
        # A list is written into the statement anew each time.
        connection.execute(_OF_ONE, {"user": these[0]})
    else:
        connection.execute(_OF_SEVERAL, {"user_ids": these})
