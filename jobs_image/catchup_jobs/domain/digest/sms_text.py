"""The digest as one SMS of at most two segments, if the content allows it.

It always says how to stop, the short code and, where that is needed, that the calendar must be connected again. The
rest of the room goes, in this order, to

1. people, each with a time and how to meet; those who do not fit are counted (`+3 more`),
2. the link to answer by, and the one to connect by,
3. a heading, and what the link is for,
4. reasons: the first clause of each, then the others.

How to stop is part of each message, since none is known to be the first one to its number: carriers and Twilio want it
in the first message at least, and again from time to time (CTIA's Messaging Principles, Twilio's Messaging Policy).

Letters are not transliterated: one name outside of the GSM alphabet makes the whole message UCS-2, with 134 units
instead of 306 septets. Punctuation is, since a typographic apostrophe would do the same and nobody would miss it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from catchup_jobs.domain.digest.content import Reconnect
from catchup_jobs.domain.digest.formatting import RECONNECT, contact_name, mode_words, short_time
from catchup_jobs.domain.digest.gsm7 import PART_SEPTETS, is_gsm7, segments
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.text import clean

if TYPE_CHECKING:
    from catchup_jobs.domain.digest.content import DigestContent

MAX_SEGMENTS: Final = 2
"""Segments of an SMS at most."""
_NAMES: Final = (40, 30, 16)
"""Characters of a contact's name in an SMS; the shorter ones where the longer do not fit."""
# Where not even one person fits: long clocks beside a name outside of the GSM alphabet.
_SHORT_NAMES: Final = (16, 8)
# Each takes a line like `A Sun 1 Nov 14:00 CET, call` of 28 septets at least.
_MOST_ENTRIES: Final = MAX_SEGMENTS * PART_SEPTETS // 28
"""People in one SMS at most."""
_CLAUSE: Final = 80
"""Characters of the first clause of a reason in an SMS."""
_REASON: Final = 160
"""Characters of a whole reason in an SMS."""
# What GSM 03.38 has in another form.
_PUNCTUATION: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u0060\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
        "\u00b7": "-",
        "\u2022": "-",
    }
)


@dataclass(frozen=True, slots=True)
class _Form:
    """What the text says beside the entries.

    Attributes:
        count: how many entries are named.
        name: the most characters of a name.
        bare: without the contact's clock, and without where to answer.
        link: with the link to answer by.
        connect: with the link to connect by.
        polite: with a heading, and what the link is for.
        reasons: how many of the entries have the first clause of their reason.
        whole: all clauses instead.
    """

    count: int
    name: int
    bare: bool = False
    link: bool = False
    connect: bool = False
    polite: bool = False
    reasons: int = 0
    whole: bool = False


def sms_text(content: DigestContent, *, takes_replies: bool = True) -> str:
    """Return a digest as the text of an SMS; `takes_replies` as in `compose`."""
    link = content.links.overview if content.links else None
    if not content.items:
        return _request(content.reconnect or Reconnect(), content.code, link, takes_replies=takes_replies)
    return compose(
        content.items,
        content.when.zone,
        code=content.code,
        link=link,
        takes_replies=takes_replies,
        reconnect=content.reconnect,
    )


def sms_preview(text: str) -> str:
    """Return the text with how many SMS it takes, and whether a character outside of the GSM alphabet costs half."""
    alphabet = "GSM 7-bit" if is_gsm7(text) else "UCS-2, for a character outside of the GSM alphabet"
    return f"{text}\n[{segments(text)} SMS, {alphabet}]"


def compose(
    items: Sequence[DigestItem],
    zone: ZoneInfo,
    *,
    code: str,
    link: str | None = None,
    takes_replies: bool = True,
    reconnect: Reconnect | None = None,
) -> str:
    """Return the text of an SMS with suggestions.

    Args:
        items: the suggestions, at least one, the earliest first.
        zone: the user's.
        code: the delivery's short code, by which the message is found again at the provider.
        link: URL at which the user acts, None in an installation without an action base URL.
        takes_replies: the user can reply STOP; not to a sender that is a name.
        reconnect: None where the calendar is connected.
    """
    connect = reconnect.url if reconnect else None

    def text(form: _Form) -> str:
        lines = [_heading(len(items)) if form.polite else "CatchUp:"]
        lines += [_entry(item, zone, form, number) for number, item in enumerate(items[: form.count])]
        if form.count < len(items):
            lines.append(f"+{len(items) - form.count} more")
        if reconnect is not None:
            lines.append(f"Reconnect your calendar{f': {connect}' if form.connect else ''}")
        shown = link if form.link else None
        return "\n".join([*lines, *_closing(form, code=code, link=shown, takes_replies=takes_replies)])

    def fits(form: _Form) -> bool:
        return segments(text(form)) <= MAX_SEGMENTS

    return text(_richest(len(items), fits, has_link=link is not None, connects=connect is not None))


def _request(reconnect: Reconnect, code: str, link: str | None, *, takes_replies: bool) -> str:
    """Return the text of an SMS that only asks to connect again; links are left out where they do not fit."""
    stops = [f"#{code} STOP to end"] if takes_replies else [f"Stop in CatchUp #{code}"]
    if link is not None and not takes_replies:
        stops.insert(0, f"Stop: {link} #{code}")
    places = [" in CatchUp"]
    if reconnect.url is not None:
        places.insert(0, f": {reconnect.url}")
    texts = [f"CatchUp: {RECONNECT}{place}\n{stop}" for place in places for stop in stops]
    return next((text for text in texts if segments(text) <= MAX_SEGMENTS), texts[-1])


def _richest(entries: int, fits: Callable[[_Form], bool], *, has_link: bool, connects: bool) -> _Form:
    """Return the form that says the most: what is named first in `_Form` outweighs what comes after it."""
    shortest = [_Form(count, name) for count in range(min(entries, _MOST_ENTRIES), 0, -1) for name in _NAMES]
    shortest += [_Form(1, name, bare=True) for name in _SHORT_NAMES]
    form = next(filter(fits, shortest), shortest[-1])
    if form.bare:
        return form
    additions: list[dict[str, bool]] = [{"link": has_link}, {"connect": connects}, {"polite": True}]
    for addition in additions:
        richer = replace(form, **addition)
        form = richer if fits(richer) else form
    with_reasons = (replace(form, reasons=number) for number in range(form.count, 0, -1))
    form = next(filter(fits, with_reasons), form)
    whole = replace(form, whole=True)
    return whole if form.reasons == form.count and fits(whole) else form


def _heading(count: int) -> str:
    return f"CatchUp, {count} suggestions:" if count > 1 else "CatchUp suggests:"


def _entry(item: DigestItem, zone: ZoneInfo, form: _Form, number: int) -> str:
    name = contact_name(replace(item, contact=_plain(item.contact)), form.name)
    when = short_time(replace(item, contact_zone=None) if form.bare else item, zone)
    line = f"{name} {when}, {mode_words(item)}"
    if number >= form.reasons:
        return line
    clauses = _clauses(item)
    reason = clean(";".join(clauses), _REASON) if form.whole else clean("".join(clauses[:1]), _CLAUSE)
    return f"{line}: {reason}" if reason else line


def _clauses(item: DigestItem) -> list[str]:
    """Return the clauses of the reason, without those that alone would make the message UCS-2."""
    clauses = _plain(item.reason).split(";")
    return [clause for clause in clauses if is_gsm7(clause)] if is_gsm7(_plain(item.contact)) else clauses


def _plain(text: str) -> str:
    return text.translate(_PUNCTUATION)


def _closing(form: _Form, *, code: str, link: str | None, takes_replies: bool) -> list[str]:
    if form.bare:
        return [f"#{code} STOP to end" if takes_replies else f"Stop in CatchUp #{code}"]
    ways = ["accept", "dismiss", "snooze"] if form.polite else ["answer"]
    if not takes_replies:
        ways.append("stop")
    words = (", ".join(ways[:-1]) + " or " if ways[1:] else "") + ways[-1]
    if link is None:
        act = f"{words.capitalize()} in CatchUp"
    elif form.polite or not takes_replies:
        act = f"{words.capitalize()}: {link}"
    else:
        act = link
    return [act, f"#{code} STOP to end"] if takes_replies else [f"{act} #{code}"]
