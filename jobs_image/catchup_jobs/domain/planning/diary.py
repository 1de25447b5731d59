"""Placing suggestions in free time: at half hours of the local clock, the earliest that fits."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from catchup_contract.local_time import jump_between, local_date
from catchup_jobs.domain.calendar.availability import MINIMUM_SLOT, Interval, merge, subtract
from catchup_jobs.domain.vocabulary import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from zoneinfo import ZoneInfo

GRID: Final = timedelta(minutes=30)
LEAD: Final = timedelta(hours=2)
MAX_PER_DATE: Final = 3
DURATIONS: Final = {
    Mode.IN_PERSON: timedelta(hours=2),
    Mode.CALL: timedelta(minutes=30),
    Mode.EITHER: timedelta(hours=1),
}


def next_half_hour(at: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant (UTC) from `at` on at which the clock of `zone` shows :00 or :30, to the second.

    Some zones are 45 minutes off UTC, and some clocks jump by half an hour: each step reads the local clock again.
    """
    while True:
        local = at.astimezone(zone)
        past = timedelta(minutes=local.minute % 30, seconds=local.second, microseconds=local.microsecond)
        if not past:
            return at.astimezone(UTC)
        following = at + (GRID - past)
        # A jump within the step: the clock may show a half hour before it, or none after it.
        jump = following.astimezone(zone).utcoffset() != local.utcoffset()
        at = jump_between(at, following, zone) if jump else following


class Diary:
    """A user's free time, from which slots are taken, and how many suggestions each local date has.

    Args:
        free: free slots in order, none of which crosses a local midnight.
        taken: time of suggestions that stay where they are, in any order.
        starts: starts of all suggestions that count for their dates.
        now: the present; nothing is placed less than 2 h ahead.
        until: nothing is placed that ends later.
    """

    def __init__(
        self,
        free: Iterable[Interval],
        *,
        taken: Iterable[Interval],
        starts: Iterable[datetime],
        zone: ZoneInfo,
        now: datetime,
        until: datetime,
    ) -> None:
        self._zone = zone
        self._earliest = now + LEAD
        self._until = until
        self._counts: Counter[date] = Counter(local_date(start, zone) for start in starts)
        self._free: list[_Opening] = []
        for slot in subtract(free, merge(taken)):
            start, end = max(slot.start, self._earliest), min(slot.end, until)
            if end - start >= MINIMUM_SLOT:
                self._open(start, end)
        # Free time only shrinks and dates only fill: an opening too short for a duration stays too short.
        self._positions: dict[timedelta, int] = {}

    def _open(self, start: datetime, end: datetime) -> None:
        first = next_half_hour(start, self._zone)
        if first < end:
            self._free.append(_Opening(first, end, local_date(first, self._zone)))

    def has_room_on(self, start: datetime) -> bool:
        """Return whether the local date of this start may have another suggestion."""
        return self._counts[local_date(start, self._zone)] < MAX_PER_DATE

    def allows(self, slot: Interval) -> bool:
        """Return whether a given time may be proposed: far enough ahead, and room on its date."""
        return self._earliest <= slot.start and slot.end <= self._until and self.has_room_on(slot.start)

    def count(self, start: datetime) -> None:
        """Count a suggestion that starts then and takes no free time."""
        self._counts[local_date(start, self._zone)] += 1

    def take(self, duration: timedelta) -> Interval | None:
        """Take the earliest slot of this length, on a date with room; None where there is none."""
        position = self._positions.get(duration, 0)
        while position < len(self._free):
            opening = self._free[position]
            if self._counts[opening.day] < MAX_PER_DATE and opening.end - opening.start >= duration:
                break
            position += 1
        self._positions[duration] = position
        if position == len(self._free):
            return None
        opening = self._free[position]
        slot = Interval(opening.start, opening.start + duration)
        opening.start = min(next_half_hour(slot.end, self._zone), opening.end)
        self._counts[opening.day] += 1
        return slot


class _Opening:
    __slots__ = ("day", "end", "start")

    def __init__(self, start: datetime, end: datetime, day: date) -> None:
        self.start = start
        self.end = end
        self.day = day
