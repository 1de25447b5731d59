"""Deleting a user with all personal data."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, delete, func, or_, select

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import (
    addresses,
    calendars,
    contacts,
    dead_letters,
    digests,
    events,
    free_slots,
    interactions,
    oauth_tokens,
    runs,
    suggestions,
    users,
)

# The prefix of the subject of a suggestion run for one user (see `cli.jobs.suggestions`).
_BY_HAND: Final = "user:"


def erase(database: Database, user_id: str) -> dict[str, int] | None:
    """Delete a user and everything that belongs to them, in one transaction; None for an unknown user.

    Consents and opt-outs stay: they belong to the address, of which only a keyed hash is stored.

    Returns:
        the number of rows by what they were, e.g. `{"contacts": 12, "events": 40}`; zero ones are left out.

    Raises:
        JobError: the database cannot be used.
    """
    with database.write() as connection:
        if connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update()).first() is None:
            return None
        counts = {
            "tokens": _count(connection, oauth_tokens, user_id),
            "calendars": _count(connection, calendars, user_id),
            "events": _count(connection, events, user_id, through=calendars),
            "free slots": _count(connection, free_slots, user_id),
            "addresses": _count(connection, addresses, user_id),
            "contacts": _count(connection, contacts, user_id),
            "interactions": _count(connection, interactions, user_id, through=contacts),
            "suggestions": _count(connection, suggestions, user_id),
            "digests": _count(connection, digests, user_id),
        }
        for name, table in (("runs", runs), ("dead letters", dead_letters)):
            subject = or_(table.c.subject == user_id, table.c.subject == f"{_BY_HAND}{user_id}")
            counts[name] = connection.execute(delete(table).where(subject)).rowcount
        # ON DELETE CASCADE deletes the rest.
        connection.execute(delete(users).where(users.c.id == user_id))
    return {name: number for name, number in counts.items() if number}


def _count(connection: Connection, table: Table, user_id: str, *, through: Table | None = None) -> int:
    owner = table if through is None else through
    source = table if through is None else table.join(through)
    statement = select(func.count()).select_from(source).where(owner.c.user_id == user_id)
    return connection.execute(statement).scalar_one()
