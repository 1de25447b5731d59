"""What commands open and close: the database, the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.migrate import upgrade, wait_for_schema
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.jobs.run.ports import Process
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_contract.digest_rule import DigestTime
    from catchup_jobs.adapters.encryption import Encryption


class Closable(Protocol):
    """What must be closed."""

    def close(self) -> None:
        """Close it."""
        ...


C = TypeVar("C", bound=Closable)


class Clients:
    """Clients of outside servers that are dear to make: kept for the next run of the same thread."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._open = ExitStack()

    def once(self, name: str, make: Callable[[], C]) -> C:
        """Return the client of this name; `make` is called the first time."""
        if name not in self._made:
            self._made[name] = self._open.enter_context(closing(make()))
        client: C = self._made[name]
        return client

    def close(self) -> None:
        """Close all clients."""
        self._made.clear()
        self._open.close()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job's body builds its adapters from.

    Attributes:
        digest_time: when the user's digest is due, None where the settings or the database say it.
    """

    settings: Settings
    database: Database
    clients: Clients
    digest_time: DigestTime | None = None


@contextmanager
def open_database(settings: Settings, process: Process | None = None, *, connections: int = 2) -> Iterator[Database]:
    """Open the database with a schema that fits this code; the default database is migrated first.

    Args:
        process: of a job, which waits `WAIT_SECONDS` for a migration that may be running; without it there is no wait.
        connections: how many the process may have to PostgreSQL.

    Raises:
        TemporaryError: the schema does not fit in time; the message names the command that migrates it.
        JobError: the database cannot be used.
    """
    with closing(Database.open(settings.database_url, connections=connections)) as database:
        if settings.is_embedded:
            upgrade(settings.database_url)
        if process is None:
            wait_for_schema(database, wait_seconds=0)
        else:
            wait_for_schema(database, sleep=process.sleep, stopping=process.stopping)
        yield database


def encryption_of(settings: Settings, database: Database) -> Encryption:
    """Return what seals and opens stored values. The keys are loaded only for a user who has any.

    Raises:
        MisconfiguredError: the keys cannot be used, or those of what is stored are gone.
        JobError: the database cannot be used.
    """
    from catchup_jobs.adapters.database.people.sealed import sealed_in  # noqa: PLC0415

    return _encryption(tuple(settings.encryption_keys(lambda: sealed_in(database))))


@lru_cache(maxsize=1)
def _encryption(keys: tuple[str, ...]) -> Encryption:
    # Once for all users whom a process serves.
    from catchup_jobs.adapters.encryption import Encryption  # noqa: PLC0415

    return Encryption(keys)


def sealing_encryption_of(settings: Settings, database: Database, *, keys_lost: bool) -> Encryption:
    """Return what seals new values; refuse keys that open none of the stored ones.

    Only values that are opened tell a wrong key, and some are written over unread: they would be of two keys then.

    Args:
        keys_lost: whether the user said that the keys of what is stored are gone for good.

    Raises:
        MisconfiguredError: the keys cannot be used, or stored values are of other keys.
        JobError: the database cannot be used.
    """
    from catchup_jobs.adapters.database.people.sealed import sealed_by  # noqa: PLC0415

    encryption = encryption_of(settings, database)
    stored = sealed_by(database)
    if stored and not keys_lost and stored.keys().isdisjoint(encryption.key_ids):
        raise MisconfiguredError(
            "none of the encryption keys opens what is stored: put the key that sealed it back into"
            " CATCHUP_ENCRYPTION_KEYS (or the key file); nothing was changed. If it is lost for good, say --keys-lost"
        )
    return encryption
