"""What planning reads of contacts, for many users at once in two statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, or_, select

from catchup_jobs.adapters.database.people.contacts import MAY_BE_SUGGESTED
from catchup_jobs.adapters.database.people.hours import zone_of
from catchup_jobs.adapters.database.schema import contact_groups, contact_tags, contacts, interactions, suggestions
from catchup_jobs.adapters.database.suggestions.bounded import bounded_rows
from catchup_jobs.domain.people.contacts import is_close_friend
from catchup_jobs.domain.planning.overdue import LONGEST_REST, REST_UNANSWERED, ContactFacts
from catchup_jobs.domain.stored_enums import ExpiryReason, SuggestionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

# Unit separator: no tag or group holds it, since control characters are refused.
_SEPARATOR: Final = "\x1f"
_NO_HISTORY: Final = (None,) * 5


def contact_facts(connection: Connection, ids: Sequence[str], now: datetime) -> dict[str, list[ContactFacts]]:
    """Return the contacts of these users, by user, without those that are excluded or archived."""
    if not ids:
        return {}
    history = {row[0]: row for row in connection.execute(_history(ids, now)).all()}
    by_user: dict[str, list[ContactFacts]] = {}
    # Tens of thousands of rows per second: unpacked as tuples, in the order of `_people` and `_history`.
    for user_id, contact_id, name, frequency, city, time_zone, created_at, tags, groups, met_at in bounded_rows(
        connection, _people(ids, now)
    ):
        _, accepted_until, accepted_past, dismissed_at, unanswered_until = history.get(contact_id, _NO_HISTORY)
        facts = ContactFacts(
            contact_id,
            name,
            frequency,
            tuple(tags.split(_SEPARATOR)) if tags else (),
            groups is not None and is_close_friend(groups.split(_SEPARATOR)),
            city,
            created_at,
            None if time_zone is None else zone_of(time_zone),
            last_contact_at=_later(met_at, accepted_past),
            accepted_until=accepted_until,
            dismissed_at=dismissed_at,
            unanswered_until=unanswered_until,
        )
        by_user.setdefault(user_id, []).append(facts)
    return by_user


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def _people(ids: Sequence[str], now: datetime) -> Select[Any]:
    def listed(column: Any) -> Any:
        of_contact = column.table.c.contact_id == contacts.c.id
        return select(func.aggregate_strings(column, _SEPARATOR)).where(of_contact).scalar_subquery()

    met_at = (
        select(func.max(interactions.c.occurred_at))
        .where(interactions.c.contact_id == contacts.c.id, interactions.c.occurred_at <= now)
        .scalar_subquery()
    )
    return select(
        contacts.c.user_id,
        contacts.c.id,
        contacts.c.name,
        contacts.c.frequency,
        contacts.c.city,
        contacts.c.time_zone,
        contacts.c.created_at,
        listed(contact_tags.c.tag).label("tags"),
        listed(contact_groups.c.name).label("groups"),
        met_at.label("met_at"),
    ).where(contacts.c.user_id.in_(ids), *MAY_BE_SUGGESTED)


def _history(ids: Sequence[str], now: datetime) -> Select[Any]:
    """Select the dates of earlier suggestions that decide whether their contacts rest, one row per contact."""
    accepted = suggestions.c.status == SuggestionStatus.ACCEPTED
    dismissed = suggestions.c.status == SuggestionStatus.DISMISSED
    unanswered = and_(
        suggestions.c.status == SuggestionStatus.EXPIRED,
        suggestions.c.expiry_reason == ExpiryReason.PASSED,
        suggestions.c.delivered_at.is_not(None),
        suggestions.c.end_at > now - REST_UNANSWERED,
    )

    def latest(condition: Any, column: Any) -> Any:
        return func.max(case((condition, column)))

    return (
        select(
            suggestions.c.contact_id,
            latest(accepted, suggestions.c.end_at).label("accepted_until"),
            latest(and_(accepted, suggestions.c.end_at <= now), suggestions.c.end_at).label("accepted_past"),
            latest(dismissed, suggestions.c.answered_at).label("dismissed_at"),
            latest(unanswered, suggestions.c.end_at).label("unanswered_until"),
        )
        .where(
            suggestions.c.user_id.in_(ids),
            or_(accepted, and_(dismissed, suggestions.c.answered_at > now - LONGEST_REST), unanswered),
        )
        .group_by(suggestions.c.contact_id)
    )
