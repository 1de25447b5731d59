"""Encrypting stored values again with the newest key, while jobs run.

A row is replaced only if it is unchanged since it was read, and its version stays: a sync that refreshes a token at the
same moment wins, and the next pass reads its row again. A pod that was started with older keys may still encrypt with
an older one. So the rotation goes on until a whole pass finds nothing, and may be repeated at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, Text, func, select, tuple_, type_coerce, update

from catchup_jobs.adapters.database.people.sealed import sealed_by
from catchup_jobs.adapters.database.schema import addresses, consents, deliveries, oauth_tokens
from catchup_jobs.domain.digest.action_tokens import UNSUBSCRIBE_LIFE
from catchup_jobs.domain.digest.channels import CHANNELS
from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import Table

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
    from catchup_jobs.adapters.encryption import Encryption

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation wrote.

    Attributes:
        orphaned: opt-outs and consents of addresses that no user has any more. Only their hashes are stored, so they
            hold only as long as the key of the hash is configured.
    """

    tokens: int
    addresses: int
    orphaned: int


class KeyRotation:
    """Methods raise `JobError`."""

    def __init__(self, database: Database, encryption: Encryption, people: DatabaseAddresses) -> None:
        self._database = database
        self._encryption = encryption
        self._people = people

    def sealed_by(self) -> dict[str, int]:
        """Return how many values each key encrypted, by the key's id."""
        return sealed_by(self._database)

    def links_until(self, *, now: datetime) -> dict[str, datetime]:
        """Return until when links that a key signed may be used, by the key's id; keys without such are left out.

        Args:
            now: aware.
        """
        sent = (
            select(deliveries.c.signed_by, func.max(deliveries.c.attempted_at))
            .where(deliveries.c.signed_by.is_not(None), deliveries.c.attempted_at > now - UNSUBSCRIBE_LIFE)
            .group_by(deliveries.c.signed_by)
        )
        with self._database.read() as connection:
            return {key_id: last + UNSUBSCRIBE_LIFE for key_id, last in connection.execute(sent)}

    def rotate(self, *, now: datetime, progress: Callable[[int], None] = lambda _: None) -> Rotated:
        """Encrypt everything with the newest key.

        Args:
            progress: called with the number of values written so far.

        Raises:
            MisconfiguredError: a value was encrypted with a key that is not configured; nothing was changed.
        """
        if unknown := self.sealed_by().keys() - set(self._encryption.key_ids):
            raise MisconfiguredError(
                f"{len(unknown)} keys that sealed stored values are not in CATCHUP_ENCRYPTION_KEYS: put them back"
                " behind the newest one; nothing was changed"
            )
        if newer := self._newer_channels():
            raise MisconfiguredError(
                f"only a newer version can seal addresses of {', '.join(newer)} anew: rotate with that; nothing was"
                " changed"
            )
        total = 0
        written: list[int] = []
        for table, write in ((oauth_tokens, self._token), (addresses, self._address)):
            before = total
            has_old_rows = True
            while has_old_rows:
                has_old_rows = False
                for page in self._old_rows(table):
                    has_old_rows = True
                    with self._database.write() as connection:
                        total += sum(write(connection, row, now) for row in page)
                    progress(total)
            written.append(total - before)
        return Rotated(tokens=written[0], addresses=written[1], orphaned=self._orphaned())

    def _newer_channels(self) -> list[str]:
        channel = type_coerce(addresses.c.channel, Text())
        with self._database.read() as connection:
            return sorted(set(connection.execute(select(channel).distinct()).scalars()) - CHANNELS.keys())

    def _old_rows(self, table: Table) -> Iterator[list[Row[Any]]]:
        """Yield pages of rows that are not encrypted with the newest key."""
        key = tuple_(*table.primary_key.columns)
        after: tuple[Any, ...] | None = None
        while True:
            statement = select(table).where(table.c.key_id != self._encryption.key_id).order_by(*table.primary_key)
            if after is not None:
                statement = statement.where(key > after)
            with self._database.read() as connection:
                page = list(connection.execute(statement.limit(_PAGE)).all())
            if not page:
                return
            yield page
            after = tuple(page[-1]._mapping[column.name] for column in table.primary_key)

    def _token(self, connection: Connection, row: Row[Any], now: datetime) -> int:
        sealed = self._encryption.seal(row.user_id, self._encryption.open(row.user_id, row.ciphertext))
        return connection.execute(
            update(oauth_tokens)
            .where(
                oauth_tokens.c.user_id == row.user_id,
                oauth_tokens.c.version == row.version,
                oauth_tokens.c.ciphertext == row.ciphertext,
            )
            .values(key_id=sealed.key_id, ciphertext=sealed.ciphertext, updated_at=now)
        ).rowcount

    def _address(self, connection: Connection, row: Row[Any], now: datetime) -> int:
        return self._people.seal_anew(connection, row, now=now)

    def _orphaned(self) -> int:
        known = select(addresses.c.lookup).where(addresses.c.channel == consents.c.channel)
        statement = select(func.count()).select_from(consents).where(consents.c.lookup.not_in(known))
        with self._database.read() as connection:
            return connection.execute(statement).scalar_one()
