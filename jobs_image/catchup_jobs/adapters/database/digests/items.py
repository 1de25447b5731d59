"""The suggestions of a digest: which are sent, and their mark as delivered, which a claim sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, select, update

from catchup_jobs.adapters.database.schema import contacts, deliveries, digests, suggestions
from catchup_jobs.domain.digest.channels import ATTEMPTED, MAYBE_SENT
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.stored_enums import SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def is_pending(user_id: str, now: datetime) -> tuple[Any, ...]:
    """Return the conditions for a suggestion, joined to its contact, to be in a digest."""
    return (
        suggestions.c.user_id == user_id,
        suggestions.c.status == SuggestionStatus.PENDING,
        suggestions.c.booked_event_id.is_(None),
        suggestions.c.start_at > now,
        contacts.c.excluded.is_(False),
        contacts.c.archived.is_(False),
    )


def mark(connection: Connection, items: Sequence[DigestItem], *, now: datetime) -> bool:
    """Mark suggestions as delivered; return whether any was not marked yet."""
    marked = connection.execute(
        update(suggestions)
        .where(_among(items), suggestions.c.delivered_at.is_(None))
        .values(delivered_at=now, version=suggestions.c.version + 1, updated_at=now)
    )
    return marked.rowcount > 0


def _among(items: Sequence[DigestItem]) -> Any:
    return suggestions.c.id.in_([item.suggestion_id for item in items])


def pending_items(connection: Connection, user_id: str, now: datetime) -> dict[int, DigestItem]:
    """Return the suggestions that a digest can contain now, by id, in the order of their start."""
    rows = connection.execute(
        select(
            suggestions.c.id,
            contacts.c.name,
            suggestions.c.start_at,
            suggestions.c.end_at,
            suggestions.c.mode,
            suggestions.c.reasoning,
            contacts.c.time_zone,
            suggestions.c.contact_id,
        )
        .join(contacts, contacts.c.id == suggestions.c.contact_id)
        .where(*is_pending(user_id, now))
        .order_by(suggestions.c.start_at, suggestions.c.id)
    )
    return {
        row.id: DigestItem(
            row.id,
            row.name,
            row.start_at,
            row.end_at,
            row.mode.value,
            row.reasoning,
            row.time_zone,
            row.contact_id,
        )
        for row in rows
    }


def proposals(connection: Connection, user_id: str, digest_id: int, now: datetime) -> tuple[DigestItem, ...]:
    """Return the suggestions that a claim sends.

    These are the pending ones. After the first attempt, somebody may have read the message: then they are those of the
    first attempt that are still pending at the same time.
    """
    pending_now = pending_items(connection, user_id, now)
    frozen = connection.execute(
        select(digests.c.content).where(
            digests.c.id == digest_id,
            exists().where(deliveries.c.digest_id == digest_id, deliveries.c.status.in_(ATTEMPTED)),
        )
    ).scalar_one_or_none()
    if frozen is None:
        return tuple(pending_now.values())
    sent = [DigestItem.from_json(document) for document in frozen]
    return tuple(
        item
        for item in sent
        if item.suggestion_id in pending_now and pending_now[item.suggestion_id].start_at == item.start_at
    )


def remove_mark(connection: Connection, delivery_id: int, now: datetime) -> None:
    """Remove the mark as delivered from the suggestions of a message that was not sent, so that they can move again."""
    digest = connection.execute(
        select(digests.c.id, digests.c.content, digests.c.delivered_mark)
        .join(deliveries)
        .where(deliveries.c.id == delivery_id)
    ).one()
    maybe_sent = exists().where(deliveries.c.digest_id == digest.id, deliveries.c.status.in_(MAYBE_SENT))
    if digest.delivered_mark is None or connection.execute(select(maybe_sent)).scalar():
        return
    items = [DigestItem.from_json(document) for document in digest.content or ()]
    connection.execute(
        update(suggestions)
        .where(_among(items), suggestions.c.delivered_at == digest.delivered_mark)
        .values(delivered_at=None, version=suggestions.c.version + 1, updated_at=now)
    )
