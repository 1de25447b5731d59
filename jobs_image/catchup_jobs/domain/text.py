"""Text that people or providers wrote, made safe to show: in a header, an SMS, a terminal or a log.

The classes of characters are those of the Unicode Character Database (UAX #44), as this Python knows them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Format characters that names need: they join emoji, and letters of Arabic and Indic scripts.
_JOINERS: Final = frozenset("\u200c\u200d")
_NOT_AT_THE_END: Final = frozenset("\u200c\u200d\ufe0e\ufe0f")
# Characters that show nothing though they are letters, marks or symbols: those with `Default_Ignorable_Code_Point`
# in DerivedCoreProperties.txt that are not format characters, and the blank Braille pattern.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef\u200c\u200d ]*"
)
# C0 but line feed, DEL, C1, and what sets the direction of text (UAX #9), separates lines, or is half a character.
_UNSAFE: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return text as one line of visible characters, in the form NFC; empty if none of it can be seen.

    Control characters and line breaks become spaces. Invisible characters and those that change the direction of the
    text are removed, so that a name cannot forge what stands around it.
    """
    kept = text.translate(_VISIBLE)
    line = unicodedata.normalize("NFC", " ".join(kept.split()))
    return "" if _BLANK.fullmatch(line) else line


def clean(text: str, limit: int, *, ellipsis: str = "...") -> str:
    """Return `one_line` of the text, at most `limit` characters long."""
    line = one_line(text[: limit * 20])
    if len(line) <= limit:
        return line
    cut = line[: limit - len(ellipsis)]
    while cut and (cut[-1] in _NOT_AT_THE_END or cut[-1] == " " or unicodedata.combining(cut[-1])):
        cut = cut[:-1]
    return cut + ellipsis


def printable(text: str) -> str:
    """Return text of several lines without control and direction characters, for a terminal or a log."""
    return _UNSAFE.sub(" ", text)


def escaped(text: str) -> str:
    """Return JSON text with control and direction characters as escapes, so that a terminal can show it."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class _Visible(dict[int, str]):
    """What each character becomes, by its code point; found at its first use."""

    def __missing__(self, code_point: int) -> str:
        found = self[code_point] = _visible(chr(code_point))
        return found


def _visible(character: str) -> str:
    if character in _JOINERS:
        return character
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp" | "Zs":
            return " "
        case "Cf" | "Cs" | "Co" | "Cn":
            return ""
        case _:
            return character


_VISIBLE: Final = _Visible()
