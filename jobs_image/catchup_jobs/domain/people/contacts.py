"""Contacts as an application imports them, and what their tags and groups mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from catchup_jobs.domain.people.words import caseless
from catchup_jobs.domain.stored_enums import Frequency

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

# The group is known by its name, not by an id.
CLOSE_FRIENDS: Final = "Close Friends"
# Tags that say how to meet a contact; all other tags are interests.
IRL_PREFERRED: Final = "IRL preferred"
URL_PREFERRED: Final = "URL preferred"
MAX_TAG_WORDS: Final = 3
"""Words of a tag at most."""

THRESHOLD_DAYS: Final = {
    Frequency.DAILY: 1,
    Frequency.WEEKLY: 7,
    Frequency.BIWEEKLY: 14,
    Frequency.MONTHLY: 30,
    Frequency.QUARTERLY: 90,
    Frequency.YEARLY: 365,
    Frequency.FLEXIBLE: 60,
}
"""After how many days without contact somebody is overdue, by frequency."""
DEFAULT_FREQUENCY: Final = Frequency.MONTHLY


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact as it is imported.

    Attributes:
        external_id: the application's id, unique among the user's contacts.
        frequency: None counts as monthly.
        created_at: when the contact was created (aware); None: at the first import.
        interactions: when they were in touch (aware), in any order; None leaves the stored log unchanged.
    """

    external_id: str
    name: str = field(repr=False)
    frequency: Frequency | None = None
    tags: tuple[str, ...] = field(default=(), repr=False)
    groups: tuple[str, ...] = field(default=(), repr=False)
    city: str | None = field(default=None, repr=False)
    time_zone: str | None = None
    excluded: bool = False
    archived: bool = False
    created_at: datetime | None = None
    interactions: tuple[datetime, ...] | None = None


def is_close_friend(groups: Iterable[str]) -> bool:
    """Return whether one of the groups is the one of close friends, by its name."""
    return any(same_name(group, CLOSE_FRIENDS) for group in groups)


def same_name(one: str, other: str) -> bool:
    """Return whether two names of groups, tags or cities are the same but for case and spaces."""
    return caseless(one).split() == caseless(other).split()
