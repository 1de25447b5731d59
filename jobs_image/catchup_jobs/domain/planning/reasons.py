"""The reason of a suggestion, as a sentence for its user: names and facts, no ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from catchup_jobs.domain.planning.overdue import elapsed
from catchup_jobs.domain.stored_enums import Frequency
from catchup_jobs.domain.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from catchup_jobs.domain.planning.overdue import ContactFacts

_AIMS: Final = {
    None: "you usually catch up monthly",
    Frequency.DAILY: "you aim for daily",
    Frequency.WEEKLY: "you aim for weekly",
    Frequency.BIWEEKLY: "you aim for every two weeks",
    Frequency.MONTHLY: "you aim for monthly",
    Frequency.QUARTERLY: "you aim for quarterly",
    Frequency.YEARLY: "you aim for yearly",
    Frequency.FLEXIBLE: "you keep it flexible",
    Frequency.NA: None,
}
_MAX_TITLE: Final = 80
"""Characters of an event's title in a reason."""


def time_bound(contact: ContactFacts, now: datetime) -> str:
    """Return e.g. `42 days since you last met; you aim for monthly`."""
    return "; ".join(_facts(contact, now))


def shared_activity(
    contact: ContactFacts, title: str | None, tags: Sequence[str], *, nearby: bool, now: datetime
) -> str:
    """Return e.g. `you have "Bouldering" then; both like climbing; 42 days since you last met; you aim for monthly`.

    Args:
        tags: the contact's interests that the event names.
        nearby: whether the contact is in the event's city.
    """
    shown = clean(title or "", _MAX_TITLE, ellipsis="…")
    facts = [f'you have "{shown}" then'] if shown else []
    facts.append(f"both like {_listed(tags)}")
    if nearby and contact.city is not None:
        facts.append(f"{contact.name} is in {contact.city} too")
    return "; ".join([*facts, *_facts(contact, now)])


def _facts(contact: ContactFacts, now: datetime) -> Iterator[str]:
    days = elapsed(contact, now).days
    since = f"{days} day{'' if days == 1 else 's'} since you"
    if contact.last_contact_at is None:
        yield f"{since} added {contact.name}, and no catch-up yet"
    elif days < 1:
        yield "you met within the last day"
    else:
        yield f"{since} last met"
    aim = _AIMS[contact.frequency]
    if aim is not None:
        yield aim


def _listed(tags: Sequence[str]) -> str:
    if len(tags) == 1:
        return tags[0]
    return f"{', '.join(tags[:-1])} and {tags[-1]}"
