"""What a digest holds, and the mark of its suggestions as delivered, which a claim sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, func, or_, select, update

from catchup_jobs.adapters.database.schema import contacts, deliveries, digests, oauth_tokens, suggestions
from catchup_jobs.domain.digest.channels import ATTEMPTED, MAYBE_SENT
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.selection import Selection, choose
from catchup_jobs.domain.stored_enums import SuggestionStatus, TokenState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection


_IS_PENDING: Final = (
    suggestions.c.status == SuggestionStatus.PENDING,
    suggestions.c.booked_event_id.is_(None),
    contacts.c.excluded.is_(False),
    contacts.c.archived.is_(False),
)


def has_news(of_user: ColumnElement[str], now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return whether a user has pending suggestions, or must connect the calendar again."""
    pending = exists().where(
        suggestions.c.user_id == of_user,
        suggestions.c.start_at > now,
        contacts.c.id == suggestions.c.contact_id,
        *_IS_PENDING,
    )
    must_reconnect = exists().where(oauth_tokens.c.user_id == of_user, oauth_tokens.c.state == TokenState.RECONNECT)
    return or_(pending, must_reconnect)


def selection(connection: Connection, user_id: str, due_date: date, now: datetime) -> Selection:
    """Return what a message for a due date would hold now, see `domain.digest.selection`."""
    must_reconnect = _must_reconnect(connection, user_id)
    return choose(
        _pending(connection, user_id, now),
        due_date,
        must_reconnect=must_reconnect,
        last_asked=_last_asked(connection, user_id, due_date) if must_reconnect else None,
        attempted=_attempted(connection, user_id, due_date),
    )


def _pending(connection: Connection, user_id: str, now: datetime) -> dict[int, DigestItem]:
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
        .where(suggestions.c.user_id == user_id, suggestions.c.start_at > now, *_IS_PENDING)
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


def _attempted(connection: Connection, user_id: str, due_date: date) -> Selection | None:
    attempted = connection.execute(
        select(digests.c.content, digests.c.reconnect).where(
            digests.c.user_id == user_id,
            digests.c.due_date == due_date,
            exists().where(deliveries.c.digest_id == digests.c.id, deliveries.c.status.in_(ATTEMPTED)),
        )
    ).one_or_none()
    if attempted is None:
        return None
    return Selection(tuple(map(DigestItem.from_json, attempted.content or ())), attempted.reconnect)


def _must_reconnect(connection: Connection, user_id: str) -> bool:
    # Only the provider's word about this user makes a token's state `reconnect`, see `ReconnectNeededError`.
    state = select(oauth_tokens.c.state).where(oauth_tokens.c.user_id == user_id)
    return connection.execute(state).scalar_one_or_none() is TokenState.RECONNECT


def _last_asked(connection: Connection, user_id: str, due_date: date) -> date | None:
    asked: date | None = connection.execute(
        select(func.max(digests.c.due_date)).where(
            digests.c.user_id == user_id,
            digests.c.due_date != due_date,
            digests.c.reconnect,
            exists().where(deliveries.c.digest_id == digests.c.id, deliveries.c.status.in_(MAYBE_SENT)),
        )
    ).scalar()
    return asked


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
