"""No due date of a digest is lost to a clock: held against the CronJob controller's own cron library.

The library has zone data of another year than the product. Over all IANA zones (those with the same clock count once)
and all their jumps from the year of the product's zone data to 2037. A sample of the times of day here; every quarter
of an hour with `make test-due-dates` (or CATCHUP_ALL_DUE_DATES=1).
"""

from __future__ import annotations

import os
import zoneinfo
from collections.abc import Iterator
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

import cron_oracle
import pytest
from cron_oracle import Firings
from samples import IN_FULL

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.kinds import DIGEST
from catchup_contract.local_time import is_time_zone
from catchup_jobs.domain.placement.job_slots import When, slots_of
from catchup_operator.schedule.clock_changes import FIRST, LAST, jumps, offsets
from catchup_operator.schedule.cron import local_time_schedule

# On one worker: what is computed for a zone is cached.
pytestmark = [pytest.mark.xdist_group("due-dates"), pytest.mark.usefixtures("zones_of_the_images")]

EVERYTHING = "CATCHUP_ALL_DUE_DATES" in os.environ
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
_SAMPLE = ("00:00", "02:30", "09:00", "12:15", "22:30", "23:59")
# Due dates within this distance of a jump are checked, in days.
_AROUND = 3 if EVERYTHING else 1


def zones() -> list[str]:
    return sorted(filter(is_time_zone, zoneinfo.available_timezones()))


def clocks() -> list[str]:
    """One zone for each clock that differs from the others between FIRST and LAST."""
    found: dict[object, str] = {}
    for zone in zones():
        found.setdefault((offsets(zone), jumps(zone)), zone)
    return list(found.values())


def times_of_day(zone: str) -> set[str]:
    """The times at which a digest is tried in a zone: also those at, in and around what its jumps skip or repeat."""
    minutes = {15 * quarter for quarter in range(96)} if EVERYTHING else set()
    for jump in jumps(zone):
        for offset in (jump.before, jump.after):
            edge = jump.at + offset * MINUTE
            steps = (-60, -1, 0, 1, 30) if EVERYTHING else (-1, 0)
            minutes |= {(edge.hour * 60 + edge.minute + step) % 1440 for step in steps}
    return {f"{minute // 60:02}:{minute % 60:02}" for minute in minutes} | set(_SAMPLE)


def due_dates(zone: str, day: str) -> Iterator[date]:
    """The dates of a digest that are near a jump."""
    near = {
        (jump.at + offset * MINUTE).date() + distance * DAY
        for jump in jumps(zone)
        for offset in (jump.before, jump.after)
        for distance in range(-_AROUND, _AROUND + 1)
    }
    return (found for found in sorted(near) if day in {"Daily", list(DigestDay)[found.weekday()]})


def digest(zone: str, day: str, at: str) -> DigestTime:
    return DigestTime(ZoneInfo(zone), DigestDay(day), time.fromisoformat(at))


def due_times(times: DigestTime) -> list[int]:
    """When the digests near a jump are due by the rule that operator and jobs share."""
    due = map(times.due_on, due_dates(times.zone.key, times.day))
    return [int(instant.timestamp()) for instant in due if instant is not None]


def cases() -> Iterator[DigestTime]:
    for zone in clocks():
        for day in DigestDay if EVERYTHING else ("Daily", "Sunday"):
            for at in sorted(times_of_day(zone)):
                if any(due_dates(zone, day)):
                    yield digest(zone, day, at)


def test_a_digest_fires_at_the_very_instant_at_which_each_date_is_due() -> None:
    tried = list(cases())
    schedules = map(local_time_schedule, tried)
    asked = [Firings(schedule, due_times(times)) for schedule, times in zip(schedules, tried, strict=True)]
    leads = cron_oracle.ALL_LEADS if EVERYTHING else cron_oracle.LEADS
    lost = {times: found for times, found in zip(tried, cron_oracle.missed(asked, leads), strict=True) if found}
    assert not lost, list(lost.items())[:5]
    assert sum(len(case.due) for case in asked) > 20_000


@pytest.mark.sampled
def test_a_pool_serves_the_slots_of_a_cronjob_of_the_users_own_none_lost_and_none_doubled() -> None:
    """Around each jump of each clock: what a pool finds one after the other, held against the controller's library."""
    tried = list(cases())[:: 10 if EVERYTHING else 5 if IN_FULL else 31]
    asked = []
    for times in tried:
        slots, firings = slots_of(DIGEST, "ada", When(times.zone.key, times.day, times.at, None, "30m")), []
        for jump in jumps(times.zone.key):
            begin, end = jump.at - 2 * DAY, jump.at + 2 * DAY
            found, at = [], begin
            while (at := slots.after(at)) <= end:
                found.append(at)
                assert slots.latest(at) == slots.latest(at + MINUTE / 2) == at
            first = (begin - DAY).date()
            due = (times.due_on(first + n * DAY) for n in range(7))
            expected = sorted(firing for each in due if each is not None for firing in times.firings_of(each))
            assert found == [firing for firing in expected if begin < firing <= end], (times, jump)
            firings += [int(firing.timestamp()) for firing in found]
        asked.append(Firings(local_time_schedule(times), sorted(set(firings))))
    lost = {times: missed for times, missed in zip(tried, cron_oracle.missed(asked), strict=True) if missed}
    # Its clock jumps by two hours: of a time that is skipped, the last follow-up of the CronJob is at another minute.
    assert {times.zone.key for times in lost} <= {"Antarctica/Troll"}, list(lost.items())[:5]
    assert sum(len(case.due) for case in asked) > 2_000


@pytest.mark.parametrize(
    ("zone", "day", "at", "first", "dates"),
    [
        # Zone data of 2025 sets its clock an hour forward, that of 2026 does not any more.
        ("Africa/Casablanca", "Daily", "23:30", date(2026, 12, 1), 28),
        # Its clock is not set back any more.
        ("America/Vancouver", "Daily", "09:00", date(2026, 12, 1), 28),
        # What zone data of the same year would lose, too: a skipped midnight, a jump of half an hour.
        ("Asia/Beirut", "Sunday", "09:00", date(2027, 3, 28), 1),
        ("Australia/Lord_Howe", "Daily", "09:00", date(2027, 10, 3), 1),
    ],
)
def test_the_controller_would_miss_these_dates_in_the_users_own_zone(
    zone: str, day: str, at: str, first: date, dates: int
) -> None:
    """The reason for schedules in UTC, and the proof that the library was asked with other zone data than ours."""
    times = digest(zone, day, at)
    due = [int(found.timestamp()) for n in range(dates) if (found := times.due_on(first + n * DAY)) is not None]
    in_the_users_zone = Firings(f"{times.at.minute} {times.at.hour} * * {0 if day == 'Sunday' else '*'}", due, zone)
    in_utc = Firings(local_time_schedule(times), due)
    assert cron_oracle.missed([in_the_users_zone, in_utc]) == [due, []]
    assert len(due) == dates


def test_no_zone_has_an_offset_that_is_not_of_whole_minutes() -> None:
    """Before the 1970s zones had seconds; a cron expression has none."""
    found = cron_oracle.transitions(zones(), int(FIRST.timestamp()), int(LAST.timestamp()))
    assert {offset % 60 for jumps in found for _, *offsets in jumps for offset in offsets} == {0}


def test_the_jumps_found_by_probing_are_those_of_the_zone_database() -> None:
    names = zones()
    assert len(names) > 590
    by_go = cron_oracle.transitions(names, int(FIRST.timestamp()), int(LAST.timestamp()))
    for zone, found in zip(names, by_go, strict=True):
        ours = [(int(jump.at.timestamp()), jump.before * 60, jump.after * 60) for jump in jumps(zone)]
        assert ours == found, zone


@pytest.mark.parametrize("zone", ["Asia/Beirut", "America/New_York", "Australia/Lord_Howe"])
def test_a_digest_that_could_not_be_sent_gets_a_second_and_a_third_chance_within_four_hours(zone: str) -> None:
    times = digest(zone, "Sunday", "09:00")
    due = times.due_on(date(2026, 3, 29))
    assert due is not None
    start = int(due.timestamp())
    (fired,) = cron_oracle.fires([(local_time_schedule(times), start - 1, start + 4 * 3600)])
    assert {start, start + 3600, start + 3 * 3600} <= set(fired)


def test_follow_ups_stop_at_the_local_midnight_that_ends_the_due_date() -> None:
    for at, expected in (("20:59", "59 13,14,16 * * 0"), ("21:00", "0 14,15 * * 0"), ("23:00", "0 16 * * 0")):
        assert local_time_schedule(digest("Asia/Bangkok", "Sunday", at)) == expected
