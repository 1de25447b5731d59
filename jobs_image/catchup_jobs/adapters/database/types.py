"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Dialect, Enum, Integer, String, Text
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine

E = TypeVar("E", bound=StrEnum)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware datetimes in, aware UTC datetimes out, on every backend.

    SQLite has no zones and would drop an offset silently, so it stores the UTC wall clock, which also sorts.

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

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Return what converts a value, None for PostgreSQL: in a session of `engine.py` the driver gives aware UTC."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return aware UTC."""
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


class NewerName(str):
    """A stored name that only newer code knows, as it is stored: shown, kept and written back, never acted on."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name, as a record has it."""
        return str(self)

    @property
    def value(self) -> str:
        """The name, as a member of an enum has it."""
        return str(self)


class ContractEnum(TypeDecorator[Any]):
    """A member of an enum that the contract may extend, stored by its value.

    The enum, not a CHECK, says which values there are: a new value needs no migration. One that only newer code knows
    is loaded as a `NewerName`.

    Raises:
        LookupError: on binding what is neither a member nor a `NewerName`.
    """

    impl = String(32)
    cache_ok = True

    def __init__(self, enum: type[StrEnum], name: str) -> None:
        super().__init__()
        self.enum = enum
        self.name = name

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the member's value."""
        if value is None or isinstance(value, NewerName):
            return None if value is None else str(value)
        if not isinstance(value, self.enum):
            raise LookupError(f"not a {self.name}")  # noqa: TRY004 - as SQLAlchemy's own types
        return value.value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any | None:  # noqa: ARG002
        """Return the member."""
        if value is None:
            return None
        try:
            return self.enum(value)
        except ValueError:
            return NewerName(value)


class RecordName(TypeDecorator[Any]):
    """A record of a table such as `kinds.KINDS`, stored by its name.

    The table, not a CHECK, says which names there are: a new record needs no migration. A name that only newer code
    knows is loaded as a `NewerName`.

    Raises:
        LookupError: on binding a record that the table does not hold.
    """

    impl = String(32)
    cache_ok = True

    def __init__(self, name: str, records: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = name  # part of SQLAlchemy's cache key, unlike the records
        self._records = records

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the record's name."""
        if value is None or isinstance(value, NewerName):
            return None if value is None else str(value)
        if self._records[value.name] is not value:
            raise LookupError(f"not the {self.name} of this name")
        return str(value.name)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any | None:  # noqa: ARG002
        """Return the record."""
        return None if value is None else self._records.get(value) or NewerName(value)


def user_id() -> TypeEngine[str]:
    """Return the type of ids in whose order pages are read: compared by bytes, as Python compares them."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def row_id() -> TypeEngine[int]:
    """Return the type of surrogate keys: 64 bits (SQLite's `INTEGER PRIMARY KEY` has them under that name only)."""
    return BigInteger().with_variant(Integer(), "sqlite")
