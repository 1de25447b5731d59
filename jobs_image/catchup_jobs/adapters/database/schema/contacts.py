"""Contacts, and interactions with them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Table, Text, UniqueConstraint, false

from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import UtcDateTime, row_id, text_enum
from catchup_jobs.domain.stored_enums import Frequency


def of_contact(*, primary_key: bool = False) -> Column[int]:
    """Return the column of a row that belongs to a contact and goes with them."""
    return Column(
        "contact_id",
        row_id(),
        ForeignKey("contacts.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


# `external_id`: the contact's id in the application that imports it. `frequency`: null counts as monthly.
contacts: Final = Table(
    "contacts",
    metadata,
    Column("id", row_id(), primary_key=True),
    of_user(),
    Column("external_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("frequency", text_enum(Frequency, "frequency")),
    Column("city", Text),
    Column("time_zone", Text),
    Column("excluded", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("archived", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("user_id", "external_id"),
    # The id of a deleted row is not given to another one.
    sqlite_autoincrement=True,
)

contact_tags: Final = Table(
    "contact_tags",
    metadata,
    of_contact(primary_key=True),
    Column("tag", Text, primary_key=True),
)

# The group with the name "Close Friends" affects planning.
contact_groups: Final = Table(
    "contact_groups",
    metadata,
    of_contact(primary_key=True),
    Column("name", Text, primary_key=True),
)

interactions: Final = Table(
    "interactions",
    metadata,
    of_contact(primary_key=True),
    Column("occurred_at", UtcDateTime, primary_key=True),
)
