"""Digests and their deliveries. A delivery is claimed before the provider is asked, and settled afterwards.

Everything that changes suggestions locks the user's row first, so that nothing changes them during a claim. From the
claim on they are marked as delivered and do not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, func, or_, select, true, update

from catchup_contract.digest_rule import DigestTime, Occurrence
from catchup_jobs.adapters.database.digests.items import has_pending, mark, must_reconnect, selection
from catchup_jobs.adapters.database.digests.rows import (
    delivery_of,
    ensure_delivery,
    ensure_digest,
    skip_delivery,
    skip_digest,
)
from catchup_jobs.adapters.database.digests.settlement import mark_unknown, settle
from catchup_jobs.adapters.database.people.hours import require_zone
from catchup_jobs.adapters.database.people.planning_version import bump_planning_version
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import deliveries, digests, users
from catchup_jobs.adapters.database.types import UtcDateTime
from catchup_jobs.domain.digest.channels import Channel, Destination, may_send
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.ports import Claim, Delivery, Recipient, StoredDigest
from catchup_jobs.jobs.digest.provider_answers import Answer

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
    from catchup_jobs.domain.digest.selection import Selection
    from catchup_jobs.jobs.run.ports import Fence


# The error code of a delivery that was given up without an answer of its provider.
_UNAVAILABLE: Final = "unavailable"

_lately: Final = deliveries.c.attempted_at >= bindparam("since")
_not_final: Final = and_(
    _lately,
    deliveries.c.status == DeliveryStatus.SENT,
    deliveries.c.provider_final.is_(False),
    deliveries.c.provider_id.is_not(None),
)
_expired: Final = and_(
    _lately, deliveries.c.status == DeliveryStatus.SENDING, deliveries.c.lease_until < bindparam("now")
)
_STORED: Final = (
    select(
        digests.c.due_date,
        digests.c.skip_reason.label("digest_skip_reason"),
        deliveries,
        _not_final.label("is_not_final"),
        _expired.label("is_expired"),
    )
    .outerjoin_from(digests, deliveries)
    .where(digests.c.user_id == bindparam("user"), or_(digests.c.due_date == bindparam("due"), _not_final, _expired))
    .subquery()
)
# A row for each delivery that is found, or one without.
_FOUND: Final = (
    select(
        users.c.name,
        users.c.time_zone,
        users.c.digest_day,
        users.c.digest_time,
        users.c.paused,
        has_pending(users.c.id, bindparam("now", type_=UtcDateTime())).label("has_pending"),
        must_reconnect(users.c.id).label("must_reconnect"),
        _STORED,
    )
    .outerjoin_from(users, _STORED, true())
    .where(users.c.id == bindparam("user"))
)
_DELIVERIES: Final = (
    select(deliveries)
    .join(digests)
    .where(digests.c.user_id == bindparam("user"), digests.c.due_date == bindparam("due"))
)
_CLAIMED: Final = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("delivery"))
    .values(
        status=DeliveryStatus.SENDING,
        skip_reason=None,
        attempt_id=bindparam("attempt"),
        attempts=deliveries.c.attempts + 1,
        lease_until=bindparam("until"),
        attempted_at=bindparam("at"),
        address_lookup=bindparam("address"),
        signed_by=bindparam("signer"),
        error_code=None,
        updated_at=bindparam("at"),
    )
)
_HELD: Final = (
    update(digests)
    .where(digests.c.id == bindparam("digest"))
    .values(
        content=bindparam("items"),
        reconnect=bindparam("asks"),
        skip_reason=None,
        delivered_mark=func.coalesce(bindparam("mark", type_=UtcDateTime()), digests.c.delivered_mark),
        updated_at=bindparam("at"),
    )
)


class DatabaseDigests:
    """`jobs.digest.ports.DigestStore` in the database."""

    def __init__(self, database: Database, addresses: DatabaseAddresses, *, has_links: bool = False) -> None:
        """Take the database, and whether messages carry signed links."""
        self._database = database
        self._has_links = has_links
        self._addresses = addresses

    def recipient(self, user_id: str, *, now: datetime) -> Recipient | None:
        """Return a user, None for an unknown one.

        Raises:
            PermanentError: the user's time zone is not a known IANA zone.
        """
        found = self.find(user_id, None, since=now, now=now)
        return None if found is None else found[0]

    def find(
        self, user_id: str, due_date: date | None, *, since: datetime, now: datetime
    ) -> tuple[Recipient, StoredDigest] | None:
        """Return a user and what a due date's run finds, None for an unknown user.

        Raises:
            PermanentError: the user's time zone is not a known IANA zone.
        """
        values = {"user": user_id, "due": due_date, "since": since, "now": now}
        with self._database.read() as connection:
            rows = connection.execute(_FOUND, values).all()
        if not rows:
            return None
        user = rows[0]
        when = DigestTime(require_zone(user.time_zone), user.digest_day, user.digest_time)
        recipient = Recipient(user.name, when, user.paused, user.has_pending, user.must_reconnect)
        known = [row for row in rows if isinstance(row.channel, Channel)]
        stored = StoredDigest(
            deliveries={row.channel: delivery_of(row) for row in known if row.due_date == due_date},
            skip_reason=next((row.digest_skip_reason for row in rows if row.due_date == due_date), None),
            unsettled=[
                delivery_of(row)
                for row in known
                if (row.is_expired and row.due_date != due_date) or (row.is_not_final and row.channel.can_look_up)
            ],
        )
        return recipient, stored

    def destinations(self, user_id: str) -> Mapping[Channel, Destination]:
        """Return a user's destination for every channel."""
        return self._addresses.destinations(user_id)

    def deliveries(self, user_id: str, due_date: date) -> dict[Channel, Delivery]:
        """Return the deliveries of a due date's digest, by the channels that this code knows."""
        with self._database.read() as connection:
            rows = connection.execute(_DELIVERIES, {"user": user_id, "due": due_date}).all()
        return {row.channel: delivery_of(row) for row in rows if isinstance(row.channel, Channel)}

    def selection(self, user_id: str, due_date: date, *, now: datetime) -> Selection:
        """Return what a claim would send now."""
        with self._database.read() as connection:
            return selection(connection, user_id, due_date, now)

    def skip(self, user_id: str, occurrence: Occurrence, reason: SkipReason, *, now: datetime, fence: Fence) -> None:
        """Record that a due date's digest is skipped. A later claim overrides this."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            skip_digest(self._database, connection, user_id, occurrence, reason=reason, now=now)

    def skip_channel(
        self,
        user_id: str,
        occurrence: Occurrence,
        channel: Channel,
        reason: SkipReason,
        *,
        now: datetime,
        fence: Fence,
    ) -> None:
        """Record that a channel is skipped, unless a message was attempted by it."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            digest_id = ensure_digest(self._database, connection, user_id, occurrence, now)
            skip_delivery(self._database, connection, digest_id, channel, reason=reason, now=now)

    def give_up(self, user_id: str, occurrence: Occurrence, channel: Channel, *, now: datetime, fence: Fence) -> None:
        """Mark a channel's pending delivery as failed."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            digest_id = ensure_digest(self._database, connection, user_id, occurrence, now)
            delivery = ensure_delivery(self._database, connection, digest_id, channel, now)
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.id, deliveries.c.status == DeliveryStatus.PENDING)
                .values(
                    status=DeliveryStatus.FAILED,
                    error_code=func.coalesce(deliveries.c.error_code, _UNAVAILABLE),
                    updated_at=now,
                )
            )

    def claim(
        self,
        user_id: str,
        occurrence: Occurrence,
        channel: Channel,
        *,
        attempt_id: str,
        address_key: str | None,
        now: datetime,
        lease_until: datetime,
        fence: Fence,
    ) -> Claim | None:
        """Mark a delivery as `sending` and its suggestions as delivered, see `DigestStore.claim`."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            # The user's row is locked first, as by everything that changes suggestions.
            bump_planning_version(connection, [user_id])
            digest_id = ensure_digest(self._database, connection, user_id, occurrence, now)
            delivery = ensure_delivery(self._database, connection, digest_id, channel, now)
            if not may_send(channel, delivery.status, attempts=delivery.attempts):
                return None
            selected = selection(connection, user_id, occurrence.due_date, now)
            if not selected:
                return None
            items = selected.items
            claim = Claim(user_id, digest_id, delivery.id, attempt_id, delivery.code, items, selected.reconnect)
            claimed = {
                "delivery": delivery.id,
                "attempt": attempt_id,
                "until": lease_until,
                "address": address_key,
                "signer": self._addresses.key_id if self._has_links else None,
                "at": now,
            }
            connection.execute(_CLAIMED, claimed)
            held = {
                "digest": digest_id,
                "items": [item.to_json() for item in items],
                "asks": selected.reconnect,
                "mark": now if mark(connection, items, now=now) else None,
                "at": now,
            }
            connection.execute(_HELD, held)
        return claim

    def settle(self, delivery_id: int, attempt_id: str, answer: Answer, *, now: datetime) -> None:
        """Record the provider's answer to a claim or a look-up. It takes no fence, since the answer is a fact."""
        with self._database.write() as connection:
            settle(self._database, connection, delivery_id, attempt_id, answer, now=now)

    def mark_unknown(self, delivery_id: int, attempt_id: str, *, now: datetime) -> None:
        """Mark a delivery in status `sending` as `unknown` once its lease has expired."""
        with self._database.write() as connection:
            mark_unknown(connection, delivery_id, attempt_id, now=now)
