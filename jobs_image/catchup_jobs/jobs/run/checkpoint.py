"""What a run has counted so far, kept in its checkpoint: a later pass or process adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_contract.summary import Count

_COUNTS: Final = "counts"


def read_counts(stored: Mapping[str, int] | None) -> dict[Count, int]:
    """Return stored counts, in the order of `Count`; names that this version does not have are left out."""
    return {count: stored[count] for count in Count if count in stored} if stored else {}


def counts_of(checkpoint: Mapping[str, Any]) -> dict[Count, int]:
    """Return the counts of a checkpoint."""
    return read_counts(checkpoint.get(_COUNTS))


class Counts:
    """The counts in a run's checkpoint."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self._checkpoint = checkpoint

    def add(self, count: Count, number: int = 1) -> None:
        """Add to a count."""
        self.set(count, counts_of(self._checkpoint).get(count, 0) + number)

    def set(self, count: Count, number: int) -> None:
        """Set a count."""
        self._checkpoint.setdefault(_COUNTS, {})[count.value] = number

    def any(self, *counts: Count) -> bool:
        """Return whether one of these is more than 0."""
        numbers = counts_of(self._checkpoint)
        return any(numbers.get(count) for count in counts)

    def all(self) -> dict[Count, int]:
        """Return all counts."""
        return counts_of(self._checkpoint)
