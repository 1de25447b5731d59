"""How many SMS segments a text takes: in GSM 03.38's 7-bit alphabet, or in UCS-2 if one character is outside of it.

One message holds 160 septets or 70 UTF-16 units. The segments of a longer message carry a header and hold 153 or 67. A
character of two units (an escaped one, an emoji) is never split over two segments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Two septets each: an escape, then the character.
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")

SINGLE_SEPTETS: Final = 160
PART_SEPTETS: Final = 153
SINGLE_UNITS: Final = 70
PART_UNITS: Final = 67
_BEYOND_ONE_UNIT: Final = "\uffff"


def is_gsm7(text: str) -> bool:
    """Return whether every character is in the GSM 7-bit alphabet or its extension table."""
    return all(character in _BASIC or character in _EXTENSION for character in text)


def length(text: str) -> int:
    """Return the text's length as it is sent: in septets, or in UTF-16 units where it is not GSM 7-bit."""
    size = _septets if is_gsm7(text) else _units
    return sum(size(character) for character in text)


def segments(text: str) -> int:
    """Return how many SMS the text is sent as."""
    if is_gsm7(text):
        return _parts(text, _septets, SINGLE_SEPTETS, PART_SEPTETS)
    return _parts(text, _units, SINGLE_UNITS, PART_UNITS)


def _parts(text: str, size: Callable[[str], int], single: int, part: int) -> int:
    sizes = [size(character) for character in text]
    if sum(sizes) <= single:
        return 1
    count, used = 1, 0
    for character_size in sizes:
        if used + character_size > part:
            count, used = count + 1, 0
        used += character_size
    return count


def _septets(character: str) -> int:
    return 2 if character in _EXTENSION else 1


def _units(character: str) -> int:
    return 2 if character > _BEYOND_ONE_UNIT else 1
