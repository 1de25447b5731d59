"""Free slots: when a user has time, by their own hours and what their calendars hold.

Per local day in the user's zone: the user's blocks (`DEFAULT_START` to `DEFAULT_END` when there are none), minus busy
events, minus commutes, minus the night. Only the overlap is subtracted, and no slot crosses a local midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from catchup_contract.local_time import day_bounds, instant, local_date
from catchup_jobs.domain.stored_enums import Weekday

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from zoneinfo import ZoneInfo

MINIMUM_SLOT: Final = timedelta(minutes=30)
"""The shortest free slot."""
DEFAULT_START: Final = time(9)
"""The local time at which the open hours begin for a user who has named none."""
DEFAULT_END: Final = time(21)
"""The local time at which the open hours end for a user who has named none."""

_DAY: Final = timedelta(days=1)
_START: Final = attrgetter("start")
_WEEKDAYS: Final = tuple(Weekday)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A half-open interval of time, both ends aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("an interval's ends need a time zone")
        if self.start >= self.end:
            raise ValueError("an interval ends after it starts")


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """Wall-clock hours on one weekday. An end at or before the start is on the next day (`00:00`: midnight)."""

    weekday: Weekday
    start: time
    end: time


# The blocks of a user without any.
_ALWAYS = tuple(WeeklyWindow(day, DEFAULT_START, DEFAULT_END) for day in Weekday)


@dataclass(frozen=True, slots=True)
class Night:
    """Wall-clock hours of every night in which nothing is proposed; usually crosses midnight (22:00-07:00)."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("a night that starts when it ends would be the whole day")


@dataclass(frozen=True, slots=True)
class AvailabilityParameters:
    """What the user said about their time. Without blocks every day is open from `DEFAULT_START` to `DEFAULT_END`.

    Attributes:
        preferred: when the user would rather meet people, within the open hours.
    """

    blocks: tuple[WeeklyWindow, ...] = ()
    commutes: tuple[WeeklyWindow, ...] = ()
    night: Night | None = None
    preferred: tuple[WeeklyWindow, ...] = ()


def free_slots(
    parameters: AvailabilityParameters,
    busy: Iterable[Interval],
    zone: ZoneInfo,
    *,
    now: datetime,
    until: datetime,
) -> list[Interval]:
    """Return the slots of at least `MINIMUM_SLOT` in which the user is free, in order, between `now` and `until`.

    Args:
        parameters: the user's own hours (local wall time).
        busy: busy time from calendars, in any order, overlapping or not.
        zone: the user's zone, in which the hours and the days are meant.
        now: no slot starts before it (aware).
        until: no slot ends after it (aware).
    """
    if now >= until:
        return []
    hours = _opening_hours(parameters.blocks or _ALWAYS, zone, local_date(now, zone), local_date(until, zone))
    blocked = merge([*busy, *blocked_hours(parameters, zone, start=now, end=until)])
    clipped = (_clip(slot, now, until) for slot in subtract(hours, blocked))
    return [slot for slot in clipped if slot is not None and slot.end - slot.start >= MINIMUM_SLOT]


def blocked_hours(
    parameters: AvailabilityParameters, zone: ZoneInfo, *, start: datetime, end: datetime
) -> list[Interval]:
    """Return the commutes and nights around the stretch from start to end, in order, merged; not to be changed."""
    night = parameters.night
    nights = () if night is None else tuple(WeeklyWindow(day, night.start, night.end) for day in Weekday)
    first, last = local_date(start, zone), local_date(end, zone)
    return weekly_hours(parameters.commutes + nights, zone, first, last, generous=True)


# Many users of a zone have the same hours.
@lru_cache(maxsize=1024)
def weekly_hours(
    windows: tuple[WeeklyWindow, ...], zone: ZoneInfo, first: date, last: date, *, generous: bool = False
) -> list[Interval]:
    """Return the time of weekly windows from a local date to another, in order, merged; not to be changed.

    `generous` decides about an end that the clock shows twice: blocked time lasts to the second, open time only to
    the first, so that an ambiguous hour never counts as free. An end of midnight is the day boundary in both.
    """
    # Windows of the day before may reach past midnight into the first day.
    days = _days(first - _DAY, last)
    return merge(
        interval
        for day in days
        for window in windows
        if window.weekday is _WEEKDAYS[day.weekday()]
        for interval in _window(day, window.start, window.end, zone, generous=generous)
    )


def overlaps(interval: Interval, others: Iterable[Interval]) -> bool:
    """Return whether the interval shares time with any of the others."""
    return any(other.start < interval.end and interval.start < other.end for other in others)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as ordered intervals that neither overlap nor touch."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=_START):
        if not merged or merged[-1].end < interval.start:
            merged.append(interval)
        elif merged[-1].end < interval.end:
            merged[-1] = Interval(merged[-1].start, interval.end)
    return merged


def subtract(open_time: Iterable[Interval], blocked: Iterable[Interval]) -> Iterator[Interval]:
    """Yield the parts of each interval of `open_time` outside `blocked`; both ordered and without overlaps."""
    remaining = list(blocked)
    first = 0
    for interval in open_time:
        cursor = interval.start
        while first < len(remaining) and remaining[first].end <= cursor:
            first += 1
        index = first
        while index < len(remaining) and remaining[index].start < interval.end:
            block = remaining[index]
            if block.start > cursor:
                yield Interval(cursor, block.start)
            cursor = max(cursor, block.end)
            index += 1
        if cursor < interval.end:
            yield Interval(cursor, interval.end)


def all_day(start: date, end: date, zone: ZoneInfo) -> Interval:
    """Return the time that an all-day event covers in the user's zone; `end` is exclusive, as Google gives it."""
    return Interval(day_bounds(start, zone)[0], day_bounds(end, zone)[0])


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


@lru_cache(maxsize=1024)
def _opening_hours(windows: tuple[WeeklyWindow, ...], zone: ZoneInfo, first: date, last: date) -> list[Interval]:
    return list(_cut_at_midnights(weekly_hours(windows, zone, first, last), _days(first, last), zone))


def _window(day: date, start: time, end: time, zone: ZoneInfo, *, generous: bool) -> Iterator[Interval]:
    """Yield the window that starts on `day`, or nothing where the clock skips it whole."""
    last_day = day if end > start else day + _DAY
    begins = instant(day, start, zone)
    ends = instant(last_day, end, zone, later=generous and end != time.min)
    if begins < ends:
        yield Interval(begins, ends)


def _cut_at_midnights(hours: list[Interval], days: Iterable[date], zone: ZoneInfo) -> Iterator[Interval]:
    bounds = [day_bounds(day, zone) for day in days]
    index = 0
    for starts, ends in bounds:
        while index < len(hours) and hours[index].end <= starts:
            index += 1
        following = index
        while following < len(hours) and hours[following].start < ends:
            part = _clip(hours[following], starts, ends)
            if part is not None:
                yield part
            following += 1


def _clip(interval: Interval, low: datetime, high: datetime) -> Interval | None:
    if low <= interval.start and interval.end <= high:
        return interval
    start, end = max(interval.start, low), min(interval.end, high)
    return Interval(start, end) if start < end else None
