"""Digests and deliveries as the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from catchup_jobs.adapters.database.schema import deliveries, digests

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason


@dataclass(frozen=True, slots=True)
class DeliveryOverview:
    """One channel's part of a digest; the provider's status and error code are for people."""

    channel: Channel
    status: DeliveryStatus
    skip_reason: SkipReason | None
    provider_status: str | None
    error_code: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class DigestOverview:
    """A due date and its deliveries."""

    due_date: date
    skip_reason: SkipReason | None
    deliveries: tuple[DeliveryOverview, ...]


def latest_digest(database: Database, user_id: str) -> DigestOverview | None:
    """Return a user's latest digest, None if there was none."""
    with database.read() as connection:
        digest = connection.execute(
            select(digests).where(digests.c.user_id == user_id).order_by(digests.c.due_date.desc()).limit(1)
        ).one_or_none()
        if digest is None:
            return None
        rows = connection.execute(
            select(deliveries).where(deliveries.c.digest_id == digest.id).order_by(deliveries.c.channel.desc())
        ).all()
    return DigestOverview(digest.due_date, digest.skip_reason, tuple(map(_overview, rows)))


@dataclass(frozen=True, slots=True)
class PastDelivery:
    """One message, or why it was skipped; `updated_at` is when its status last changed (UTC)."""

    user_id: str
    due_date: date
    overview: DeliveryOverview
    updated_at: datetime


def past_deliveries(
    database: Database,
    *,
    limit: int,
    user_id: str | None = None,
    channel: Channel | None = None,
    status: DeliveryStatus | None = None,
    since: datetime | None = None,
) -> list[PastDelivery]:
    """Return deliveries, the last changed first.

    Args:
        since: only deliveries that changed at or after this time (aware).
    """
    statement: Select[Any] = (
        select(deliveries, digests.c.user_id, digests.c.due_date)
        .join(digests)
        .order_by(deliveries.c.updated_at.desc(), deliveries.c.id.desc())
        .limit(limit)
    )
    wanted = ((digests.c.user_id, user_id), (deliveries.c.channel, channel), (deliveries.c.status, status))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if since is not None:
        statement = statement.where(deliveries.c.updated_at >= since)
    with database.read() as connection:
        return [
            PastDelivery(row.user_id, row.due_date, _overview(row), row.updated_at)
            for row in connection.execute(statement)
        ]


def _overview(row: Any) -> DeliveryOverview:
    return DeliveryOverview(row.channel, row.status, row.skip_reason, row.provider_status, row.error_code, row.attempts)
