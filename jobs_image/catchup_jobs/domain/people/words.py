"""Words of texts in any script: what a tag may hold, and what is compared with a calendar's events."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final
from unicodedata import normalize

# A sign belongs to the single letter before it, and a dot to the word after it, where that is another name: C++ and C#
# are not C, R&D is not R, .NET is not a net.
_NAMES: Final = r"(?<!\w)[^\W\d_][+#]+|(?<!\w)[^\W\d_]&[^\W\d_](?!\w)|(?<![^\s(])\.[^\W\d_]\w*"
_ASCII_WORD: Final = re.compile(rf"{_NAMES}|\w+", re.ASCII)
# What follows an emoji without changing which it is (UTS #51).
_PRESENTATION: Final = re.compile("[\ufe0e\ufe0f]")


def words(text: str) -> list[str]:
    """Return the words of a text for comparison, caseless and in the form NFC; what stands between them is ignored.

    A word is made of letters with their marks, digits and joiners (`\\w` of UTS #18, annex C), or is one emoji. Scripts
    without spaces between words (Han, Hiragana, Thai and others) give a word for each character.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _patterns()[0].findall(_PRESENTATION.sub("", caseless(text)))  # type: ignore[no-any-return]


def count_words(text: str) -> int:
    """Return the number of words by Unicode's default word boundaries (UAX #29), as a person counts them.

    Words without anything between them are one: those boundaries divide Han and Thai into characters.
    """
    _, boundary, begins = _patterns()
    count, within = 0, False
    for part in filter(None, boundary.split(text)):
        is_word = begins.search(part) is not None
        count += is_word and not within
        within = is_word
    return count


def caseless(text: str) -> str:
    """Return the text for a comparison without case, in the form NFC."""
    return normalize("NFC", normalize("NFC", text).casefold())


@cache
def _patterns() -> tuple[Any, Any, Any]:
    # Python's own `re` takes the vowel signs of Indic scripts for no part of a word, and knows nothing of UAX #29. Only
    # text that is not ASCII pays for the import.
    import regex  # noqa: PLC0415

    emoji = r"\p{Extended_Pictographic}\p{Regional_Indicator}"
    word = regex.compile(
        rf"(?V1)(?=[{emoji}])\X|{_NAMES}"
        r"|[\p{Han}\p{Hiragana}]|\p{Line_Break=SA}\p{M}*|[\w--[\p{Han}\p{Hiragana}\p{Line_Break=SA}]]+"
    )
    return word, regex.compile(r"(?V1w)\b"), regex.compile(rf"[\p{{Alphabetic}}\p{{N}}_{emoji}]")
