"""When a contact is overdue, which contact comes first, and which contacts rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from catchup_jobs.domain.people.contacts import (
    DEFAULT_FREQUENCY,
    IRL_PREFERRED,
    THRESHOLD_DAYS,
    URL_PREFERRED,
    same_name,
)
from catchup_jobs.domain.stored_enums import Frequency, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

REST_UNANSWERED: Final = timedelta(days=7)
"""How long a contact rests after a suggestion that was delivered and not answered."""
MAX_OVERDUE: Final = 5.0
"""By so many thresholds a contact is overdue at most."""
_DAY: Final = timedelta(days=1)
_THRESHOLDS: Final = {frequency: timedelta(days=days) for frequency, days in THRESHOLD_DAYS.items()}
# After a dismissal a contact rests for one threshold.
LONGEST_REST: Final = max(_THRESHOLDS.values())


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What planning reads of a contact that is neither excluded nor archived.

    Attributes:
        frequency: None counts as monthly.
        created_at: counts as the last contact where there was none.
        zone: None where it is not known.
        last_contact_at: the latest interaction, or end of an accepted suggestion, that is not in the future.
        accepted_until: when the latest accepted suggestion ends; may be in the future.
        dismissed_at: when the user last dismissed a suggestion of this contact.
        unanswered_until: when the slot of the last suggestion ended that was delivered and never answered.
    """

    id: int
    name: str = field(repr=False)
    frequency: Frequency | None
    tags: tuple[str, ...] = field(repr=False)
    close_friend: bool
    city: str | None = field(repr=False)
    created_at: datetime
    zone: ZoneInfo | None = None
    last_contact_at: datetime | None = None
    accepted_until: datetime | None = None
    dismissed_at: datetime | None = None
    unanswered_until: datetime | None = None


Rank = tuple[float, bool, datetime, int]


def threshold(frequency: Frequency | None) -> timedelta | None:
    """Return after how long without contact the contact is overdue, None for never."""
    return _THRESHOLDS.get(frequency or DEFAULT_FREQUENCY)


def elapsed(contact: ContactFacts, now: datetime) -> timedelta:
    """Return how long ago the last contact was; without one, how long ago the contact was created."""
    return now - (contact.last_contact_at or contact.created_at)


def is_overdue(contact: ContactFacts, now: datetime) -> bool:
    """Return whether the time since the last contact exceeds the threshold."""
    limit = threshold(contact.frequency)
    return limit is not None and elapsed(contact, now) > limit


def overdue(contact: ContactFacts, now: datetime) -> float:
    """Return by how many thresholds the contact is overdue, from 0 (not at all) to `MAX_OVERDUE`."""
    limit = threshold(contact.frequency)
    if limit is None:
        return 0.0
    return min(max((elapsed(contact, now) - limit) / limit, 0.0), MAX_OVERDUE)


def rank(contact: ContactFacts, now: datetime) -> Rank:
    """Return the sort key: overdue to 0.1, then Close Friends, then the longest time without contact, then the id."""
    return (
        -round(overdue(contact, now), 1),
        not contact.close_friend,
        contact.last_contact_at or contact.created_at,
        contact.id,
    )


def is_resting(contact: ContactFacts, now: datetime) -> bool:
    """Return whether the contact gets no new suggestion for now.

    After a dismissal for one threshold; after a suggestion that was delivered and not answered for a week; while an
    accepted one is still to come.
    """
    if contact.accepted_until is not None and contact.accepted_until > now:
        return True
    if contact.unanswered_until is not None and now < contact.unanswered_until + REST_UNANSWERED:
        return True
    rest = threshold(contact.frequency) or _THRESHOLDS[DEFAULT_FREQUENCY]
    return contact.dismissed_at is not None and now < contact.dismissed_at + rest


# Many contacts share few tags.
@lru_cache(maxsize=4096)
def preference(tags: tuple[str, ...]) -> Mode:
    """Return how the user prefers to meet the contact, by its tags; both or neither: either."""
    modes = {mode for mode in map(_preference, tags) if mode is not None}
    return modes.pop() if len(modes) == 1 else Mode.EITHER


def interests(tags: Iterable[str]) -> list[str]:
    """Return the tags that are interests, not preferences."""
    return [tag for tag in tags if _preference(tag) is None]


@lru_cache(maxsize=4096)
def _preference(tag: str) -> Mode | None:
    if same_name(tag, IRL_PREFERRED):
        return Mode.IN_PERSON
    return Mode.CALL if same_name(tag, URL_PREFERRED) else None
