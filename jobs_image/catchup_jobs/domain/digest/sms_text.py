"""The digest as one SMS of at most two segments, if the content allows it.

The forms are tried from the longest to the shortest; the first in which every entry fits is used. If none fits, the
entries that do not fit are counted (`+3 more`). Nothing is transliterated: one name outside of the GSM alphabet makes
the whole message UCS-2, with 134 units instead of 306 septets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from catchup_jobs.domain.digest.gsm7 import is_gsm7, segments
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.words import contact_name, mode_words, short_time
from catchup_jobs.domain.text import clean

if TYPE_CHECKING:
    from catchup_jobs.domain.digest.content import DigestContent

MAX_SEGMENTS: Final = 2


@dataclass(frozen=True, slots=True)
class _Form:
    """How long the text is.

    Attributes:
        name, reason: the most characters of each; 0 omits the reason.
        whole_reason: all clauses of the reason, not only the first.
        polite: with a heading, and how to stop the messages.
        link: with the link, if there is one.
    """

    name: int
    reason: int
    whole_reason: bool = False
    polite: bool = True
    link: bool = True


_FORMS: Final = (
    _Form(name=40, reason=160, whole_reason=True),
    _Form(name=40, reason=80),
    _Form(name=30, reason=60, polite=False),
    _Form(name=30, reason=0, polite=False),
    _Form(name=16, reason=0, polite=False),
    _Form(name=16, reason=0, polite=False, link=False),
)


def sms_text(content: DigestContent) -> str:
    """Return a digest as the text of an SMS."""
    link = content.links.overview if content.links else None
    return compose(content.items, content.when.zone, code=content.code, link=link)


def compose(items: Sequence[DigestItem], zone: ZoneInfo, *, code: str, link: str | None = None) -> str:
    """Return the text of the SMS.

    Args:
        items: the suggestions, at least one, the most important first.
        zone: the user's.
        code: the delivery's short code, by which the message is found again at the provider.
        link: URL at which the user acts, None in an installation without an action base URL.
    """
    for form in _FORMS[:2]:
        text = _text(items, len(items), zone, form, code=code, link=link)
        if segments(text) <= MAX_SEGMENTS:
            return text
    for form in _FORMS[1:]:
        for count in range(len(items), 0, -1):
            text = _text(items, count, zone, form, code=code, link=link)
            if segments(text) <= MAX_SEGMENTS:
                return text
    return text


def _text(items: Sequence[DigestItem], count: int, zone: ZoneInfo, form: _Form, *, code: str, link: str | None) -> str:
    omitted = len(items) - count
    lines = [_heading(len(items)) if form.polite else "CatchUp:"]
    lines += [_entry(item, zone, form) for item in items[:count]]
    if omitted:
        lines.append(f"+{omitted} more")
    return "\n".join([*lines, *_closing(form, code=code, link=link)])


def _heading(count: int) -> str:
    return f"CatchUp, {count} suggestions:" if count > 1 else "CatchUp suggests:"


def _entry(item: DigestItem, zone: ZoneInfo, form: _Form) -> str:
    line = f"{contact_name(item, form.name)} {short_time(item, zone)}, {mode_words(item)}"
    clauses = _clauses(item)
    reason = ";".join(clauses if form.whole_reason else clauses[:1])
    reason = clean(reason, form.reason) if form.reason else ""
    return f"{line}: {reason}" if reason else line


def _clauses(item: DigestItem) -> list[str]:
    """Return the clauses of the reason, without those that alone would make the message UCS-2."""
    # The ellipsis of a shortened title is not in the GSM alphabet.
    clauses = item.reason.replace("\u2026", "...").split(";")
    return [clause for clause in clauses if is_gsm7(clause)] if is_gsm7(item.contact) else clauses


def _closing(form: _Form, *, code: str, link: str | None) -> list[str]:
    if link is not None and form.link:
        act = f"Accept, dismiss, snooze: {link}" if form.polite else link
    else:
        act = "Accept, dismiss or snooze in CatchUp" if form.polite else "Answer in CatchUp"
    return [act, f"#{code} STOP to end"] if form.polite else [f"{act} #{code}"]
