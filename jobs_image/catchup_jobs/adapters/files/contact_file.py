"""The `contacts` of a user in the JSON file of `catchup-jobs user import`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool

from catchup_jobs.adapters.files.fields import Entry, Instant, Name, TimeZone, without_control_characters
from catchup_jobs.domain.people.contacts import MAX_TAG_WORDS, Contact
from catchup_jobs.domain.people.words import count_words
from catchup_jobs.domain.stored_enums import Frequency

_MAX_CONTACTS: Final = 20_000
"""Contacts that an import takes for one user."""
_MAX_INTERACTIONS: Final = 20_000
"""Interactions that an import takes for one contact."""
_MAX_SHOWN: Final = 5


def _few_words(tag: str) -> str:
    if not 1 <= count_words(tag) <= MAX_TAG_WORDS:
        raise ValueError(f"must be 1 to {MAX_TAG_WORDS} words")
    return tag


_Tag = Annotated[Name, Field(max_length=100), AfterValidator(_few_words)]


class ContactEntry(Entry):
    """One contact; only `id` and `name` are required."""

    id: Annotated[str, Field(max_length=200), AfterValidator(without_control_characters)]
    name: Name
    frequency: Frequency | None = None
    tags: Annotated[tuple[_Tag, ...], Field(max_length=100)] = ()
    groups: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    city: Name | None = None
    time_zone: TimeZone | None = None
    excluded: StrictBool = False
    archived: StrictBool = False
    created_at: Instant | None = None
    interactions: Annotated[list[Instant], Field(max_length=_MAX_INTERACTIONS)] | None = None

    def contact(self) -> Contact:
        """Return the contact."""
        return Contact(
            external_id=self.id,
            name=self.name,
            frequency=self.frequency,
            tags=tuple(dict.fromkeys(self.tags)),
            groups=tuple(dict.fromkeys(self.groups)),
            city=self.city,
            time_zone=self.time_zone,
            excluded=self.excluded,
            archived=self.archived,
            created_at=self.created_at,
            interactions=None if self.interactions is None else _instants(self.interactions),
        )


def _instants(values: list[datetime]) -> tuple[datetime, ...]:
    return tuple(sorted(set(values)))


def _without_repeats(entries: list[ContactEntry]) -> list[ContactEntry]:
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        first.setdefault(entry.id, number)
    repeated = [
        f"[{first[entry.id]}] and [{number}]" for number, entry in enumerate(entries) if first[entry.id] < number
    ]
    if repeated:
        # Ids of contacts may be an address: their places are shown.
        more = f", and {len(repeated) - _MAX_SHOWN} more" if len(repeated) > _MAX_SHOWN else ""
        raise ValueError(f"have one id: {', '.join(repeated[:_MAX_SHOWN])}{more}")
    return entries


ContactList = Annotated[list[ContactEntry], Field(max_length=_MAX_CONTACTS), AfterValidator(_without_repeats)]
