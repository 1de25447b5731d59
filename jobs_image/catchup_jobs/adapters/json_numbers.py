"""Whole numbers of JSON that others wrote, of any length."""

from __future__ import annotations

from typing import Final

# Those of 64 bits have fewer.
_INT_DIGITS: Final = 20


def whole_number(digits: str) -> float:
    """Return a number of any length, as `parse_int` of `json.loads`: a very long one as a float, perhaps infinite.

    Python's `int` refuses thousands of digits, and with them the whole document.
    """
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)
