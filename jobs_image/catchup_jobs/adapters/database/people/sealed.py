"""Which keys the stored values need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from catchup_jobs.adapters.database.schema import addresses, consents, oauth_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchup_jobs.adapters.database.engine import Database


@dataclass(frozen=True, slots=True)
class Sealed:
    """What of the database is lost without its keys.

    Attributes:
        by_key: how many tokens and addresses each key encrypted, by the key's id.
        hashes: how many addresses' consents and opt-outs are found by a key only; which one is not known.
    """

    by_key: Mapping[str, int]
    hashes: int = 0

    def __str__(self) -> str:
        keys = [f"{number} values by key {key_id}" for key_id, number in sorted(self.by_key.items())]
        return ", ".join([*keys, f"{self.hashes} consents and opt-outs"] if self.hashes else keys)


def sealed_by(database: Database) -> dict[str, int]:
    """Return how many values each key encrypted, by the key's id. Raises JobError."""
    counts: dict[str, int] = {}
    with database.read() as connection:
        for table in (oauth_tokens, addresses):
            for key_id, number in connection.execute(select(table.c.key_id, func.count()).group_by(table.c.key_id)):
                counts[key_id] = counts.get(key_id, 0) + number
    return counts


def sealed_in(database: Database) -> Sealed | None:
    """Return what the keys are needed for, None where they are needed for nothing. Raises JobError."""
    by_key = sealed_by(database)
    with database.read() as connection:
        hashes = connection.execute(select(func.count()).select_from(consents)).scalar_one()
    return Sealed(by_key, hashes) if by_key or hashes else None
