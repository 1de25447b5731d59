"""A user's latest digest as `catchup-jobs user show` tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import select

from catchup_jobs.adapters.database.schema import deliveries, digests
from catchup_jobs.domain.vocabulary import Channel, DeliveryStatus, SkipReason

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database


@dataclass(frozen=True, slots=True)
class DeliveryOverview:
    """How one channel fared; the provider's words and codes are for people."""

    channel: Channel
    status: DeliveryStatus
    skip_reason: SkipReason | None
    provider_status: str | None
    error_code: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class DigestOverview:
    """A due date and what became of it."""

    due_date: date
    skip_reason: SkipReason | None
    deliveries: tuple[DeliveryOverview, ...]


def latest_digest(database: Database, user_id: str) -> DigestOverview | None:
    """Return a user's latest digest, None where there was none."""
    with database.read() as connection:
        digest = connection.execute(
            select(digests).where(digests.c.user_id == user_id).order_by(digests.c.due_date.desc()).limit(1)
        ).one_or_none()
        if digest is None:
            return None
        rows = connection.execute(
            select(deliveries).where(deliveries.c.digest_id == digest.id).order_by(deliveries.c.channel.desc())
        ).all()
    found = (
        DeliveryOverview(row.channel, row.status, row.skip_reason, row.provider_status, row.error_code, row.attempts)
        for row in rows
    )
    return DigestOverview(digest.due_date, digest.skip_reason, tuple(found))
