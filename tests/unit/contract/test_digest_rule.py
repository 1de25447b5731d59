"""Which date a digest is for: one each, through gaps, folds, late pods and edited schedules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchup_contract.digest_rule import (
    LATEST,
    DigestDay,
    DigestTime,
    Occurrence,
    is_last_firing,
    is_quiet,
    occurrence_by_hand,
    occurrence_of_slot,
)
from catchup_contract.local_time import is_time_zone, local_date

# Of the profile that pytest was started with.
EXAMPLES = settings().max_examples
ZONES = sorted(name for name in available_timezones() if is_time_zone(name))
zones = st.sampled_from(ZONES).map(ZoneInfo)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
days = st.sampled_from(DigestDay)
dates = st.dates(date(2024, 1, 1), date(2037, 12, 31))
instants = st.integers(1_704_067_200, 2_145_916_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
digest_times = st.builds(DigestTime, zones, days, times)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def digest_time(zone: str, day: str, clock: str) -> DigestTime:
    return DigestTime(ZoneInfo(zone), DigestDay(day), time.fromisoformat(clock))


BERLIN_SUNDAY_NINE = digest_time("Europe/Berlin", "Sunday", "09:00")


@pytest.mark.parametrize(
    ("slot", "due"),
    [
        ("2026-11-29 08:00", "2026-11-29"),  # the due time itself
        ("2026-11-29 09:00", "2026-11-29"),  # the firings an hour and three hours later
        ("2026-11-29 11:00", "2026-11-29"),
        ("2026-11-29 12:00", "2026-11-29"),  # four hours after: the last moment
        ("2026-11-29 12:01", None),
        ("2026-11-29 07:59", None),
        ("2026-11-28 08:00", None),  # a Saturday
    ],
)
def test_a_slot_serves_the_latest_due_instant_up_to_four_hours_before_it(slot: str, due: str | None) -> None:
    found = occurrence_of_slot(at(slot), BERLIN_SUNDAY_NINE)
    assert (found.due_date.isoformat() if found else None) == due


def test_the_due_date_is_the_slots_not_that_of_now() -> None:
    late_evening = digest_time("Europe/Berlin", "Sunday", "23:50")
    found = occurrence_of_slot(at("2026-11-29 22:50"), late_evening)
    assert found == Occurrence(date(2026, 11, 29), at("2026-11-29 22:50"))
    after_midnight = occurrence_of_slot(at("2026-11-29 23:50"), late_evening)
    assert after_midnight == found


def test_a_digest_by_hand_serves_today_on_the_schedules_clock() -> None:
    assert occurrence_by_hand(at("2026-11-28 23:30"), BERLIN_SUNDAY_NINE) == Occurrence(date(2026, 11, 29), None)


@pytest.mark.parametrize(
    ("zone", "clock", "day", "due"),
    [
        ("America/New_York", "02:30", "2026-03-08", "2026-03-08 07:00"),  # a skipped time is the moment of the jump
        ("America/New_York", "01:30", "2026-11-01", "2026-11-01 05:30"),  # the first of the two
        ("Asia/Beirut", "09:00", "2026-03-29", "2026-03-29 06:00"),  # the date that the CronJob controller loses
        ("Asia/Beirut", "00:30", "2026-03-29", "2026-03-28 22:00"),  # a gap at midnight
        ("Africa/Cairo", "09:00", "2026-04-24", "2026-04-24 06:00"),
        ("Australia/Lord_Howe", "09:15", "2026-10-04", "2026-10-03 22:15"),  # a gap of half an hour
        ("America/Nuuk", "23:30", "2026-03-28", "2026-03-29 01:00"),  # a gap that ends the date
        ("Antarctica/Troll", "02:00", "2026-03-29", "2026-03-29 01:00"),  # a gap of two hours
    ],
)
def test_a_due_date_is_never_lost_to_a_change_of_clocks(zone: str, clock: str, day: str, due: str) -> None:
    when = digest_time(zone, "Daily", clock)
    assert when.due_on(date.fromisoformat(day)) == at(due)
    found = occurrence_of_slot(at(due), when)
    assert found is not None
    assert found.due_date.isoformat() == day


def test_a_date_that_its_zone_skips_whole_has_no_digest() -> None:
    samoa = digest_time("Pacific/Apia", "Daily", "09:00")
    assert samoa.due_on(date(2011, 12, 30)) is None
    assert samoa.due_on(date(2011, 12, 31)) == at("2011-12-30 19:00")


@given(dates, digest_times)
@settings(max_examples=5 * EXAMPLES)
def test_the_slot_at_a_due_instant_serves_that_date(day: date, when: DigestTime) -> None:
    due = when.due_on(day)
    if due is not None:
        assert occurrence_of_slot(due, when) == Occurrence(day, due)


@given(instants, digest_times)
@settings(max_examples=5 * EXAMPLES)
def test_a_slot_serves_a_date_that_fell_due_at_most_four_hours_before_it_and_no_later_one(
    slot: datetime, when: DigestTime
) -> None:
    found = occurrence_of_slot(slot, when)
    around = [local_date(slot, when.zone) + timedelta(days=offset) for offset in range(-3, 4)]
    instants = {day: when.due_on(day) for day in around}
    served = [due for due in instants.values() if due is not None and slot - LATEST <= due <= slot]
    if found is None:
        assert served == []
    else:
        assert found.due_at == max(served)
        assert instants[found.due_date] == found.due_at


@given(dates, digest_times)
@settings(max_examples=2 * EXAMPLES)
def test_two_dates_of_a_schedule_never_fall_due_at_once(day: date, when: DigestTime) -> None:
    due, following = when.due_on(day), when.due_on(day + timedelta(days=1))
    assert due is None or following is None or due < following


@given(dates, times, zones, zones)
@settings(max_examples=2 * EXAMPLES)
def test_a_zone_moved_across_the_date_line_repeats_a_date_or_leaves_one_out_but_names_it_by_its_own_clock(
    day: date, clock: time, before: ZoneInfo, after: ZoneInfo
) -> None:
    # Two schedules that fire at different instants for one date: the date is what the database holds unique.
    first, second = (DigestTime(zone, DigestDay.DAILY, clock) for zone in (before, after))
    for when in (first, second):
        due = when.due_on(day)
        assert due is not None
        found = occurrence_of_slot(due, when)
        assert found is not None
        assert found.due_date == day


@pytest.mark.parametrize(("minutes", "late"), [(0, False), (240, False), (241, True)])
def test_more_than_four_hours_after_the_due_time_is_late(minutes: int, late: bool) -> None:
    occurrence = Occurrence(date(2026, 11, 29), at("2026-11-29 08:00"))
    assert occurrence.is_late(at("2026-11-29 08:00") + timedelta(minutes=minutes)) is late


def test_a_digest_by_hand_is_never_late() -> None:
    assert not Occurrence(date(2026, 11, 29), None).is_late(at("2026-11-29 23:00"))


@pytest.mark.parametrize(
    ("chosen", "now", "quiet"),
    [
        ("09:00", "2026-11-29 08:00", False),
        ("19:00", "2026-11-29 20:30", True),  # 21:30 in Berlin, after an outage
        ("07:30", "2026-11-29 06:30", False),  # chosen
        ("22:00", "2026-11-29 22:05", False),  # chosen; the firing an hour later
        ("22:00", "2026-11-30 00:00", True),  # 01:00 in Berlin was not
        ("20:59", "2026-11-29 20:01", False),  # 21:01: the pod needed two minutes
        ("20:59", "2026-11-29 21:00", True),
        ("18:00", "2026-11-29 19:59", False),
        ("18:00", "2026-11-29 20:00", True),
    ],
)
def test_no_sms_disturbs_between_21_and_8_unless_the_user_chose_that_time(chosen: str, now: str, quiet: bool) -> None:
    when = digest_time("Europe/Berlin", "Sunday", chosen)
    due = when.due_on(date(2026, 11, 29))
    assert is_quiet(at(now), when, Occurrence(date(2026, 11, 29), due)) is quiet


@pytest.mark.parametrize(
    ("chosen", "now", "last"),
    [
        ("09:00", "09:00", False),
        ("09:00", "10:30", False),
        ("09:00", "12:00", True),
        ("22:30", "22:30", False),
        ("22:30", "23:30", True),  # the second follow-up would be after midnight
        ("23:30", "23:30", True),
    ],
)
def test_the_last_firing_of_a_date_is_the_last_follow_up_before_midnight(chosen: str, now: str, last: bool) -> None:
    when = digest_time("Europe/Berlin", "Sunday", chosen)
    occurrence = Occurrence(date(2026, 11, 29), datetime.fromisoformat(f"2026-11-29T{chosen}+01:00"))
    assert is_last_firing(datetime.fromisoformat(f"2026-11-29T{now}+01:00"), when, occurrence) is last


def test_a_digest_by_hand_has_no_last_firing() -> None:
    assert not is_last_firing(at("2026-11-29 23:59"), BERLIN_SUNDAY_NINE, Occurrence(date(2026, 11, 29), None))


def test_a_digest_by_hand_at_night_is_quiet_too() -> None:
    by_hand = Occurrence(date(2026, 11, 29), None)
    assert is_quiet(at("2026-11-29 22:00"), BERLIN_SUNDAY_NINE, by_hand)
    assert not is_quiet(at("2026-11-29 12:00"), BERLIN_SUNDAY_NINE, by_hand)


@pytest.mark.parametrize(
    ("chosen", "now", "quiet"),
    [
        ("07:30", "2026-11-29 00:21", True),  # somebody else pressed a button
        ("07:30", "2026-11-29 07:29", True),
        ("07:30", "2026-11-29 07:31", False),
        ("07:30", "2026-12-01 07:31", False),  # any day at that time
        ("07:30", "2026-11-29 23:00", True),
        ("23:30", "2026-11-30 00:21", False),  # soon after it, though on the next date
        ("23:30", "2026-11-30 01:00", True),
        ("09:00", "2026-11-29 22:00", True),
        ("20:59", "2026-11-29 21:05", False),
        ("20:59", "2026-11-29 21:30", True),
    ],
)
def test_a_digest_by_hand_comes_at_night_only_when_the_users_own_time_has_come(
    chosen: str, now: str, quiet: bool
) -> None:
    by_hand = Occurrence(date(2026, 11, 29), None)
    local = datetime.fromisoformat(f"{now}+01:00")
    assert is_quiet(local, digest_time("Europe/Berlin", "Sunday", chosen), by_hand) is quiet


@given(digest_times, st.integers(0, 240), st.uuids().map(str))
def test_a_spread_time_is_in_the_window_on_the_same_date_and_not_at_night_unless_the_chosen_one_is(
    when: DigestTime, window: int, user: str
) -> None:
    found = when.spread("digest", user, window)
    assert (found.zone, found.day) == (when.zone, when.day)
    assert when.minute <= found.minute <= when.minute + max(0, window - 1)
    assert found.minute < 24 * 60
    assert found.at < time(21) or when.at >= time(21)
    assert when.spread("digest", user, window) == found
    assert window > 1 or found == when


def test_users_are_spread_evenly_over_the_window() -> None:
    minutes = Counter(BERLIN_SUNDAY_NINE.spread("digest", f"user-{number}", 60).minute for number in range(6000))
    assert set(minutes) == set(range(540, 600))
    assert max(minutes.values()) < 150


@pytest.mark.parametrize(
    ("clock", "first", "last"),
    [
        ("20:50", "20:50", "20:59"),
        ("20:59", "20:59", "20:59"),
        ("21:00", "21:00", "21:59"),
        ("23:30", "23:30", "23:59"),
    ],
)
def test_the_window_ends_with_the_evening_and_with_the_day(clock: str, first: str, last: str) -> None:
    when = digest_time("Etc/UTC", "Daily", clock)
    found = {when.spread("digest", f"user-{number}", 60).at for number in range(3000)}
    assert (f"{min(found):%H:%M}", f"{max(found):%H:%M}") == (first, last)


@pytest.mark.parametrize(("clock", "minutes"), [("09:00", [540, 600, 720]), ("21:30", [1290, 1350]), ("23:10", [1390])])
def test_follow_ups_come_one_and_three_hours_later_but_not_after_midnight(clock: str, minutes: list[int]) -> None:
    assert digest_time("Europe/Berlin", "Daily", clock).firing_minutes() == minutes


@given(digest_times, instants)
def test_due_times_come_in_order_and_later_than_now(when: DigestTime, now: datetime) -> None:
    due = list(islice(when.due_after(now), 4))
    assert now < due[0]
    assert all(one < other for one, other in pairwise(due))
    days = 1 if when.day is DigestDay.DAILY else 7
    assert due[0] - now <= timedelta(days=days, hours=2)
    assert all(
        timedelta(days=days, hours=-2) <= other - one <= timedelta(days=days, hours=2) for one, other in pairwise(due)
    )


@given(digest_times, instants)
def test_a_date_is_due_at_its_local_day_and_time_unless_the_clock_skips_it(when: DigestTime, now: datetime) -> None:
    due = next(when.due_after(now))
    local = due.astimezone(when.zone)
    before = (due - timedelta(seconds=1)).astimezone(when.zone)
    skipped = local.replace(tzinfo=None) - before.replace(tzinfo=None) > timedelta(seconds=1)
    assert skipped or (local.time() == when.at and when.day.is_on(local.date()))


@given(digest_times, instants)
def test_firings_come_in_order_and_each_serves_its_due_date(when: DigestTime, now: datetime) -> None:
    firings = list(islice(when.firings_after(now), 12))

    assert all(now < firing for firing in firings)
    assert all(earlier < later for earlier, later in pairwise(firings))
    for firing in firings:
        occurrence = occurrence_of_slot(firing, when)
        assert occurrence is not None
        assert occurrence.due_at is not None
        assert firing in when.firings_of(occurrence.due_at)
    dues = [due for due in islice(when.due_after(now), 3) if due <= firings[-1]]
    assert set(dues) <= set(firings)


@given(digest_times, instants)
def test_the_latest_firing_is_the_one_before_the_next(when: DigestTime, now: datetime) -> None:
    latest = when.latest_firing(now)

    assert latest is not None
    assert latest <= now
    assert next(when.firings_after(latest)) > now
    assert next(when.firings_after(latest - timedelta(seconds=1))) == latest


def test_a_date_that_was_due_before_the_schedule_was_made_has_no_firing() -> None:
    since = replace(BERLIN_SUNDAY_NINE, since=at("2026-11-29 08:30"))

    assert since.latest_firing(at("2026-11-29 09:31")) is None
    assert next(since.firings_after(at("2026-11-29 08:31"))) == at("2026-12-06 08:00")


def test_a_time_that_is_skipped_with_the_end_of_its_date_has_no_follow_ups_as_its_cronjob_has_none() -> None:
    nuuk = DigestTime(ZoneInfo("America/Nuuk"), DigestDay.DAILY, time(23))
    due = nuuk.due_on(date(2026, 3, 28))
    assert due == datetime(2026, 3, 29, 1, tzinfo=UTC), "at the jump, from 23:00 to midnight"
    assert nuuk.firings_of(due) == [due]
    assert is_last_firing(due, nuuk, Occurrence(date(2026, 3, 28), due))
