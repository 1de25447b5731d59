"""The 228 schedules of docs/time.md: what becomes of each due date, by the controller's cron library and our job.

When a date is due is computed from Go's list of jumps, not by our own rule. Here the days around each jump; every day
with CATCHUP_ALL_DUE_DATES=1 (a few minutes).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import cron_oracle
import pytest

from catchup_contract.digest_rule import DigestDay, DigestTime, occurrence_of_slot
from catchup_operator.schedule.clock_changes import FIRST, LAST
from catchup_operator.schedule.cron import local_time_schedule

# With the other tests that read the zones from PyPI's tzdata.
pytestmark = [pytest.mark.xdist_group("due-dates"), pytest.mark.usefixtures("zones_of_the_images")]

EVERYTHING = "CATCHUP_ALL_DUE_DATES" in os.environ
ZONES = (
    *("Asia/Beirut", "Africa/Cairo", "Australia/Lord_Howe", "America/New_York", "America/Havana", "America/Asuncion"),
    *("America/Santiago", "Antarctica/Troll", "America/Nuuk", "America/Scoresbysund", "Europe/London"),
    *("Asia/Kathmandu", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca", "Asia/Gaza", "Asia/Tehran"),
    *("Atlantic/Azores", "Europe/Dublin"),
)
TIMES = ("00:00", "00:15", "01:30", "02:30", "09:00", "23:45")
DAYS = (DigestDay.DAILY, DigestDay.SUNDAY)
_DAY = 86_400
_FIRST, _LAST = int(FIRST.timestamp()), int(LAST.timestamp())

Transition = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """The columns of the table."""

    lost: int
    doubled: int
    late_or_wrong_day: int
    schedules_affected: int


def test_each_date_of_the_peers_schedules_is_served_once_at_its_due_instant() -> None:
    clocks = dict(zip(ZONES, cron_oracle.transitions(ZONES, 0, _LAST), strict=True))
    schedules = [DigestTime(ZoneInfo(z), day, time.fromisoformat(at)) for z in ZONES for at in TIMES for day in DAYS]
    assert len(schedules) == 228

    asked = [(when, span) for when in schedules for span in spans(clocks[when.zone.key])]
    fired = cron_oracle.fires((local_time_schedule(when), begin, end) for when, (begin, end) in asked)
    lost = doubled = elsewhen = dates = 0
    affected = set()
    for (when, (begin, end)), slots in zip(asked, fired, strict=True):
        expected = dict(due_dates(when, clocks[when.zone.key], begin, end))
        served = serve(when, slots, begin)
        wrong = {day for day, at in served if expected.get(day) != at}
        missing = expected.keys() - {day for day, _ in served}
        again = len(served) - len({day for day, _ in served})
        lost, doubled, elsewhen = lost + len(missing), doubled + again, elsewhen + len(wrong)
        dates += len(expected)
        if missing or again or wrong:
            affected.add(when)
    print(f"\n{dates} due local dates: {Row(lost, doubled, elsewhen, len(affected))}")
    assert Row(lost, doubled, elsewhen, len(affected)) == Row(0, 0, 0, 0)
    days = (LAST.date() - FIRST.date()).days
    sundays = sum((FIRST.date() + timedelta(days=n)).weekday() == 6 for n in range(days))
    assert dates == 114 * (days + sundays) if EVERYTHING else dates > 9_000


def spans(transitions: list[Transition]) -> Iterator[tuple[int, int]]:
    """The stretches of time that are looked at, as Unix times: four days about each jump, or all."""
    if EVERYTHING:
        yield _FIRST - _DAY, _LAST + _DAY
        return
    for at, *_ in transitions:
        if at > _FIRST + 2 * _DAY:
            yield at - 2 * _DAY, at + 2 * _DAY


def due_dates(when: DigestTime, transitions: list[Transition], begin: int, end: int) -> Iterator[tuple[date, int]]:
    """The dates of a schedule that fall due after `begin` and not after `end`, and when, by Go's list of jumps."""
    since = max((at for at, *_ in transitions if at < begin - 3 * _DAY), default=0)
    transitions = [found for found in transitions if since <= found[0] < end + 3 * _DAY]
    bounds = [*transitions, (end + 3 * _DAY, 0, 0)]
    for days in range(begin // _DAY - 2, end // _DAY + 2):
        day = datetime.fromtimestamp(days * _DAY, UTC).date()
        if when.day is DigestDay.SUNDAY and day.weekday() != 6:
            continue
        local = days * _DAY + when.minute * 60
        shown = [
            local - offset for (since, _, offset), (until, _, _) in pairwise(bounds) if since <= local - offset < until
        ]
        skipped_at = [at for at, before, after in transitions if at + before <= local < at + after]
        (due, *_) = [*shown, *skipped_at]
        if begin < due <= end and is_counted(day):
            yield day, due


def serve(when: DigestTime, slots: list[int], begin: int) -> list[tuple[date, int]]:
    """The dates that the job serves at these slots, each with the first slot of its due instant."""
    served: dict[tuple[date, datetime | None], int] = {}
    for slot in slots:
        occurrence = occurrence_of_slot(datetime.fromtimestamp(slot, UTC), when)
        # At its first slots a stretch of time sees follow-ups of a date from before.
        if occurrence is None or occurrence.due_at is None or occurrence.due_at.timestamp() <= begin:
            continue
        if is_counted(occurrence.due_date):
            served.setdefault((occurrence.due_date, occurrence.due_at), slot)
    return [(day, slot) for (day, _), slot in served.items()]


def is_counted(day: date) -> bool:
    return FIRST.date() <= day < LAST.date()
