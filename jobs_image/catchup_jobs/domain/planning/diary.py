"""Placing suggestions in free time: which of the times that fit is taken.

Each starts on a half hour of the local clock, on a date that has room. Of those times the best is the one on the date
with the fewest suggestions; then one within the preferred hours; then one that leaves half an hour to what is before
and after it; then the earliest. With `Strategy.EARLIEST` it is the earliest of all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from catchup_contract.local_time import day_bounds, jump_between, local_date
from catchup_jobs.domain.calendar.availability import MINIMUM_SLOT, Interval, merge, subtract
from catchup_jobs.domain.planning.options import Strategy
from catchup_jobs.domain.stored_enums import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from catchup_jobs.domain.calendar.timeline import Timeline

GRID: Final = timedelta(minutes=30)
"""Suggestions start at multiples of this local time."""
LEAD: Final = timedelta(hours=2)
"""The shortest time from the plan to the start of a new suggestion."""
CALM: Final = timedelta(minutes=30)
"""A suggestion closer than this to another engagement is placed there only if no calmer time fits."""
MAX_PER_DATE: Final = 3
"""Suggestions that start on one local date at most."""
DURATIONS: Final = {
    Mode.IN_PERSON: timedelta(hours=2),
    Mode.CALL: timedelta(minutes=30),
    Mode.EITHER: timedelta(hours=1),
}
"""How long a suggestion takes, by mode."""
_DAY: Final = timedelta(days=1)


def next_half_hour(at: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant (UTC) from `at` on at which the clock of `zone` shows :00 or :30, to the second.

    Some zones are 45 minutes off UTC, and some clocks jump by half an hour: each step reads the local clock again.
    """
    while True:
        local = at.astimezone(zone)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond) % GRID
        if not past:
            return at.astimezone(UTC)
        following = at + (GRID - past)
        # A jump within the step: the clock may show a half hour before it, or none after it.
        jump = following.astimezone(zone).utcoffset() != local.utcoffset()
        at = jump_between(at, following, zone) if jump else following


class Need(NamedTuple):
    """What a suggestion needs of a time.

    Attributes:
        until: when it must have ended (aware).
        hours: of the contact, within which it must lie; None where they are not known. The same object for each
            contact with the same hours.
    """

    duration: timedelta
    until: datetime
    hours: Timeline | None = None


class Diary:
    """A user's free time, from which slots are taken, and how many suggestions each local date has.

    Args:
        free: free slots in order, none of which crosses a local midnight.
        taken: time of suggestions that stay where they are, in any order.
        engagements: all that suggestions should not be close to: busy events and `taken`, merged.
        preferred: the user's preferred hours, merged.
        now: the present; nothing is placed less than `LEAD` ahead.
        until: nothing is placed that ends later.
    """

    def __init__(
        self,
        free: Iterable[Interval],
        *,
        taken: Sequence[Interval],
        engagements: Timeline,
        preferred: Timeline,
        zone: ZoneInfo,
        now: datetime,
        until: datetime,
        strategy: Strategy = Strategy.HUMANE,
    ) -> None:
        self._zone = zone
        self._earliest = now + LEAD
        self._until = until
        self._preferred = preferred
        self._is_humane = strategy is Strategy.HUMANE
        # Most dates have none: a Counter would call a function of Python's for each of those.
        self._counts = defaultdict(int, Counter(local_date(when.start, zone) for when in taken))
        self._openings: dict[date, list[_Opening]] = {}
        for slot in subtract(free, merge(taken)):
            start, end = max(slot.start, self._earliest), min(slot.end, until)
            if end - start >= MINIMUM_SLOT:
                opening = _Opening(start, end)
                opening.keep_from(engagements)
                opening.is_preferred = preferred.overlaps(slot)
                self._openings.setdefault(local_date(start, zone), []).append(opening)
        self._dates = sorted(self._openings)
        self._places: dict[Need, dict[date, _Place | None]] = {}
        # Free time only shrinks and dates only fill: what found no time finds none later.
        self._hopeless: set[Need] = set()

    def has_room_on(self, start: datetime) -> bool:
        """Return whether the local date of this start may have another suggestion."""
        return self._counts[local_date(start, self._zone)] < MAX_PER_DATE

    def allows(self, slot: Interval) -> bool:
        """Return whether a given time may be proposed: far enough ahead, and room on its date."""
        return self._earliest <= slot.start and slot.end <= self._until and self.has_room_on(slot.start)

    def count(self, start: datetime) -> None:
        """Count a suggestion that starts then and takes no free time."""
        self._counts[local_date(start, self._zone)] += 1

    def take(self, need: Need) -> Interval | None:
        """Take the best slot, on a date with room; None where there is none."""
        place = None if need in self._hopeless else self._best(need)
        if place is None:
            self._hopeless.add(need)
            return None
        slot = Interval(place.start, place.start + need.duration)
        self._book(place, slot)
        return slot

    def _best(self, need: Need) -> _Place | None:
        known = self._places.setdefault(need, {})
        best = None
        for dates in self._by_crowding():
            for day in dates:
                if day not in known:
                    known[day] = self._place_on(day, need)
                place = known[day]
                if place is not None and (best is None or place.flaws < best.flaws):
                    best = place
                    if not best.flaws:
                        return best
            if best is not None:
                return best
        return None

    def _by_crowding(self) -> Iterator[list[date]]:
        """Yield dates with room, in order: those with the fewest suggestions first."""
        if not self._is_humane:
            yield [day for day in self._dates if self._counts[day] < MAX_PER_DATE]
            return
        for crowd in range(MAX_PER_DATE):
            yield [day for day in self._dates if self._counts[day] == crowd]

    def _place_on(self, day: date, need: Need) -> _Place | None:
        openings = [opening for opening in self._openings[day] if opening.end - opening.start >= need.duration]
        if not openings:
            return None
        grid = half_hours(day, self._zone)
        for flaws in _FLAWS if self._is_humane else _ANY:
            for opening in openings:
                start = self._first_start(opening, flaws, grid, need)
                if start is not None:
                    return _Place(flaws if self._is_humane else _NO_FLAWS, day, start, opening)
        return None

    def _first_start(
        self, opening: _Opening, flaws: tuple[bool, bool], grid: Sequence[datetime], need: Need
    ) -> datetime | None:
        """Return the first point of the grid from which on the duration fits, with no other flaws than these."""
        outside, close = flaws
        low, high = (opening.start, opening.end) if close else (opening.calm_start, opening.calm_end)
        high = min(high, need.until)
        # Most openings are no candidate for most levels.
        if high - low < need.duration or not (outside or opening.is_preferred):
            return None
        stretches = [(low, high)] if outside else self._preferred.within(low, high)
        if need.hours is not None:
            stretches = [part for stretch in stretches for part in need.hours.within(*stretch)]
        for start, end in stretches:
            if end - start >= need.duration:
                index = bisect_left(grid, start)
                if index < len(grid) and grid[index] + need.duration <= end:
                    return grid[index]
        return None

    def _book(self, place: _Place, slot: Interval) -> None:
        self._counts[place.day] += 1
        openings = self._openings[place.day]
        index = openings.index(place.opening)
        openings[index : index + 1] = place.opening.without(slot)
        for near in self._dates_near(place.day, slot):
            for opening in self._openings[near]:
                opening.keep_apart(slot)
            for known in self._places.values():
                known.pop(near, None)

    def _dates_near(self, day: date, slot: Interval) -> Iterator[date]:
        """Yield the dates whose free time a slot of a date takes, or is close to."""
        yield day
        before, after = self._openings.get(day - _DAY), self._openings.get(day + _DAY)
        if before and before[-1].end > slot.start - CALM:
            yield day - _DAY
        if after and after[0].start < slot.end + CALM:
            yield day + _DAY


# Outside of the preferred hours, close to something else: in the order in which they are avoided.
_NO_FLAWS: Final = (False, False)
_FLAWS: Final = (_NO_FLAWS, (False, True), (True, False), (True, True))
_ANY: Final = ((True, True),)


class _Place(NamedTuple):
    flaws: tuple[bool, bool]
    day: date
    start: datetime
    opening: _Opening


class _Opening:
    """Free time, and the part of it that is not close to an engagement (which may be empty).

    `is_preferred` tells whether some of it may be within the preferred hours.
    """

    __slots__ = ("calm_end", "calm_start", "end", "is_preferred", "start")

    def __init__(self, start: datetime, end: datetime, *, is_preferred: bool = False) -> None:
        self.start = self.calm_start = start
        self.end = self.calm_end = end
        self.is_preferred = is_preferred

    def keep_from(self, engagements: Timeline) -> None:
        """Leave time to the engagements before and after."""
        before = bisect_right(engagements.ends, self.start)
        after = bisect_left(engagements.starts, self.end)
        if before:
            self.calm_start = max(self.start, engagements.ends[before - 1] + CALM)
        if after < len(engagements.starts):
            self.calm_end = min(self.end, engagements.starts[after] - CALM)

    def keep_apart(self, slot: Interval) -> None:
        """Leave time to a slot that was taken before or after."""
        if slot.end <= self.start:
            self.calm_start = max(self.calm_start, slot.end + CALM)
        else:
            self.calm_end = min(self.calm_end, slot.start - CALM)

    def without(self, slot: Interval) -> list[_Opening]:
        """Return what is left of it when the slot is taken."""
        left = []
        for start, end in ((self.start, slot.start), (slot.end, self.end)):
            if end - start >= MINIMUM_SLOT:
                rest = _Opening(start, end, is_preferred=self.is_preferred)
                rest.calm_start, rest.calm_end = max(start, self.calm_start), min(end, self.calm_end)
                left.append(rest)
        return left


# A fleet asks for the same days in few zones.
@lru_cache(maxsize=1024)
def half_hours(day: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the instants (UTC) of a local date at which the clock shows :00 or :30, in order."""
    begins, ends = day_bounds(day, zone)
    found = []
    at = next_half_hour(begins, zone)
    while at < ends:
        found.append(at)
        at = next_half_hour(at + timedelta(minutes=1), zone)
    return tuple(found)
