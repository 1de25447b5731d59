"""Events of the user's calendar that a contact would like too.

Score = tags of the contact that the event's title or description names as whole words + 1 for the same city where one
meets in person + overdue, at most 1. Without a tag there is no match: being overdue is no reason for an event that the
contact may not like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from catchup_jobs.domain.people.contacts import same_name
from catchup_jobs.domain.people.words import words
from catchup_jobs.domain.planning.overdue import ContactFacts, Rank, interests, overdue, preference, rank
from catchup_jobs.domain.vocabulary import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from catchup_jobs.domain.calendar.availability import Interval

_MARKUP: Final = re.compile(r"<[^<>]{0,200}>")
# The beginning of a location that is not a place.
_ONLINE: Final = re.compile(r"\s*(https?://|www\.|(zoom|meet|teams)\.|online\b|virtual\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EventFacts:
    """A busy event of a selected calendar, as planning sees it.

    Attributes:
        event_id: Google's id of the event, unique in its calendar.
        ical_uid: the same in all calendars that hold a copy of the event.
        all_day: whether it has dates, not hours; the interval covers them in the user's zone.
    """

    calendar_id: int
    event_id: str = field(repr=False)
    when: Interval
    title: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    location: str | None = field(default=None, repr=False)
    ical_uid: str | None = field(default=None, repr=False)
    all_day: bool = False

    def is_copy_of(self, other: EventFacts) -> bool:
        """Return whether both are the same event, perhaps in two calendars."""
        if (self.calendar_id, self.event_id) == (other.calendar_id, other.event_id):
            return True
        return self.ical_uid is not None and self.ical_uid == other.ical_uid and self.when == other.when


@dataclass(frozen=True, slots=True)
class Match:
    """A contact who would like an event."""

    contact: ContactFacts
    event: EventFacts
    tags: tuple[str, ...]
    nearby: bool
    mode: Mode
    score: float
    rank: Rank


def matches(
    events: Iterable[EventFacts], contacts: Sequence[ContactFacts], *, user_city: str | None, now: datetime
) -> list[Match]:
    """Return which contact would like which event, the best first; ties by the event's start, then by rank."""
    likes = _likes(contacts)
    found = []
    for event in events:
        liked: dict[int, set[str]] = {}
        for inside in _texts(event) if likes else ():
            # Almost no event has a word that begins an interest: the intersection of sets finds that cheaply.
            for first in likes.keys() & set(inside):
                for phrase, index, tag in likes[first]:
                    if len(phrase) == 1 or _holds(inside, phrase):
                        liked.setdefault(index, set()).add(tag)
        for index, tags in liked.items():
            match = _match(contacts[index], event, tags, user_city, now)
            if match is not None:
                found.append(match)
    found.sort(key=lambda match: (-match.score, match.event.when.start, match.rank, match.event.event_id))
    return found


def is_online(location: str | None) -> bool:
    """Return whether the location is an address on the web, so that nobody meets in person."""
    return location is not None and _ONLINE.match(location) is not None


def is_nearby(contact_city: str | None, location: str | None, user_city: str | None) -> bool:
    """Return whether the contact is in the event's city.

    The city is the contact's where the location names it as whole words, else the user's own.
    """
    if contact_city is None:
        return False
    if location is not None and _names(location, contact_city):
        return True
    return user_city is not None and same_name(contact_city, user_city)


def _names(text: str, phrase: str) -> bool:
    return _holds(words(text), _phrase(phrase))


def _holds(inside: Sequence[str], phrase: Sequence[str]) -> bool:
    length = len(phrase)
    return length > 0 and any(
        tuple(inside[start : start + length]) == phrase for start in range(len(inside) - length + 1)
    )


def _likes(contacts: Sequence[ContactFacts]) -> dict[str, list[tuple[tuple[str, ...], int, str]]]:
    """Return, by first word, each interest's words, the index of the contact, and the tag."""
    likes: dict[str, list[tuple[tuple[str, ...], int, str]]] = {}
    for index, contact in enumerate(contacts):
        for tag in interests(contact.tags):
            phrase = _phrase(tag)
            likes.setdefault(phrase[0], []).append((phrase, index, tag))
    return likes


# Many contacts share few tags.
@lru_cache(maxsize=4096)
def _phrase(tag: str) -> tuple[str, ...]:
    return tuple(words(tag)) or ("",)


def _texts(event: EventFacts) -> Iterator[list[str]]:
    # Title and description are separate texts: a tag does not begin in one and end in the other.
    for text in (event.title, event.description):
        if text:
            yield words(_MARKUP.sub(" ", text) if "<" in text else text)


def _match(
    contact: ContactFacts, event: EventFacts, tags: set[str], user_city: str | None, now: datetime
) -> Match | None:
    online = is_online(event.location)
    mode = Mode.CALL if online else Mode.IN_PERSON
    if preference(contact.tags) not in {mode, Mode.EITHER}:
        return None
    nearby = not online and is_nearby(contact.city, event.location, user_city)
    return Match(
        contact=contact,
        event=event,
        tags=tuple(sorted(tags)),
        nearby=nearby,
        mode=mode,
        score=len(tags) + nearby + min(overdue(contact, now), 1.0),
        rank=rank(contact, now),
    )
