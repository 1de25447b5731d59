"""The rows of digests and deliveries: created once per due date and channel, and read."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, literal, select

from catchup_jobs.adapters.database.comparisons import is_one_of
from catchup_jobs.adapters.database.engine import insert_into
from catchup_jobs.adapters.database.schema import deliveries, digests
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.ports import Delivery

if TYPE_CHECKING:
    from catchup_contract.digest_rule import Occurrence
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.digest.channels import Channel

DIGESTS_KEPT: Final = timedelta(days=90)
"""How long digests and their deliveries are kept."""
# Without characters that look alike. Six of them distinguish a user's messages of one day.
_CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH: Final = 6


def ensure_digest(
    database: Database, connection: Connection, user_id: str, occurrence: Occurrence, now: datetime
) -> int:
    """Return the id of a due date's digest, which is created if it is missing, and lock its row."""
    values = _values_of(user_id, occurrence, now)
    row = connection.execute(_ensured(database.backend), values).one()
    if row.has_old:
        connection.execute(_OLD, values)
    digest_id: int = row.id
    return digest_id


def skip_digest(
    database: Database,
    connection: Connection,
    user_id: str,
    occurrence: Occurrence,
    *,
    reason: SkipReason,
    now: datetime,
) -> None:
    """Record that a due date's digest is skipped; the digest is created if it is missing."""
    values = _values_of(user_id, occurrence, now)
    if connection.execute(_skipped(database.backend), values | {"skip_reason": reason}).scalar_one():
        connection.execute(_OLD, values)


def _values_of(user_id: str, occurrence: Occurrence, now: datetime) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "due_date": occurrence.due_date,
        "due_at": occurrence.due_at,
        "created_at": now,
        "updated_at": now,
        "of_user": user_id,
        "before": now - DIGESTS_KEPT,
    }


_is_old: Final = and_(digests.c.user_id == bindparam("of_user"), digests.c.created_at < bindparam("before"))
_OLD: Final = delete(digests).where(_is_old)
# Whether the user has digests that are no longer kept.
_HAS_OLD: Final = select(literal(value=True)).where(_is_old).exists().correlate(None).label("has_old")


@cache
def _ensured(backend: str) -> Any:
    # An update that changes nothing locks the row, so that the claims of a date's channels take turns.
    created = insert_into(backend, digests)
    return created.on_conflict_do_update(
        index_elements=["user_id", "due_date"], set_={"updated_at": digests.c.updated_at}
    ).returning(digests.c.id, _HAS_OLD)


@cache
def _skipped(backend: str) -> Any:
    skipped = insert_into(backend, digests)
    return skipped.on_conflict_do_update(
        index_elements=["user_id", "due_date"],
        set_={"skip_reason": skipped.excluded.skip_reason, "updated_at": skipped.excluded.updated_at},
    ).returning(_HAS_OLD)


def ensure_delivery(
    database: Database, connection: Connection, digest_id: int, channel: Channel, now: datetime
) -> Delivery:
    """Return a channel's delivery of a digest, which is created if it is missing."""
    created = _new_delivery(digest_id, channel, now) | {"status": DeliveryStatus.PENDING}
    return delivery_of(connection.execute(_ensured_delivery(database.backend), created).one())


def skip_delivery(
    database: Database, connection: Connection, digest_id: int, channel: Channel, *, reason: SkipReason, now: datetime
) -> None:
    """Record that a channel's delivery of a digest is skipped, unless a message was attempted by it."""
    skipped = {"status": DeliveryStatus.SKIPPED, "skip_reason": reason}
    connection.execute(_skipped_delivery(database.backend), _new_delivery(digest_id, channel, now) | skipped)


def _new_delivery(digest_id: int, channel: Channel, now: datetime) -> dict[str, Any]:
    return {
        "digest_id": digest_id,
        "channel": channel,
        "short_code": "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)),
        "created_at": now,
        "updated_at": now,
    }


@cache
def _ensured_delivery(backend: str) -> Any:
    created = insert_into(backend, deliveries)
    # The update changes nothing: without one, nothing would be returned.
    return created.on_conflict_do_update(
        index_elements=["digest_id", "channel"], set_={"updated_at": deliveries.c.updated_at}
    ).returning(*deliveries.c)


@cache
def _skipped_delivery(backend: str) -> Any:
    skipped = insert_into(backend, deliveries)
    return skipped.on_conflict_do_update(
        index_elements=["digest_id", "channel"],
        set_={name: skipped.excluded[name] for name in ("status", "skip_reason", "updated_at")},
        where=is_one_of(deliveries.c.status, (DeliveryStatus.PENDING, DeliveryStatus.SKIPPED)),
    )


def delivery_of(row: Any) -> Delivery:
    """Return a row of `deliveries`."""
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
