"""Stretches of time that are asked for overlaps again and again, each time by bisection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from catchup_jobs.domain.calendar.availability import Interval


class Timeline:
    """Stretches of time in order that do not overlap (they may touch); a question costs log n."""

    __slots__ = ("ends", "starts")

    def __init__(self, stretches: Iterable[Interval] = ()) -> None:
        ordered = list(stretches)
        self.starts: list[datetime] = [stretch.start for stretch in ordered]
        self.ends: list[datetime] = [stretch.end for stretch in ordered]

    def overlaps(self, when: Interval) -> bool:
        """Return whether any stretch shares time with this one."""
        following = bisect_right(self.ends, when.start)
        return following < len(self.starts) and self.starts[following] < when.end

    def contains(self, when: Interval) -> bool:
        """Return whether one stretch holds all of this one."""
        following = bisect_right(self.ends, when.start)
        return (
            following < len(self.starts) and self.starts[following] <= when.start and when.end <= self.ends[following]
        )

    def within(self, low: datetime, high: datetime) -> list[tuple[datetime, datetime]]:
        """Return the parts of the stretches between two instants, in order."""
        parts = []
        index = bisect_right(self.ends, low)
        while index < len(self.starts) and self.starts[index] < high:
            parts.append((max(self.starts[index], low), min(self.ends[index], high)))
            index += 1
        return parts

    def add(self, when: Interval) -> None:
        """Add time, which may overlap what is there: those stretches become one."""
        first, last = bisect_left(self.ends, when.start), bisect_right(self.starts, when.end)
        start, end = when.start, when.end
        if first < last:
            start, end = min(start, self.starts[first]), max(end, self.ends[last - 1])
        self.starts[first:last] = [start]
        self.ends[first:last] = [end]
