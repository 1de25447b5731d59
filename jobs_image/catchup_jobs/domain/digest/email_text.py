"""The digest as an email: its subject, its plain text, and what the HTML shows of each entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from catchup_jobs.domain.digest.formatting import RECONNECT, contact_name, contact_time, long_time, mode_words, rhythm
from catchup_jobs.domain.digest.items import MAX_NAME, MAX_REASON, DigestItem
from catchup_jobs.domain.text import clean

if TYPE_CHECKING:
    from catchup_jobs.domain.digest.content import DigestContent, Reconnect

_NAMES_IN_SUBJECT: Final = 2
"""Contacts that the subject of an email names."""
_SUBJECT_NAME: Final = 40
"""Characters of a contact's name in the subject of an email."""
ACTIONS: Final = ("accept", "snooze", "dismiss")


@dataclass(frozen=True, slots=True)
class Entry:
    """One suggestion in words, safe on one line but not escaped for HTML.

    Attributes:
        how: `Meet`, `Call` or `Meet or call`.
        theirs: the time on the contact's clock, None where it is the same.
        links: addresses by action (`ACTIONS`), empty without an action base URL.
    """

    name: str = field(repr=False)
    when: str
    theirs: str | None = field(repr=False)
    how: str
    reason: str = field(repr=False)
    links: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class EmailDigest:
    """The content of the email.

    Attributes:
        greeting: the user's name.
        rhythm: when the digest comes, e.g. `every Sunday at 09:00 (Europe/Berlin)`.
        unsubscribe: address to stop these emails, None without an action base URL.
        reconnect: None where the calendar is connected; there is a request where there are no entries.
    """

    greeting: str = field(repr=False)
    entries: tuple[Entry, ...]
    rhythm: str
    unsubscribe: str | None = field(default=None, repr=False)
    reconnect: Reconnect | None = None

    @property
    def subject(self) -> str:
        """The subject: one line, whatever the names hold."""
        if not self.entries:
            return "Connect your calendar again"
        names = [clean(entry.name, _SUBJECT_NAME) for entry in self.entries]
        if len(names) <= _NAMES_IN_SUBJECT:
            return f"Catch up with {' and '.join(names)}"
        shown = ", ".join(names[:_NAMES_IN_SUBJECT])
        return f"Catch up with {shown} and {len(names) - _NAMES_IN_SUBJECT} more"

    @property
    def headline(self) -> str:
        """What the message is about, in a few words."""
        if not self.entries:
            return "Your calendar is not connected any more"
        count = len(self.entries)
        return "One person to catch up with" if count == 1 else f"{count} people to catch up with"

    @property
    def how_to_act(self) -> str:
        """What to do, where there are no links."""
        return "To accept, snooze or dismiss a suggestion, open CatchUp."

    @property
    def request(self) -> str | None:
        """The sentence that asks to connect again; it ends before the link, where there is one."""
        if self.reconnect is None:
            return None
        return RECONNECT if self.reconnect.url else f"{RECONNECT} in CatchUp."

    def preview(self) -> str:
        """Return the subject and the plain text."""
        return f"Subject: {self.subject}\n\n{self.text()}"

    def text(self) -> str:
        """Return the plain text alternative."""
        lines = [f"Hello {self.greeting},", ""]
        if self.entries:
            lines += [f"{self.headline}:", ""]
        for entry in self.entries:
            lines += [entry.name, f"  {entry.when}"]
            if entry.theirs:
                lines.append(f"  ({entry.theirs})")
            lines.append(f"  {entry.how}: {entry.reason}" if entry.reason else f"  {entry.how}")
            lines += [f"  {action.capitalize()}: {entry.links[action]}" for action in ACTIONS if action in entry.links]
            lines.append("")
        if self.entries and not any(entry.links for entry in self.entries):
            lines += [self.how_to_act, ""]
        if self.reconnect is not None:
            where = f": {self.reconnect.url}" if self.reconnect.url else ""
            lines += [f"{self.request}{where}", ""]
        lines.append(f"You get this {self.rhythm}, because you use CatchUp.")
        if self.unsubscribe:
            lines.append(f"To stop these emails: {self.unsubscribe}")
        return "\n".join(lines) + "\n"


def email_digest(content: DigestContent) -> EmailDigest:
    """Return a digest as an email."""
    links = content.links
    return EmailDigest(
        greeting=clean(content.name, MAX_NAME),
        entries=entries_of(content.items, content.when.zone, links.actions if links else {}),
        rhythm=rhythm(content.when),
        unsubscribe=links.unsubscribe if links else None,
        reconnect=content.reconnect,
    )


def entry_of(item: DigestItem, zone: ZoneInfo, links: Mapping[str, str]) -> Entry:
    """Return a suggestion in words, its time in the user's zone."""
    return Entry(
        name=contact_name(item),
        when=long_time(item, zone),
        theirs=contact_time(item, zone),
        how=mode_words(item).capitalize(),
        reason=clean(item.reason, MAX_REASON),
        links=links,
    )


def entries_of(
    items: Sequence[DigestItem], zone: ZoneInfo, links: Mapping[int, Mapping[str, str]]
) -> tuple[Entry, ...]:
    """Return all suggestions in words; `links` are by suggestion id, then by action."""
    return tuple(entry_of(item, zone, links.get(item.suggestion_id, {})) for item in items)
