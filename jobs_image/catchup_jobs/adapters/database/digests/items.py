"""What a digest holds, and the mark of its suggestions as delivered, which a claim sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, exists, func, select, update

from catchup_jobs.adapters.database.comparisons import is_one_of
from catchup_jobs.adapters.database.people.contacts import MAY_BE_SUGGESTED
from catchup_jobs.adapters.database.schema import contacts, deliveries, digests, oauth_tokens, suggestions, users
from catchup_jobs.domain.digest.channels import ATTEMPTED, MAYBE_SENT
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.selection import Selection, choose
from catchup_jobs.domain.stored_enums import SuggestionStatus, TokenState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection

    from catchup_jobs.domain.stored_enums import DeliveryStatus

_IS_PENDING: Final = (
    suggestions.c.status == SuggestionStatus.PENDING,
    suggestions.c.booked_event_id.is_(None),
    *MAY_BE_SUGGESTED,
)
# Only the provider's word about this user makes a token's state `reconnect`, see `ReconnectNeededError`.
_MUST_RECONNECT: Final = oauth_tokens.c.state == TokenState.RECONNECT


def _has_delivery(statuses: Collection[DeliveryStatus]) -> ColumnElement[bool]:
    """Return whether a digest has a delivery in one of these statuses."""
    is_one = is_one_of(deliveries.c.status, statuses)
    return exists().where(deliveries.c.digest_id == digests.c.id, is_one).correlate(digests)


# Made once: to build a statement for each user takes longer than to execute it.
_PENDING: Final = (
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
    .where(suggestions.c.user_id == bindparam("user"), suggestions.c.start_at > bindparam("now"), *_IS_PENDING)
    .order_by(suggestions.c.start_at, suggestions.c.id)
)
# Whether the user must connect again, and the due date's digest where it was attempted; one row for a user.
_CIRCUMSTANCES: Final = (
    select(
        _MUST_RECONNECT.label("must_reconnect"),
        digests.c.id.label("attempted"),
        digests.c.content,
        digests.c.reconnect,
    )
    .select_from(users)
    .outerjoin(oauth_tokens, oauth_tokens.c.user_id == users.c.id)
    .outerjoin(
        digests,
        and_(
            digests.c.user_id == users.c.id,
            digests.c.due_date == bindparam("due"),
            _has_delivery(ATTEMPTED),
        ),
    )
    .where(users.c.id == bindparam("user"))
)
_LAST_ASKED: Final = select(func.max(digests.c.due_date)).where(
    digests.c.user_id == bindparam("user"),
    digests.c.due_date != bindparam("due"),
    digests.c.reconnect,
    _has_delivery(MAYBE_SENT),
)
_among: Final = suggestions.c.id.in_(bindparam("these", expanding=True))
_MARKED: Final = (
    update(suggestions)
    .where(_among, suggestions.c.delivered_at.is_(None))
    .values(delivered_at=bindparam("at"), version=suggestions.c.version + 1, updated_at=bindparam("at"))
)
_UNMARKED: Final = (
    update(suggestions)
    .where(_among, suggestions.c.delivered_at == bindparam("mark"))
    .values(delivered_at=None, version=suggestions.c.version + 1, updated_at=bindparam("at"))
)
_OF_DELIVERY: Final = (
    select(
        digests.c.content,
        digests.c.delivered_mark,
        _has_delivery(MAYBE_SENT).label("maybe_sent"),
    )
    .join_from(digests, deliveries)
    .where(deliveries.c.id == bindparam("delivery"))
)


def has_pending(of_user: ColumnElement[str], now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return whether a user has pending suggestions."""
    return exists().where(
        suggestions.c.user_id == of_user,
        suggestions.c.start_at > now,
        contacts.c.id == suggestions.c.contact_id,
        *_IS_PENDING,
    )


def must_reconnect(of_user: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a user must connect the calendar again."""
    return exists().where(oauth_tokens.c.user_id == of_user, _MUST_RECONNECT)


def selection(connection: Connection, user_id: str, due_date: date, now: datetime) -> Selection:
    """Return what a message for a due date would hold now, see `domain.digest.selection`."""
    of_date = {"user": user_id, "due": due_date}
    row = connection.execute(_CIRCUMSTANCES, of_date).one_or_none()
    if row is None:
        # The user was deleted.
        return Selection()
    is_asked = bool(row.must_reconnect)
    attempted = None
    if row.attempted is not None:
        attempted = Selection(tuple(map(DigestItem.from_json, row.content or ())), row.reconnect)
    return choose(
        _pending(connection, user_id, now),
        due_date,
        must_reconnect=is_asked,
        last_asked=connection.execute(_LAST_ASKED, of_date).scalar() if is_asked else None,
        attempted=attempted,
    )


def _pending(connection: Connection, user_id: str, now: datetime) -> dict[int, DigestItem]:
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
        for row in connection.execute(_PENDING, {"user": user_id, "now": now})
    }


def mark(connection: Connection, items: Sequence[DigestItem], *, now: datetime) -> bool:
    """Mark suggestions as delivered; return whether any was not marked yet."""
    return connection.execute(_MARKED, {"these": _ids(items), "at": now}).rowcount > 0


def _ids(items: Sequence[DigestItem]) -> list[int]:
    return [item.suggestion_id for item in items]


def remove_mark(connection: Connection, delivery_id: int, now: datetime) -> None:
    """Remove the mark as delivered from the suggestions of a message that was not sent, so that they can move again."""
    digest = connection.execute(_OF_DELIVERY, {"delivery": delivery_id}).one()
    if digest.delivered_mark is None or digest.maybe_sent:
        return
    items = [DigestItem.from_json(document) for document in digest.content or ()]
    connection.execute(_UNMARKED, {"these": _ids(items), "mark": digest.delivered_mark, "at": now})
