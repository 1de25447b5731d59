"""Contacts in the database: an import replaces a user's contacts by those of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, case, delete, func, insert, not_, select, tuple_, update

from catchup_jobs.adapters.database.chunks import chunks
from catchup_jobs.adapters.database.schema import contact_groups, contact_tags, contacts, interactions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from catchup_jobs.domain.people.contacts import Contact

MAY_BE_SUGGESTED: Final = (contacts.c.excluded.is_(False), contacts.c.archived.is_(False))
"""The conditions that a contact meets who is neither excluded nor archived."""


def import_contacts(connection: Connection, user_id: str, entries: Sequence[Contact], *, now: datetime) -> None:
    """Replace the user's contacts, by their external ids.

    A contact keeps its row, and so its suggestions. A missing contact is archived, not deleted: it gets no suggestions,
    and keeps its earlier ones in case it returns. The caller has raised the user's `planning_version`.
    """
    stored = _stored(connection, user_id)
    new = [entry for entry in entries if entry.external_id not in stored]
    if new:
        rows = [
            {"user_id": user_id, "external_id": entry.external_id, "created_at": now, **_values(entry, now)}
            for entry in new
        ]
        connection.execute(insert(contacts), rows)
    known = [entry for entry in entries if entry.external_id in stored]
    for dated in (True, False):
        # Without a creation date in the file, the stored one stays.
        rows = [
            {"row_id": stored[entry.external_id], **_values(entry, now)}
            for entry in known
            if (entry.created_at is not None) is dated
        ]
        if rows:
            connection.execute(update(contacts).where(contacts.c.id == bindparam("row_id")), rows)
    missing = stored.keys() - {entry.external_id for entry in entries}
    for ids in chunks(stored[external_id] for external_id in missing):
        connection.execute(
            update(contacts)
            .where(contacts.c.id.in_(ids), contacts.c.archived.is_(False))
            .values(archived=True, updated_at=now)
        )
    if new:
        stored = _stored(connection, user_id)
    _replace(connection, contact_tags, "tag", {stored[entry.external_id]: entry.tags for entry in entries})
    _replace(connection, contact_groups, "name", {stored[entry.external_id]: entry.groups for entry in entries})
    logs = {stored[entry.external_id]: entry.interactions for entry in entries if entry.interactions is not None}
    _replace(connection, interactions, "occurred_at", logs)


def count_contacts(connection: Connection, user_id: str) -> tuple[int, int]:
    """Return how many contacts a user has, and how many of them are excluded or archived."""
    left_out = not_(and_(*MAY_BE_SUGGESTED))
    statement = select(func.count(), func.count(case((left_out, 1)))).where(contacts.c.user_id == user_id)
    total, without = connection.execute(statement).one()
    return total, without


def _stored(connection: Connection, user_id: str) -> dict[str, int]:
    rows = connection.execute(select(contacts.c.external_id, contacts.c.id).where(contacts.c.user_id == user_id))
    return {row.external_id: row.id for row in rows}


def _values(entry: Contact, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": entry.name,
        "frequency": entry.frequency,
        "city": entry.city,
        "time_zone": entry.time_zone,
        "excluded": entry.excluded,
        "archived": entry.archived,
        "updated_at": now,
    }
    return values if entry.created_at is None else values | {"created_at": entry.created_at}


def _replace(connection: Connection, table: Table, column: str, wanted: Mapping[int, Sequence[Any]]) -> None:
    """Replace the rows of these contacts; rows that stay the same are not written."""
    stored_rows: set[tuple[int, Any]] = set()
    for ids in chunks(wanted):
        rows = connection.execute(select(table.c.contact_id, table.c[column]).where(table.c.contact_id.in_(ids)))
        stored_rows.update((row[0], row[1]) for row in rows)
    target = {(contact_id, value) for contact_id, values in wanted.items() for value in values}
    key = tuple_(table.c.contact_id, table.c[column])
    for outdated in chunks(stored_rows - target):
        connection.execute(delete(table).where(key.in_(outdated)))
    if added := target - stored_rows:
        connection.execute(insert(table), [{"contact_id": contact_id, column: value} for contact_id, value in added])
