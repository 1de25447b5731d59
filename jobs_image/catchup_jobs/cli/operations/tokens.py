"""`catchup-jobs tokens`: the keys that seal tokens and addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.key_rotation import KeyRotation
from catchup_jobs.cli.resources import encryption_of, open_database
from catchup_jobs.cli.tables import echo_rows, output_option
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.encryption import Encryption

_COLUMNS: Final = {"keyId": "KEY ID", "values": "VALUES", "linksUntil": "LINKS UNTIL", "role": "ROLE"}


@click.group()
def tokens() -> None:
    """The keys that seal OAuth tokens, phone numbers and email addresses.

    \b
    To replace a key on a live system:
      1. put a new key in front of the others in CATCHUP_ENCRYPTION_KEYS (the Secret), and roll out
      2. catchup-jobs tokens rotate
      3. when `catchup-jobs tokens status` shows values and links of the first key only, the others may go
    """


@tokens.command()
@output_option
def status(output: str) -> None:
    """Show how many stored values each key encrypted, by the key's id, the newest key first.

    Links in messages are signed, too: until the date that is shown, a key is needed for those that it signed.

    \b
    Example:
      catchup-jobs tokens status
    """
    settings = Settings.load()
    with open_database(settings) as database:
        encryption = encryption_of(settings, database)
        rotation = _rotation(database, encryption)
        counts, links_until = rotation.sealed_by(), rotation.links_until(now=datetime.now(UTC))
    ids = [*encryption.key_ids, *sorted((counts.keys() | links_until.keys()) - set(encryption.key_ids))]
    rows = [
        {
            "keyId": key_id,
            "values": counts.get(key_id, 0),
            "linksUntil": links_until.get(key_id),
            "role": "newest" if key_id == encryption.key_id else "older" if key_id in encryption.key_ids else "missing",
        }
        for key_id in ids
    ]
    echo_rows(_COLUMNS, rows, output)


@tokens.command()
def rotate() -> None:
    """Encrypt all stored values again with the newest key, while jobs run; it can be interrupted and repeated.

    If a key is missing or wrong, nothing is changed.

    \b
    Example:
      catchup-jobs tokens rotate
    """
    settings = Settings.load()
    with open_database(settings) as database:
        encryption = encryption_of(settings, database)
        rotation, now = _rotation(database, encryption), datetime.now(UTC)
        rotated = rotation.rotate(now=now, progress=lambda number: click.echo(f"{number} values sealed anew", err=True))
        links_until = rotation.links_until(now=now)
    click.echo(f"sealed anew: {rotated.tokens} tokens, {rotated.addresses} addresses")
    older = [until for key_id, until in links_until.items() if key_id != encryption.key_id]
    if older:
        click.echo(
            "links in messages that were sent are signed with the older keys: keep those behind the newest one in"
            f" CATCHUP_ENCRYPTION_KEYS until {max(older):%Y-%m-%d %H:%M} UTC"
        )
    if rotated.orphaned:
        click.echo(
            f"{rotated.orphaned} opt-outs and consents belong to addresses that no user has any more: keep the older"
            " keys at the end of CATCHUP_ENCRYPTION_KEYS for as long as those are to hold"
        )


def _rotation(database: Database, encryption: Encryption) -> KeyRotation:
    return KeyRotation(database, encryption, DatabaseAddresses(database, lambda: encryption))
