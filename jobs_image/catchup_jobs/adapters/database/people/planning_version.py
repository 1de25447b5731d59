"""The lock under which a user's suggestions are planned.

Whoever changes what they are planned from (events, hours, contacts, the suggestions themselves) takes it first, in the
same transaction: plans of two processes for one user come one after the other, and a plan made from what was stored
before is made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from catchup_jobs.adapters.database.schema import users

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection


def raise_version(connection: Connection, user_ids: Iterable[str]) -> None:
    """Lock these users' rows and void plans that were made from what is stored now."""
    connection.execute(
        update(users).where(users.c.id.in_(list(user_ids))).values(planning_version=users.c.planning_version + 1)
    )
