"""Splitting what one statement could not take at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

# Under SQLite's and PostgreSQL's limits on the parameters of one statement.
CHUNK: Final = 500
"""Values that a statement gets as parameters at most."""


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in their order, in lists of at most `CHUNK`."""
    remaining = list(items)
    for start in range(0, len(remaining), CHUNK):
        yield remaining[start : start + CHUNK]
