"""Users' addresses, encrypted for their user, and the consent and opt-out of an address's owner.

Consent and opt-out belong to the address, by its keyed hash: they hold for every user with that address, and outlive
the users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, select, update

from catchup_jobs.adapters.database.schema import addresses, consents, deliveries
from catchup_jobs.domain.digest.channels import CHANNELS, Channel, Destination

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.encryption import Encryption
    from catchup_jobs.domain.digest.addresses import GivenAddress
    from catchup_jobs.domain.stored_enums import ChannelMode

_ADDRESSES: Final = (
    select(addresses).where(addresses.c.user_id == bindparam("user")).order_by(addresses.c.channel.desc())
)
_CONSENTS: Final = select(consents.c.consented_at, consents.c.opted_out_at).where(
    consents.c.channel == bindparam("of"), consents.c.lookup.in_(bindparam("lookups", expanding=True))
)


@dataclass(frozen=True, slots=True)
class AddressOverview:
    """A channel of a user as `catchup-jobs user show` prints it."""

    channel: Channel
    address: str = field(repr=False)
    mode: ChannelMode
    consented_at: datetime | None
    opted_out_at: datetime | None


class DatabaseAddresses:
    """Addresses and consents in the database; methods raise `JobError`."""

    def __init__(self, database: Database, encryption: Callable[[], Encryption]) -> None:
        """Take the database and what loads the keys, which are needed only for a user with an address."""
        self._database = database
        self._make_encryption = encryption

    @cached_property
    def _encryption(self) -> Encryption:
        return self._make_encryption()

    @property
    def key_id(self) -> str:
        """The id of the newest key."""
        return self._encryption.key_id

    def import_into(
        self, connection: Connection, user_id: str, given: Sequence[GivenAddress], *, now: datetime
    ) -> None:
        """Replace the user's addresses. Consents are added, and withdrawn only where the file says so."""
        named = {entry.channel.name for entry in given}
        # Channels that only newer code knows stay.
        dropped = [channel for channel in CHANNELS.values() if channel.name not in named]
        connection.execute(delete(addresses).where(addresses.c.user_id == user_id, addresses.c.channel.in_(dropped)))
        for entry in given:
            lookups = self._lookups(entry.channel, entry.address)
            sealed = self._encryption.seal(user_id, entry.address.encode())
            values = {
                "mode": entry.mode,
                "key_id": sealed.key_id,
                "ciphertext": sealed.ciphertext,
                "lookup": lookups[0],
                "updated_at": now,
            }
            connection.execute(
                self._database.insert(addresses)
                .values(user_id=user_id, channel=entry.channel, **values)
                .on_conflict_do_update(index_elements=["user_id", "channel"], set_=values)
            )
            self._record_consent(connection, entry, lookups, now)

    def destinations(self, user_id: str) -> Mapping[Channel, Destination]:
        """Return a user's destination for every channel, as stored.

        Raises:
            MisconfiguredError: an address was sealed with a key that is not configured.
        """
        with self._database.read() as connection:
            overviews = {overview.channel: overview for overview in self._overviews(connection, user_id)}
        return {
            channel: self._destination(overviews[channel]) if channel in overviews else Destination()
            for channel in CHANNELS.values()
        }

    def overviews(self, user_id: str) -> list[AddressOverview]:
        """Return a user's channels."""
        with self._database.read() as connection:
            return self._overviews(connection, user_id)

    def opt_out_of_digest(self, digest_id: int, channel: Channel, *, now: datetime) -> bool:
        """Record that the owner of the address that a digest was sent to wants no more messages.

        Whatever address the user has now. Returns whether the digest was sent by this channel.
        """
        used = select(deliveries.c.address_lookup).where(
            deliveries.c.digest_id == digest_id, deliveries.c.channel == channel
        )
        with self._database.write() as connection:
            lookup = connection.execute(used).scalar_one_or_none()
            if lookup is None:
                return False
            record_opt_out(self._database, connection, channel, lookup, now=now)
        return True

    def _overviews(self, connection: Connection, user_id: str) -> list[AddressOverview]:
        rows = connection.execute(_ADDRESSES, {"user": user_id}).all()
        return [self._overview(connection, user_id, row) for row in rows if isinstance(row.channel, Channel)]

    def _overview(self, connection: Connection, user_id: str, row: Any) -> AddressOverview:
        address = self._encryption.open(user_id, row.ciphertext).decode()
        times = _consent_times(connection, row.channel, {row.lookup, *self._lookups(row.channel, address)})
        return AddressOverview(row.channel, address, row.mode, *times)

    def _destination(self, overview: AddressOverview) -> Destination:
        return Destination(
            address=overview.address,
            key=self._lookups(overview.channel, overview.address)[0],
            mode=overview.mode,
            consented=overview.consented_at is not None,
            opted_out=overview.opted_out_at is not None,
        )

    def _lookups(self, channel: Channel, address: str) -> list[str]:
        return self._encryption.lookups(channel.name, channel.consent_form(address))

    def _record_consent(
        self, connection: Connection, entry: GivenAddress, lookups: Sequence[str], now: datetime
    ) -> None:
        consented_at, opted_out_at = _consent_times(connection, entry.channel, lookups)
        if entry.consented:
            if opted_out_at is not None and entry.consented_at is not None and entry.consented_at > opted_out_at:
                opted_out_at = None
            # A consent without a date may be from an old file: it ends no opt-out and does not replace an earlier date.
            consented_at = entry.consented_at or consented_at or now
        elif entry.consented is False:
            consented_at = None
        self._keep_consent(connection, entry.channel, lookups, (consented_at, opted_out_at), now=now)

    def seal_anew(self, connection: Connection, row: Any, *, now: datetime) -> int:
        """Encrypt a stored address, and hash its consent, with the newest key; return 0 if the row has changed since.

        Args:
            row: of the table `addresses`.
        """
        address = self._encryption.open(row.user_id, row.ciphertext).decode()
        lookups = self._lookups(row.channel, address)
        sealed = self._encryption.seal(row.user_id, address.encode())
        written = connection.execute(
            update(addresses)
            .where(
                addresses.c.user_id == row.user_id,
                addresses.c.channel == row.channel,
                addresses.c.ciphertext == row.ciphertext,
            )
            .values(key_id=sealed.key_id, ciphertext=sealed.ciphertext, lookup=lookups[0], updated_at=now)
        ).rowcount
        self._keep_consent(connection, row.channel, lookups, _consent_times(connection, row.channel, lookups), now=now)
        # What was sent to the address stays known by it, for the links that unsubscribe.
        connection.execute(
            update(deliveries)
            .where(deliveries.c.channel == row.channel, deliveries.c.address_lookup.in_(lookups[1:]))
            .values(address_lookup=lookups[0])
        )
        return written

    def _keep_consent(
        self,
        connection: Connection,
        channel: Channel,
        lookups: Sequence[str],
        times: tuple[datetime | None, datetime | None],
        *,
        now: datetime,
    ) -> None:
        consented_at, opted_out_at = times
        values = {"consented_at": consented_at, "opted_out_at": opted_out_at, "updated_at": now}
        # One row under the newest key, so that older keys can be retired without losing an opt-out. No row without a
        # consent or an opt-out: a hash of an address is personal data, too.
        outdated = lookups[1:] if any(times) else lookups
        connection.execute(delete(consents).where(consents.c.channel == channel, consents.c.lookup.in_(outdated)))
        if not any(times):
            return
        connection.execute(
            self._database.insert(consents)
            .values(channel=channel, lookup=lookups[0], **values)
            .on_conflict_do_update(index_elements=["channel", "lookup"], set_=values)
        )


def record_opt_out(database: Database, connection: Connection, channel: Channel, lookup: str, *, now: datetime) -> None:
    """Record that the owner of an address, by its keyed hash, wants no more messages."""
    values = {"opted_out_at": now, "updated_at": now}
    connection.execute(
        database.insert(consents)
        .values(channel=channel, lookup=lookup, **values)
        .on_conflict_do_update(
            index_elements=["channel", "lookup"], set_=values, where=consents.c.opted_out_at.is_(None)
        )
    )


def _consent_times(
    connection: Connection, channel: Channel, lookups: Iterable[str]
) -> tuple[datetime | None, datetime | None]:
    """Return when the owner of an address consented and opted out, under whichever key that was recorded."""
    rows = connection.execute(_CONSENTS, {"of": channel, "lookups": sorted(lookups)}).all()
    consented = [row.consented_at for row in rows if row.consented_at is not None]
    opted_out = [row.opted_out_at for row in rows if row.opted_out_at is not None]
    return max(consented, default=None), max(opted_out, default=None)
