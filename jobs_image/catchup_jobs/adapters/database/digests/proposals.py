"""What a digest proposes, and what that does to its suggestions: from a claim on they count as delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, select, update

from catchup_jobs.adapters.database.schema import contacts, deliveries, digests, suggestions
from catchup_jobs.domain.digest.channels import TAKEN
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.vocabulary import DeliveryStatus, SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

# From here on what was proposed is frozen: somebody may have read it.
SAID: Final = TAKEN | {DeliveryStatus.FAILED}


def pending(user_id: str, now: datetime) -> tuple[Any, ...]:
    """Return the conditions under which a suggestion, joined to its contact, is proposed."""
    return (
        suggestions.c.user_id == user_id,
        suggestions.c.status == SuggestionStatus.PENDING,
        suggestions.c.booked_event_id.is_(None),
        suggestions.c.start_at > now,
        contacts.c.excluded.is_(False),
        contacts.c.archived.is_(False),
    )


def mark(connection: Connection, items: Sequence[DigestItem], *, now: datetime) -> bool:
    """Let suggestions count as delivered from now on; return whether any did not yet."""
    marked = connection.execute(
        update(suggestions)
        .where(_among(items), suggestions.c.delivered_at.is_(None))
        .values(delivered_at=now, version=suggestions.c.version + 1, updated_at=now)
    )
    return marked.rowcount > 0


def _among(items: Sequence[DigestItem]) -> Any:
    return suggestions.c.id.in_([item.suggestion_id for item in items])


def standing(connection: Connection, user_id: str, now: datetime) -> dict[int, DigestItem]:
    """Return what can be proposed to a user now, by the suggestion's id, in order."""
    rows = connection.execute(
        select(
            suggestions.c.id,
            contacts.c.name,
            suggestions.c.start_at,
            suggestions.c.end_at,
            suggestions.c.mode,
            suggestions.c.reasoning,
            contacts.c.time_zone,
        )
        .join(contacts, contacts.c.id == suggestions.c.contact_id)
        .where(*pending(user_id, now))
        .order_by(suggestions.c.start_at, suggestions.c.id)
    )
    return {
        row.id: DigestItem(row.id, row.name, row.start_at, row.end_at, row.mode.value, row.reasoning, row.time_zone)
        for row in rows
    }


def proposals(connection: Connection, user_id: str, digest_id: int, now: datetime) -> tuple[DigestItem, ...]:
    """Return what a claim proposes: what is pending now, or of an earlier message what still stands as it was said."""
    pending_now = standing(connection, user_id, now)
    frozen = connection.execute(
        select(digests.c.content).where(
            digests.c.id == digest_id,
            exists().where(deliveries.c.digest_id == digest_id, deliveries.c.status.in_(SAID)),
        )
    ).scalar_one_or_none()
    if frozen is None:
        return tuple(pending_now.values())
    said = [DigestItem.from_json(document) for document in frozen]
    return tuple(
        item
        for item in said
        if item.suggestion_id in pending_now and pending_now[item.suggestion_id].start_at == item.start_at
    )


def take_back_mark(connection: Connection, delivery_id: int, now: datetime) -> None:
    """Let suggestions move again that were marked delivered for a message that did not go out."""
    digest = connection.execute(
        select(digests.c.id, digests.c.content, digests.c.delivered_mark)
        .join(deliveries)
        .where(deliveries.c.id == delivery_id)
    ).one()
    taken = exists().where(deliveries.c.digest_id == digest.id, deliveries.c.status.in_(tuple(TAKEN)))
    if digest.delivered_mark is None or connection.execute(select(taken)).scalar():
        return
    items = [DigestItem.from_json(document) for document in digest.content or ()]
    connection.execute(
        update(suggestions)
        .where(_among(items), suggestions.c.delivered_at == digest.delivered_mark)
        .values(delivered_at=None, version=suggestions.c.version + 1, updated_at=now)
    )
