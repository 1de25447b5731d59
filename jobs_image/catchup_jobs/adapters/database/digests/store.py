"""Digests and their deliveries: claimed before a provider is asked, settled after.

The user's row is locked first by whatever touches suggestions, so that a claim sees them as they will stay: from the
moment that a message may go out, its suggestions count as delivered and do not move.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, delete, or_, select, update

from catchup_contract.digest_rule import DigestTime, Occurrence
from catchup_contract.local_time import is_time_zone
from catchup_jobs.adapters.database.digests.proposals import mark, pending, proposals, standing, take_back_mark
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses, record_opt_out
from catchup_jobs.adapters.database.runs.store import check_fence
from catchup_jobs.adapters.database.schema import contacts, deliveries, digests, suggestions, users
from catchup_jobs.domain.digest.channels import TAKEN, Reach, may_send
from catchup_jobs.domain.vocabulary import Channel, DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.ports import (
    Accepted,
    Ambiguous,
    Answer,
    Claim,
    Delivery,
    NotSent,
    Recipient,
    Refused,
    Unusable,
)
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.digest.items import DigestItem
    from catchup_jobs.jobs.run.ports import Fence

KEEP: Final = timedelta(days=90)
# Letters and digits that nobody confuses; six of them tell a user's messages of one day apart.
_CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH: Final = 6
# In `provider_status` of a delivery that may have gone out, until the provider accepts one: whatever becomes of later
# attempts, it does not become unsent again.
_UNCONFIRMED: Final = "unconfirmed"
_UNDECIDED: Final = (DeliveryStatus.SENDING, DeliveryStatus.UNKNOWN, DeliveryStatus.SENT)


class DatabaseDigests:
    """`jobs.digest.ports.DigestStore` in the database."""

    def __init__(self, database: Database, addresses: DatabaseAddresses) -> None:
        self._database = database
        self._addresses = addresses

    def recipient(self, user_id: str) -> Recipient | None:
        """Return a user, None for an unknown one.

        Raises:
            PermanentError: the user's time zone is not one that is known.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(users.c.name, users.c.time_zone, users.c.digest_day, users.c.digest_time, users.c.paused).where(
                    users.c.id == user_id
                )
            ).one_or_none()
        if row is None:
            return None
        if not is_time_zone(row.time_zone):
            raise PermanentError(f"the user's time zone {row.time_zone!r} is not a known IANA zone")
        return Recipient(row.name, DigestTime(ZoneInfo(row.time_zone), row.digest_day, row.digest_time), row.paused)

    def reach(self, user_id: str) -> Mapping[Channel, Reach]:
        """Return how each channel reaches the user."""
        return self._addresses.reach(user_id)

    def deliveries(self, user_id: str, due_date: date) -> dict[Channel, Delivery]:
        """Return the deliveries of a due date's digest."""
        statement = select(deliveries).join(digests).where(digests.c.user_id == user_id, digests.c.due_date == due_date)
        with self._database.read() as connection:
            return {row.channel: _delivery(row) for row in connection.execute(statement)}

    def undecided(self, user_id: str, *, since: datetime, now: datetime) -> Sequence[Delivery]:
        """Return what was begun since an instant and is not over: SMS whose end the provider had not told yet, and
        messages of any channel whose process died while the provider was asked.
        """
        told_later = and_(
            deliveries.c.channel == Channel.SMS,
            deliveries.c.status == DeliveryStatus.SENT,
            deliveries.c.provider_final.is_(False),
            deliveries.c.provider_id.is_not(None),
        )
        left = and_(deliveries.c.status == DeliveryStatus.SENDING, deliveries.c.lease_until < now)
        statement = (
            select(deliveries)
            .join(digests)
            .where(
                digests.c.user_id == user_id,
                deliveries.c.attempted_at >= since,
                or_(told_later, left),
            )
        )
        with self._database.read() as connection:
            return [_delivery(row) for row in connection.execute(statement)]

    def has_pending(self, user_id: str, *, now: datetime) -> bool:
        """Return whether a claim would find anything to propose."""
        with self._database.read() as connection:
            there = select(suggestions.c.id).join(contacts).where(*pending(user_id, now)).limit(1)
            return connection.execute(there).first() is not None

    def pending(self, user_id: str, *, now: datetime) -> tuple[DigestItem, ...]:
        """Return what a digest would propose now."""
        with self._database.read() as connection:
            return tuple(standing(connection, user_id, now).values())

    def skip(self, user_id: str, occurrence: Occurrence, reason: SkipReason, *, now: datetime, fence: Fence) -> None:
        """Record that a due date's digest is not sent; nothing is written where that is known already."""
        with self._database.read() as connection:
            known = connection.execute(
                select(digests.c.skip_reason).where(
                    digests.c.user_id == user_id, digests.c.due_date == occurrence.due_date
                )
            ).scalar_one_or_none()
        if known is reason:
            return
        with self._database.write() as connection:
            check_fence(connection, fence)
            digest_id = self._digest_id(connection, user_id, occurrence, now)
            connection.execute(
                update(digests).where(digests.c.id == digest_id).values(skip_reason=reason, updated_at=now)
            )

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
        """Record that one channel does not carry it, unless that channel was used already."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            digest_id = self._digest_id(connection, user_id, occurrence, now)
            row = self._delivery_row(connection, digest_id, channel, now)
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == row.id,
                    deliveries.c.status.in_((DeliveryStatus.PENDING, DeliveryStatus.SKIPPED)),
                )
                .values(status=DeliveryStatus.SKIPPED, skip_reason=reason, updated_at=now)
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
        """Mark a delivery `sending` and its suggestions as delivered; None: nothing to propose, or not ours to send."""
        with self._database.write() as connection:
            check_fence(connection, fence)
            # First of all the user's row, as everything that touches suggestions.
            connection.execute(
                update(users).where(users.c.id == user_id).values(planning_version=users.c.planning_version + 1)
            )
            digest_id = self._digest_id(connection, user_id, occurrence, now)
            row = self._delivery_row(connection, digest_id, channel, now)
            if not may_send(channel, row.status, attempts=row.attempts):
                return None
            items = proposals(connection, user_id, digest_id, now)
            if not items:
                return None
            claim = Claim(digest_id, row.id, attempt_id, row.short_code, items)
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == row.id)
                .values(
                    status=DeliveryStatus.SENDING,
                    skip_reason=None,
                    attempt_id=claim.attempt_id,
                    attempts=deliveries.c.attempts + 1,
                    lease_until=lease_until,
                    attempted_at=now,
                    address_lookup=address_key,
                    error_code=None,
                    updated_at=now,
                )
            )
            connection.execute(
                update(digests)
                .where(digests.c.id == digest_id)
                .values(
                    content=[item.to_json() for item in items],
                    skip_reason=None,
                    updated_at=now,
                    **({"delivered_mark": now} if mark(connection, items, now=now) else {}),
                )
            )
        return claim

    def settle(self, delivery_id: int, attempt_id: str, answer: Answer, *, now: datetime) -> None:
        """Record what the provider said to a claim or a look-up; takes no fence, since it states a fact.

        An attempt that failed after one that may have gone out (an email's) leaves the delivery `unknown`.
        """
        values: dict[str, Any] = {"lease_until": None, "updated_at": now}
        match answer:
            case Accepted(provider_id, status, final):
                values |= {"status": DeliveryStatus.SENT, "provider_id": provider_id, "provider_status": status}
                values |= {"provider_final": final}
            case Refused(code):
                values |= {"status": DeliveryStatus.FAILED, "error_code": code, "provider_final": True}
            case NotSent():
                values |= {"status": DeliveryStatus.PENDING}
            case Unusable(_, code):
                values |= {"status": DeliveryStatus.PENDING, "error_code": code}
            case Ambiguous():
                values |= {"status": DeliveryStatus.UNKNOWN, "provider_status": _UNCONFIRMED}
        with self._database.write() as connection:
            row = connection.execute(
                select(digests.c.user_id, deliveries.c.status, deliveries.c.provider_status)
                .join(deliveries)
                .where(deliveries.c.id == delivery_id)
            ).one_or_none()
            if row is None:
                return
            if (row.status, row.provider_status) == (DeliveryStatus.SENDING, _UNCONFIRMED) and not isinstance(
                answer, Accepted
            ):
                values["status"] = DeliveryStatus.UNKNOWN
            connection.execute(
                update(users).where(users.c.id == row.user_id).values(planning_version=users.c.planning_version + 1)
            )
            settled = connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == delivery_id,
                    deliveries.c.attempt_id == attempt_id,
                    deliveries.c.status.in_(_UNDECIDED),
                )
                .values(**values)
            )
            if settled.rowcount and values["status"] not in TAKEN:
                take_back_mark(connection, delivery_id, now)
            if settled.rowcount and isinstance(answer, Refused) and answer.opted_out:
                self._opt_out(connection, delivery_id, now)

    def give_up(self, delivery_id: int, attempt_id: str, *, now: datetime) -> None:
        """Mark a delivery `unknown` whose process died while the provider was asked."""
        with self._database.write() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == delivery_id,
                    deliveries.c.attempt_id == attempt_id,
                    deliveries.c.status == DeliveryStatus.SENDING,
                    deliveries.c.lease_until < now,
                )
                .values(status=DeliveryStatus.UNKNOWN, provider_status=_UNCONFIRMED, lease_until=None, updated_at=now)
            )

    def _opt_out(self, connection: Connection, delivery_id: int, now: datetime) -> None:
        row = connection.execute(
            select(deliveries.c.channel, deliveries.c.address_lookup).where(deliveries.c.id == delivery_id)
        ).one()
        if row.address_lookup is not None:
            record_opt_out(self._database, connection, row.channel, row.address_lookup, now=now)

    def _digest_id(self, connection: Connection, user_id: str, occurrence: Occurrence, now: datetime) -> int:
        made = self._database.insert(digests).values(
            user_id=user_id,
            due_date=occurrence.due_date,
            due_at=occurrence.due_at,
            created_at=now,
            updated_at=now,
        )
        if connection.execute(made.on_conflict_do_nothing(index_elements=["user_id", "due_date"])).rowcount:
            # A new date, sent or skipped, is when old ones go.
            connection.execute(delete(digests).where(digests.c.user_id == user_id, digests.c.created_at < now - KEEP))
        # Locked: the claims of a date's channels take turns.
        statement = select(digests.c.id).where(digests.c.user_id == user_id, digests.c.due_date == occurrence.due_date)
        digest_id: int = connection.execute(statement.with_for_update()).scalar_one()
        return digest_id

    def _delivery_row(self, connection: Connection, digest_id: int, channel: Channel, now: datetime) -> Any:
        made = self._database.insert(deliveries).values(
            digest_id=digest_id,
            channel=channel,
            status=DeliveryStatus.PENDING,
            short_code="".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)),
            created_at=now,
            updated_at=now,
        )
        connection.execute(made.on_conflict_do_nothing(index_elements=["digest_id", "channel"]))
        return connection.execute(
            select(deliveries).where(deliveries.c.digest_id == digest_id, deliveries.c.channel == channel)
        ).one()


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        channel=row.channel,
        status=row.status,
        reason=row.skip_reason,
        attempt_id=row.attempt_id,
        lease_until=row.lease_until,
        attempted_at=row.attempted_at,
        provider_id=row.provider_id,
        code=row.short_code,
        attempts=row.attempts,
        final=row.provider_final,
    )
