"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Dialect, Enum, Integer, Text
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine

E = TypeVar("E", bound=StrEnum)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware datetimes in, aware UTC datetimes out, on every backend.

    SQLite has no zones and would drop an offset without a word, so it stores the UTC wall clock, which also sorts.

    Raises:
        ValueError: on binding a naive datetime.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored instant must be an aware datetime, this one has no zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return aware UTC, whatever the session's zone is."""
        if value is None:
            return None
        instant: datetime = value
        if instant.tzinfo is UTC:
            return instant
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def text_enum(enum: type[E], name: str) -> Enum:
    """Return a text column's type that admits only the values of `enum`, by a CHECK named `ck_<table>_<name>`.

    Native enums are avoided: PostgreSQL cannot drop a value of one, and SQLite has none.
    """
    return Enum(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def user_id() -> TypeEngine[str]:
    """Return the type of ids that keyset pages order by: compared by bytes, so that pages agree with Python's order."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def row_id() -> TypeEngine[int]:
    """Return the type of surrogate keys: 64 bits (SQLite's `INTEGER PRIMARY KEY` has them under that name only)."""
    return BigInteger().with_variant(Integer(), "sqlite")
