"""What all tables share: the names of constraints, and the column that leads to a user."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, MetaData

from catchup_jobs.adapters.database.types import user_id

# Deterministic names, so that a migration can name the constraint that it changes.
NAMING_CONVENTION: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: Final = MetaData(naming_convention=NAMING_CONVENTION)


def of_user(*, primary_key: bool = False) -> Column[str]:
    """Return a column that refers to the user and goes with them."""
    return Column(
        "user_id",
        user_id(),
        ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )
