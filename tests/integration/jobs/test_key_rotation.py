"""Replacing encryption keys on a live system, on both databases."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import delete, insert, select

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses, record_opt_out
from catchup_jobs.adapters.database.people.key_rotation import KeyRotation
from catchup_jobs.adapters.database.schema import addresses, oauth_tokens, users
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.digest.addresses import GivenAddress
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import ChannelMode
from catchup_jobs.jobs.run.errors import MisconfiguredError

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
USERS = [f"user-{number:03d}" for number in range(150)]  # more than a page
PHONE = "+447700900123"


def token(user_id: str) -> OAuthToken:
    return OAuthToken(f"refresh-{user_id}", "access", NOW + timedelta(hours=1))


def rotation(database: Database, *keys: str) -> KeyRotation:
    encryption = Encryption(keys)
    return KeyRotation(database, encryption, DatabaseAddresses(database, lambda: encryption))


def address_book(database: Database, *keys: str) -> DatabaseAddresses:
    return DatabaseAddresses(database, lambda: Encryption(keys))


@pytest.fixture
def fleet(database: Database) -> Database:
    """150 users with a token each, sealed with the old key; one has a number that said STOP."""
    row = {"name": "A", "time_zone": "Etc/UTC", "digest_day": DigestDay.SUNDAY, "digest_time": NOW.time()}
    row |= {"sync_every": "30m", "created_at": NOW, "updated_at": NOW}
    with database.write() as connection:
        connection.execute(insert(users), [{"id": user_id, **row} for user_id in USERS])
        book = address_book(database, OLD)
        given = GivenAddress(SMS, PHONE, ChannelMode.ON, consented=True, consented_at=NOW)
        book.import_into(connection, USERS[0], [given], now=NOW)
        lookup = connection.execute(select(addresses.c.lookup)).scalar_one()
        record_opt_out(database, connection, SMS, lookup, now=NOW)
    store = DatabaseTokens(database, Encryption([OLD]))
    for user_id in USERS:
        store.connect(user_id, token(user_id), now=NOW)
    return database


def test_everything_is_sealed_anew_and_readable_without_the_old_key(fleet: Database) -> None:
    told: list[int] = []
    rotated = rotation(fleet, NEW, OLD).rotate(now=NOW, progress=told.append)
    assert (rotated.tokens, rotated.addresses, rotated.orphaned) == (150, 1, 0)
    assert told == [100, 150, 151]
    store = DatabaseTokens(fleet, Encryption([NEW]))
    for user_id in USERS:
        kept = store.load(user_id)
        assert kept is not None
        assert kept.token == token(user_id)
    assert rotation(fleet, NEW).sealed_by() == {Encryption([NEW]).key_id: 151}


def test_a_stop_holds_after_the_old_key_is_gone(fleet: Database) -> None:
    rotation(fleet, NEW, OLD).rotate(now=NOW)
    assert address_book(fleet, NEW).destinations(USERS[0])[SMS].opted_out


def test_old_values_are_readable_before_the_rotation(fleet: Database) -> None:
    kept = DatabaseTokens(fleet, Encryption([NEW, OLD])).load(USERS[7])
    assert kept is not None
    assert kept.token == token(USERS[7])
    assert address_book(fleet, NEW, OLD).destinations(USERS[0])[SMS].opted_out


def test_rotating_twice_changes_nothing_more(fleet: Database) -> None:
    rotation(fleet, NEW, OLD).rotate(now=NOW)
    again = rotation(fleet, NEW, OLD).rotate(now=NOW)
    assert (again.tokens, again.addresses) == (0, 0)


def test_a_wrong_key_changes_nothing(fleet: Database) -> None:
    def sealed() -> list[tuple[str, bytes]]:
        with fleet.read() as connection:
            return sorted(
                (row.key_id, row.ciphertext)
                for table in (oauth_tokens, addresses)
                for row in connection.execute(select(table.c.key_id, table.c.ciphertext))
            )

    before = sealed()
    with pytest.raises(MisconfiguredError, match="nothing was changed"):
        rotation(fleet, NEW, Fernet.generate_key().decode()).rotate(now=NOW)
    assert sealed() == before


def test_a_token_refreshed_during_the_rotation_is_kept(fleet: Database) -> None:
    # A sync that began before it has the version of then, and stores its refreshed token afterwards.
    store = DatabaseTokens(fleet, Encryption([OLD]))
    kept = store.load(USERS[3])
    assert kept is not None
    rotation(fleet, NEW, OLD).rotate(now=NOW)
    refreshed = dataclasses.replace(kept.token, refresh_token="rotated-by-google")
    assert store.replace(USERS[3], refreshed, version=kept.version, now=NOW)
    assert rotation(fleet, NEW, OLD).rotate(now=NOW).tokens == 1
    found = DatabaseTokens(fleet, Encryption([NEW])).load(USERS[3])
    assert found is not None
    assert found.token.refresh_token == "rotated-by-google"


def test_the_opt_out_of_a_deleted_user_is_counted_since_its_address_is_not_known(fleet: Database) -> None:
    with fleet.write() as connection:
        connection.execute(delete(users).where(users.c.id == USERS[0]))
    assert rotation(fleet, NEW, OLD).rotate(now=NOW).orphaned == 1
