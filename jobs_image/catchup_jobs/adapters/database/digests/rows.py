"""The rows of digests and deliveries: created once per due date and channel, and read."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, literal, select

from catchup_jobs.adapters.database.engine import insert_into
from catchup_jobs.adapters.database.schema import deliveries, digests
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.ports import Delivery

if TYPE_CHECKING:
    from catchup_contract.digest_rule import Occurrence
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.digest.channels import Channel

KEEP: Final = timedelta(days=90)
"""How long digests and their deliveries are kept."""
# Without characters that look alike. Six of them distinguish a user's messages of one day.
_CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH: Final = 6


def ensure_digest(
    database: Database, connection: Connection, user_id: str, occurrence: Occurrence, now: datetime
) -> int:
    """Return the id of a due date's digest, which is created if it is missing, and lock its row."""
    created = database.insert(digests).values(
        user_id=user_id,
        due_date=occurrence.due_date,
        due_at=occurrence.due_at,
        created_at=now,
        updated_at=now,
    )
    if connection.execute(created.on_conflict_do_nothing(index_elements=["user_id", "due_date"])).rowcount:
        # Old digests are deleted when a new one is created.
        connection.execute(_OLD, {"of_user": user_id, "before": now - KEEP})
    # Locked, so that the claims of a date's channels take turns.
    statement = select(digests.c.id).where(digests.c.user_id == user_id, digests.c.due_date == occurrence.due_date)
    digest_id: int = connection.execute(statement.with_for_update()).scalar_one()
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
    values = {
        "user_id": user_id,
        "due_date": occurrence.due_date,
        "due_at": occurrence.due_at,
        "skip_reason": reason,
        "created_at": now,
        "updated_at": now,
        "of_user": user_id,
        "before": now - KEEP,
    }
    if connection.execute(_skipped(database.backend), values).scalar_one():
        connection.execute(_OLD, values)


_is_old: Final = and_(digests.c.user_id == bindparam("of_user"), digests.c.created_at < bindparam("before"))
_OLD: Final = delete(digests).where(_is_old)


@cache
def _skipped(backend: str) -> Any:
    """Return a statement that returns whether the user has digests that are no longer kept."""
    skipped = insert_into(backend, digests)
    has_old = select(literal(value=True)).where(_is_old).exists().correlate(None)
    return skipped.on_conflict_do_update(
        index_elements=["user_id", "due_date"],
        set_={"skip_reason": skipped.excluded.skip_reason, "updated_at": skipped.excluded.updated_at},
    ).returning(has_old)


def ensure_delivery(
    database: Database, connection: Connection, digest_id: int, channel: Channel, now: datetime
) -> Delivery:
    """Return a channel's delivery of a digest, which is created if it is missing."""
    created = database.insert(deliveries).values(
        digest_id=digest_id,
        channel=channel,
        status=DeliveryStatus.PENDING,
        short_code="".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH)),
        created_at=now,
        updated_at=now,
    )
    connection.execute(created.on_conflict_do_nothing(index_elements=["digest_id", "channel"]))
    return delivery_of(
        connection.execute(
            select(deliveries).where(deliveries.c.digest_id == digest_id, deliveries.c.channel == channel)
        ).one()
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
