"""The digest as one SMS: two segments where the content allows it, the rest of the list by its count.

The most talkative form in which every entry fits is taken. Where none does, as many entries as fit are named, shorter
and shorter, before anything else is given up. Nothing is transliterated: one name outside of the GSM alphabet makes the
whole message UCS-2, with 134 units instead of 306 septets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from catchup_jobs.domain.digest.gsm7 import is_gsm7, segments
from catchup_jobs.domain.digest.items import DigestItem, clean
from catchup_jobs.domain.digest.words import contact_name, mode_words, short_time

MAX_SEGMENTS: Final = 2
# Twilio refuses more (error 21617).
MAX_CHARACTERS: Final = 1600


@dataclass(frozen=True, slots=True)
class _Form:
    """How much is said.

    Attributes:
        name, reason: at most so many characters; 0 leaves the reason out.
        whole_reason: all of its clauses, not only the first.
        polite: with a heading and the words for stopping.
        link: with the link, if there is one.
    """

    name: int
    reason: int
    whole_reason: bool = False
    polite: bool = True
    link: bool = True


_TALKATIVE: Final = _Form(name=40, reason=160, whole_reason=True)
_FORMS: Final = (
    _TALKATIVE,
    _Form(name=40, reason=80),
    _Form(name=30, reason=60, polite=False),
    _Form(name=30, reason=0, polite=False),
    _Form(name=16, reason=0, polite=False),
    _Form(name=16, reason=0, polite=False, link=False),
)


def compose(items: Sequence[DigestItem], zone: ZoneInfo, *, code: str, link: str | None = None) -> str:
    """Return the text of the SMS.

    Args:
        items: what is proposed, at least one, most important first.
        zone: the user's.
        code: the delivery's short code, by which the message is found again at the provider.
        link: where the user acts, None where the installation has no place for that.
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
    left = len(items) - count
    lines = [_heading(len(items)) if form.polite else "CatchUp:"]
    lines += [_entry(item, zone, form) for item in items[:count]]
    if left:
        lines.append(f"+{left} more")
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
    """Return the parts of the reason; those that alone would halve the message's length are left out."""
    # A shortened title's mark is not in the GSM alphabet; it is ours, no part of a name.
    clauses = item.reason.replace("\u2026", "...").split(";")
    return [clause for clause in clauses if is_gsm7(clause)] if is_gsm7(item.contact) else clauses


def _closing(form: _Form, *, code: str, link: str | None) -> list[str]:
    if link is not None and form.link:
        act = f"Accept, dismiss, snooze: {link}" if form.polite else link
    else:
        act = "Accept, dismiss or snooze in CatchUp" if form.polite else "Answer in CatchUp"
    return [act, f"#{code} STOP to end"] if form.polite else [f"{act} #{code}"]
