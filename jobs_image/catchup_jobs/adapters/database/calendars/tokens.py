"""OAuth tokens, encrypted for their user; changes are made by compare-and-swap on the row's version."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.hours import require_zone
from catchup_jobs.adapters.database.schema import calendars, oauth_tokens, users
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.stored_enums import Provider, TokenState
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.sync.ports import StoredToken, StoredUser

_TOKEN: Final = (
    oauth_tokens.c.ciphertext,
    oauth_tokens.c.expires_at,
    oauth_tokens.c.state,
    oauth_tokens.c.version,
    oauth_tokens.c.calendars_listed_at,
)
_USER: Final = (
    select(users.c.time_zone, *_TOKEN).outerjoin_from(users, oauth_tokens).where(users.c.id == bindparam("user"))
)


class DatabaseTokens:
    """`jobs.sync.ports.TokenStore` in the database; methods raise `JobError`."""

    def __init__(self, database: Database, encryption: Encryption) -> None:
        self._database = database
        self._encryption = encryption

    def user(self, user_id: str) -> StoredUser | None:
        """Return a user with the token, None for an unknown user.

        Raises:
            PermanentError: the user's time zone is not one that is known.
            MisconfiguredError: see `load`.
        """
        with self._database.read() as connection:
            row = connection.execute(_USER, {"user": user_id}).one_or_none()
        if row is None:
            return None
        return StoredUser(require_zone(row.time_zone), None if row.version is None else self._stored(user_id, row))

    def load(self, user_id: str) -> StoredToken | None:
        """Return the user's token, None for a user who never connected a calendar.

        Raises:
            MisconfiguredError: it was sealed with a key that is not configured; nothing is changed.
        """
        with self._database.read() as connection:
            row = connection.execute(select(*_TOKEN).where(oauth_tokens.c.user_id == user_id)).one_or_none()
        return None if row is None else self._stored(user_id, row)

    def _stored(self, user_id: str, row: Any) -> StoredToken:
        token = _read(self._encryption.open(user_id, row.ciphertext), row.expires_at)
        return StoredToken(token, row.state, row.version, row.calendars_listed_at)

    def connect(self, user_id: str, token: OAuthToken, *, now: datetime, account: str | None = None) -> None:
        """Store a new token, replacing any other.

        Args:
            account: the provider's id of the account; only its keyed hash is stored.

        Raises:
            PermanentError: there is no such user.
        """
        values = {
            **self._sealed(user_id, token),
            "provider": Provider.GOOGLE,
            "account": self._encryption.lookups("account", account)[0] if account else None,
            "state": TokenState.ACTIVE,
            "updated_at": now,
            "calendars_listed_at": None,
        }
        statement = self._database.insert(oauth_tokens).values(user_id=user_id, version=1, **values)
        statement = statement.on_conflict_do_update(
            index_elements=["user_id"], set_={**values, "version": oauth_tokens.c.version + 1}
        )
        with self._database.write() as connection:
            connection.execute(statement)

    def replace(self, user_id: str, token: OAuthToken, *, version: int, now: datetime) -> bool:
        """Store a refreshed token if nothing was stored since `version` was read; return whether it was stored."""
        return self._swap(user_id, version, self._sealed(user_id, token) | {"updated_at": now})

    def mark_reconnect(self, user_id: str, *, version: int, now: datetime) -> bool:
        """Store that the user must connect again, if nothing was stored since `version` was read."""
        return self._swap(user_id, version, {"state": TokenState.RECONNECT, "updated_at": now})

    def mark_listed(self, user_id: str, *, version: int, now: datetime) -> None:
        """Store that the calendar list was read, if nothing was stored since `version` was read."""
        statement = update(oauth_tokens).where(oauth_tokens.c.user_id == user_id, oauth_tokens.c.version == version)
        with self._database.write() as connection:
            connection.execute(statement.values(calendars_listed_at=now))

    def _swap(self, user_id: str, version: int, values: dict[str, Any]) -> bool:
        statement = (
            update(oauth_tokens)
            .where(oauth_tokens.c.user_id == user_id, oauth_tokens.c.version == version)
            .values(**values, version=version + 1)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount == 1

    def _sealed(self, user_id: str, token: OAuthToken) -> dict[str, Any]:
        document = {"refresh_token": token.refresh_token, "access_token": token.access_token}
        sealed = self._encryption.seal(user_id, json.dumps(document).encode())
        return {"key_id": sealed.key_id, "ciphertext": sealed.ciphertext, "expires_at": token.expires_at}


def is_connected(database: Database, user_id: str) -> bool:
    """Return whether the user has a token, valid or not."""
    with database.read() as connection:
        there = select(oauth_tokens.c.user_id).where(oauth_tokens.c.user_id == user_id)
        return connection.execute(there).first() is not None


def shares_account(database: Database, user_id: str) -> bool:
    """Return whether another user is connected to the same account: the one with the same primary calendar."""
    own, other = calendars.alias("own"), calendars.alias("other")
    shared = (
        select(other.c.user_id)
        .join(own, own.c.google_id == other.c.google_id)
        .join(oauth_tokens, oauth_tokens.c.user_id == other.c.user_id)
        .where(own.c.user_id == user_id, own.c.is_primary, other.c.is_primary, other.c.user_id != user_id)
    )
    with database.read() as connection:
        return connection.execute(shared.limit(1)).first() is not None


def _read(content: bytes, expires_at: datetime | None) -> OAuthToken:
    try:
        document = json.loads(content)
        return OAuthToken(document["refresh_token"], document["access_token"], expires_at)
    except (ValueError, KeyError, TypeError):
        raise PermanentError("the stored token is not one: the calendar must be connected again") from None
