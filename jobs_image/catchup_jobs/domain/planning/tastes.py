"""Which contact would like which event of the user's calendar, the best pair first.

Score = tags of the contact that the event's title or description names as whole words + 1 for the same city where one
meets in person + overdue, at most 1. Without a tag there is no match: being overdue is no reason for an event that the
contact may not like.

The cost is bounded for each user. A text is read once, however many interests there are. Events that name the same
interests share one ranking, of as many contacts as suggestions can be open. Pairs come from a heap with one entry for
each event. Once the rankings of a user have weighed `BUDGET` contacts, the further ones weigh the most overdue of each
interest only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heapreplace, nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

from catchup_jobs.domain.people.contacts import same_name
from catchup_jobs.domain.people.words import words
from catchup_jobs.domain.planning.overdue import ContactFacts, Rank, interests, overdue, preference, rank
from catchup_jobs.domain.planning.suggestions import MAX_OPEN
from catchup_jobs.domain.stored_enums import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.planning.contact_clocks import ContactClocks
    from catchup_jobs.domain.planning.event_facts import EventFacts, Identity

BUDGET: Final = 200_000
"""Pairs of a contact's tag and an event that are compared for one user; a user with more is not matched to the end."""
# Up to so many words are looked for in a text before it is divided into words.
_FEW: Final = 100
_MARKUP: Final = re.compile(r"<[^<>]{0,200}>")
Phrase = tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class _Taste:
    """What a ranking depends on.

    Attributes:
        liked: interests that the event names.
        cities: that its location names.
        awake: zones in which one may be called during it; of a call only.
    """

    liked: frozenset[Phrase]
    mode: Mode
    cities: frozenset[Phrase]
    awake: frozenset[ZoneInfo | None]


class _Traits(NamedTuple):
    """What rankings read of a contact. `late`: how overdue, at most 1, negative. `is_neighbour`: of the user's city."""

    late: float
    rank: Rank
    prefers: Mode
    city: Phrase | None
    is_neighbour: bool
    is_far: bool
    zone: ZoneInfo | None


# Score (negative), rank, index of the contact, whether it is nearby: sorts as the best first.
_Entry = tuple[float, Rank, int, bool]


class Tastes:
    """The interests of a user's contacts.

    Args:
        contacts: in any order.
        user_city: where the user lives; None where unknown.
        clocks: says who is far, and who may be called when.
        now: the present (aware).
        budget: how many contacts the rankings weigh before they look at the most overdue only.
    """

    def __init__(
        self,
        contacts: Sequence[ContactFacts],
        *,
        user_city: str | None,
        clocks: ContactClocks,
        now: datetime,
        budget: int = BUDGET,
    ) -> None:
        self._contacts = contacts
        self._user_city = user_city
        self._clocks = clocks
        self._zones = {clocks.zone(contact) for contact in contacts if contact.tags}
        self._now = now
        self._budget = budget
        self._likers: dict[Phrase, list[int]] = {}
        self._rankings: dict[_Taste, list[_Entry]] = {}
        self._selections: dict[Phrase, list[int]] = {}
        self._known: dict[int, _Traits] = {}
        for index, contact in enumerate(contacts):
            for phrase in _phrases(contact.tags):
                self._likers.setdefault(phrase, []).append(index)
        self._interests = _Phrases(self._likers)
        self._cities: _Phrases | None = None
        self.weighed = 0

    def matches(
        self,
        events: Iterable[EventFacts],
        *,
        without: Container[int] = (),
        used: Container[Identity] = (),
        can_take: Callable[[EventFacts], bool] = lambda _: True,
    ) -> Iterator[Match]:
        """Yield who would like which event, the best first; ties by the event's start, then by rank.

        Args:
            without: ids of contacts to leave out; may grow meanwhile.
            used: events to leave out; may grow meanwhile.
            can_take: whether an event counts; asked at the first match, of the events that name an interest.
        """
        waiting = []
        for number, event in enumerate(events):
            taste = self._taste(event)
            if taste is None or not can_take(event):
                continue
            ranking = self._ranking(taste)
            if ranking:
                score, order = ranking[0][:2]
                waiting.append((score, event.when.start, order, event.event_id, number, 0, event, taste))
        heapify(waiting)
        while waiting:
            _, start, _, event_id, number, position, event, taste = waiting[0]
            ranking = self._rankings[taste]
            entry = ranking[position]
            position += 1
            if position < len(ranking) and event.identity not in used:
                score, order = ranking[position][:2]
                heapreplace(waiting, (score, start, order, event_id, number, position, event, taste))
            else:
                heappop(waiting)
            if self._contacts[entry[2]].id not in without and event.identity not in used:
                yield self._match(entry, event, taste)

    def _taste(self, event: EventFacts) -> _Taste | None:
        """Return what the event names, None where it names no interest."""
        liked = frozenset(phrase for text in _texts(event) for phrase in self._interests.named_in(text))
        if not liked:
            return None
        if event.is_call:
            awake = (zone for zone in self._zones if zone is None or self._clocks.may_call(zone, event.when))
            return _Taste(liked, Mode.CALL, frozenset(), frozenset(awake))
        if self._cities is None:
            self._cities = _Phrases({_phrase(contact.city): () for contact in self._contacts if contact.city})
        cities = self._cities.named_in(event.location) if event.location else ()
        return _Taste(liked, Mode.IN_PERSON, frozenset(cities), frozenset())

    def _ranking(self, taste: _Taste) -> list[_Entry]:
        found = self._rankings.get(taste)
        if found is None:
            found = self._rankings[taste] = self._ranked(taste)
        return found

    def _ranked(self, taste: _Taste) -> list[_Entry]:
        likers = [self._likers[phrase] for phrase in taste.liked]
        if sum(map(len, likers)) > self._budget - self.weighed:
            likers = [self._most_overdue(phrase) for phrase in taste.liked]
        counts: Counter[int] = Counter()
        for indexes in likers:
            counts.update(indexes)
        self.weighed += len(counts)
        return nsmallest(MAX_OPEN, self._entries(counts, taste))

    def _entries(self, counts: Mapping[int, int], taste: _Taste) -> Iterator[_Entry]:
        wanted, in_person = (taste.mode, Mode.EITHER), taste.mode is Mode.IN_PERSON
        for index, tags in counts.items():
            traits = self._traits(index)
            there = in_person and traits.city in taste.cities
            # Who is far may still be where the event is.
            can_come = (there or not traits.is_far) if in_person else traits.zone in taste.awake
            if can_come and (traits.prefers in wanted or (traits.is_far and not in_person)):
                nearby = there or (in_person and traits.is_neighbour)
                yield -(tags + nearby - traits.late), traits.rank, index, nearby

    def _most_overdue(self, phrase: Phrase) -> list[int]:
        found = self._selections.get(phrase)
        if found is None:
            found = nsmallest(MAX_OPEN, self._likers[phrase], key=lambda index: self._traits(index)[:2])
            self._selections[phrase] = found
        return found

    def _traits(self, index: int) -> _Traits:
        found = self._known.get(index)
        if found is None:
            contact = self._contacts[index]
            city, own = contact.city, self._user_city
            found = self._known[index] = _Traits(
                late=-min(overdue(contact, self._now), 1.0),
                rank=rank(contact, self._now),
                prefers=preference(contact.tags),
                city=None if city is None else _phrase(city),
                is_neighbour=city is not None and own is not None and same_name(city, own),
                is_far=self._clocks.is_far(contact),
                zone=self._clocks.zone(contact),
            )
        return found

    def _match(self, entry: _Entry, event: EventFacts, taste: _Taste) -> Match:
        score, order, index, nearby = entry
        contact = self._contacts[index]
        tags = {_phrase(tag): tag for tag in sorted(interests(contact.tags), reverse=True)}
        return Match(
            contact=contact,
            event=event,
            tags=tuple(sorted(tag for phrase, tag in tags.items() if phrase in taste.liked)),
            nearby=nearby,
            mode=taste.mode,
            score=-score,
            rank=order,
        )


class _Phrases:
    """Phrases that are looked for in texts: at each word of a text, once for each length of a phrase."""

    def __init__(self, phrases: Mapping[Phrase, object]) -> None:
        self._phrases = phrases
        self._first = {phrase[0] for phrase in phrases}
        self._lengths = sorted({len(phrase) for phrase in phrases})

    def named_in(self, text: str) -> set[Phrase]:
        """Return the phrases that the words of a text hold."""
        # Almost no text holds one. To look for a few words as parts of a text takes a fifth of the time of dividing it.
        if len(self._first) <= _FEW and text.isascii():
            lower = text.lower()
            if not any(word in lower for word in self._first):
                return set()
        of_text = words(text)
        found = set()
        for start, word in enumerate(of_text):
            if word in self._first:
                for length in self._lengths:
                    phrase = tuple(of_text[start : start + length])
                    if phrase in self._phrases:
                        found.add(phrase)
        return found


# Many contacts share few tags.
@lru_cache(maxsize=4096)
def _phrase(text: str) -> Phrase:
    return tuple(words(text)) or ("",)


@lru_cache(maxsize=4096)
def _phrases(tags: tuple[str, ...]) -> tuple[Phrase, ...]:
    # Two spellings of one interest count once.
    return tuple(dict.fromkeys(map(_phrase, interests(tags))))


def _texts(event: EventFacts) -> Iterator[str]:
    # Title and description are separate texts: a tag does not begin in one and end in the other.
    for text in (event.title, event.description):
        if text:
            yield _MARKUP.sub(" ", text) if "<" in text else text
