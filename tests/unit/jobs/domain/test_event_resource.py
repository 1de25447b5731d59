"""Google's event resource; expected values come from RFC 3339, RFC 5545 and Google's discovery document."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.jobs.domain.google_schema import GENERATED_EVENTS

from catchup_jobs.domain.calendar.event_resource import read_event
from catchup_jobs.domain.calendar.events import (
    AllDaySpan,
    CalendarEvent,
    TimedSpan,
    Tombstone,
    UnreadableEvent,
    overlaps,
    reconcile,
)
from catchup_jobs.domain.calendar.sync_window import Window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=1), NOW + timedelta(days=45))


def resource(**fields: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "status": "confirmed",
        "start": {"dateTime": "2026-11-24T10:00:00+01:00"},
        "end": {"dateTime": "2026-11-24T11:00:00+01:00"},
        **fields,
    }


def read(**fields: Any) -> CalendarEvent:
    found = read_event(resource(**fields))
    assert isinstance(found, CalendarEvent)
    return found


def test_times_with_an_offset_become_utc() -> None:
    span = read().span
    assert span == TimedSpan(datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 24, 10, tzinfo=UTC))


def test_a_time_without_an_offset_is_meant_in_its_own_zone() -> None:
    when = {"dateTime": "2026-07-01T10:00:00", "timeZone": "Europe/Berlin"}
    assert read(start=when, end=when).span == TimedSpan(
        datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 8, tzinfo=UTC)
    )


def test_an_all_day_event_keeps_its_dates() -> None:
    found = read(start={"date": "2026-11-24"}, end={"date": "2026-11-26"})
    assert found.span == AllDaySpan(date(2026, 11, 24), date(2026, 11, 26))


def test_what_later_jobs_need_is_kept() -> None:
    found = read(
        summary="Climbing",
        description="with Bo",
        location="Hall",
        eventType="default",
        recurringEventId="series",
        originalStartTime={"dateTime": "2026-11-24T10:00:00+01:00"},
        iCalUID="e1@google.com",
        etag='"1"',
        updated="2026-11-20T08:00:00.000Z",
    )
    assert (found.summary, found.description, found.location) == ("Climbing", "with Bo", "Hall")
    assert (found.event_type, found.recurring_event_id, found.ical_uid) == ("default", "series", "e1@google.com")
    assert (found.original_start, found.etag) == ("2026-11-24T10:00:00+01:00", '"1"')
    assert found.updated_at == datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize("fields", [{}, {"start": None, "end": None, "summary": "gone"}])
def test_a_cancelled_event_is_a_tombstone_even_with_only_an_id(fields: dict[str, Any]) -> None:
    assert read_event({"id": "e1", "status": "cancelled", **fields}) == Tombstone("e1")


@pytest.mark.parametrize(
    ("fields", "busy"),
    [
        ({}, True),
        ({"transparency": "opaque"}, True),
        ({"transparency": "transparent"}, False),
        ({"status": "tentative"}, True),
        ({"attendees": [{"self": True, "responseStatus": "declined"}]}, False),
        ({"attendees": [{"self": True, "responseStatus": "needsAction"}]}, True),
        ({"attendees": [{"responseStatus": "declined"}, {"self": True, "responseStatus": "accepted"}]}, True),
        ({"eventType": "outOfOffice"}, True),
        ({"eventType": "workingLocation", "transparency": "transparent"}, False),
        ({"start": {"date": "2026-11-24"}, "end": {"date": "2026-11-25"}}, True),
        ({"start": {"date": "2026-11-24"}, "end": {"date": "2026-11-25"}, "transparency": "transparent"}, False),
    ],
)
def test_busy_is_opaque_and_not_declined_by_the_user(fields: dict[str, Any], busy: bool) -> None:
    assert read(**fields).busy is busy


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"hangoutLink": "https://meet.google.com/abc-defg-hij"}, True),
        ({"conferenceData": {"entryPoints": [{"entryPointType": "video"}]}}, True),
        ({"conferenceData": {"entryPoints": []}}, False),
        ({"conferenceData": {}}, False),
        ({"conferenceData": 5, "hangoutLink": None}, False),
        ({"conferenceData": {"entryPoints": {}}}, False),
    ],
)
def test_a_conference_is_a_meet_link_or_an_entry_point(fields: dict[str, Any], expected: bool) -> None:
    assert read(**fields).has_conference is expected


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# Examples of RFC 3339, section 5.8, and what its grammar (5.6) admits beside them.
TIMES = [
    ("1985-04-12T23:20:50.52Z", at("1985-04-12T23:20:50.520000+00:00")),
    ("1996-12-19T16:39:57-08:00", at("1996-12-20T00:39:57+00:00")),
    ("1990-12-31T23:59:60Z", at("1991-01-01T00:00:00+00:00")),
    ("1990-12-31T15:59:60-08:00", at("1991-01-01T00:00:00+00:00")),
    ("1937-01-01T12:00:27.87+00:20", at("1937-01-01T11:40:27.870000+00:00")),
    ("2026-11-24t10:00:00z", at("2026-11-24T10:00:00+00:00")),
    ("2026-11-24T10:00:00.123456789Z", at("2026-11-24T10:00:00.123456+00:00")),
    ("2026-11-24T10:00:00-00:00", at("2026-11-24T10:00:00+00:00")),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_a_time_is_read_as_rfc_3339_has_it(text: str, expected: datetime) -> None:
    assert read(start={"dateTime": text}, end={"dateTime": text}).span == TimedSpan(expected, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("America/New_York", "2026-11-24T15:00:00+00:00"),
        ("GMT-05:00", "2026-11-24T15:00:00+00:00"),
        ("GMT+5:30", "2026-11-24T04:30:00+00:00"),
        ("UTC+0100", "2026-11-24T09:00:00+00:00"),
    ],
)
def test_a_zone_counts_where_the_time_has_no_offset(name: str, expected: str) -> None:
    when = {"dateTime": "2026-11-24T10:00:00", "timeZone": name}
    assert read(start=when, end=when).span == TimedSpan(at(expected), at(expected))


@pytest.mark.parametrize(
    "zone", ["Europe", "A" * 5000, "GMT-05:00", "Mars/Olympus", "../etc", "\x00", "", 5, None, {}, []]
)
def test_a_zone_beside_an_offset_decides_nothing(zone: object) -> None:
    when = {"dateTime": "2026-11-24T10:00:00+01:00", "timeZone": zone}
    assert read(start=when).span == read().span


ONE_DAY = AllDaySpan(date(2026, 11, 24), date(2026, 11, 25))
NO_LENGTH = TimedSpan(at("2026-11-24T09:00:00+00:00"), at("2026-11-24T09:00:00+00:00"))


# RFC 5545, section 3.6.1: without DTEND an event of a DATE takes one day, one of a DATE-TIME ends when it starts.
@pytest.mark.parametrize("end", [None, {}, {"date": None}, {"timeZone": "Europe/Berlin"}, {"date": "2026-11-24"}])
def test_an_all_day_event_without_end_or_length_takes_a_day(end: object) -> None:
    assert read(start={"date": "2026-11-24"}, end=end).span == ONE_DAY
    assert read(start={"date": "2026-11-24", "dateTime": None}, end=end).span == ONE_DAY


@pytest.mark.parametrize("end", [None, {}, {"dateTime": None}])
def test_a_timed_event_without_an_end_has_no_length(end: object) -> None:
    assert read(end=end).span == NO_LENGTH
    without = resource()
    del without["end"]
    found = read_event(without)
    assert isinstance(found, CalendarEvent)
    assert found.span == NO_LENGTH


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize(
    "fields",
    [
        {"start": {"date": "0001-01-01"}, "end": {"date": "9999-12-31"}},
        {"start": {"date": "2026-11-24"}, "end": {"date": "9999-12-31"}},
        {"start": {"dateTime": "0001-01-01T00:00:00+14:00"}, "end": {"dateTime": "9999-12-31T23:59:59-12:00"}},
        {"start": {"dateTime": "0001-01-01T00:00:00Z"}, "end": {"dateTime": "9999-12-31T23:59:59Z"}},
        {"start": {"dateTime": "0001-01-01T00:00:00Z"}, "end": {"dateTime": "9999-12-31T23:59:60-12:00"}},
    ],
    ids=str,
)
def test_an_event_for_ever_blocks_now_in_every_zone(fields: dict[str, Any], zone: str) -> None:
    assert overlaps(read(**fields), WINDOW, ZoneInfo(zone))


NOTHING_DECIDED: list[dict[str, Any]] = [
    {"status": "postponed"},
    {"status": 5},
    {"updated": "yesterday"},
    {"updated": "0001-01-01T00:00:00+01:00"},
    {"updated": "0000-00-00T00:00:00Z"},
    {"updated": "2026-11-20T08:00:00"},
    {"updated": 5},
    {"summary": ["secret title"]},
    {"description": 5},
    {"location": {}},
    {"attendees": 5},
    {"attendees": "x"},
    {"attendees": {"self": True, "responseStatus": "declined"}},
    {"attendees": [5, None, [], {"self": "true", "responseStatus": "declined"}, {"responseStatus": []}]},
    {"transparency": 5},
    {"originalStartTime": 5},
    {"originalStartTime": {"dateTime": 5}},
    {"recurringEventId": []},
    {"iCalUID": 5},
    {"etag": 5},
    {"eventType": 5},
]


@pytest.mark.parametrize("fields", NOTHING_DECIDED, ids=str)
def test_a_field_that_decides_nothing_is_left_out_if_it_is_unreadable(fields: dict[str, Any]) -> None:
    found = read(**fields)
    assert (found.busy, found.span, found.updated_at) == (True, read().span, None)


UNREADABLE: list[object] = [
    None,
    5,
    "secret title",
    [],
    {},
    resource(id=None),
    resource(id=""),
    resource(id=7),
    resource(id="\x00"),
    resource(id="e" * 1025),
    resource(id="ü" * 600),
    resource(start=None),
    resource(start={}),
    resource(start=5),
    resource(start="soon"),
    resource(end="soon"),
    resource(start={"dateTime": "soon"}),
    resource(start={"dateTime": "2026-11-24T10:00:00"}),
    resource(start={"dateTime": "2026-11-24T10:00:00", "timeZone": "Europe"}),
    resource(start={"dateTime": "2026-11-24T10:00:00", "timeZone": "A" * 5000}),
    resource(start={"dateTime": "2026-11-24T10:00:00", "timeZone": "GMT+99:00"}),
    resource(start={"dateTime": 7}),
    resource(start={"dateTime": "0000-01-01T00:00:00Z"}),
    resource(start={"date": "2026-11-31"}),
    resource(start={"date": "0000-01-01"}, end={"date": "2026-11-24"}),
    resource(start={"date": ["2026-11-24"]}),
    resource(start={"date": "2026-11-24"}, end={"date": "2026-11-23"}),
    resource(start={"date": "2026-11-24"}, end={"dateTime": "2026-11-25T00:00:00Z"}),
    resource(start={"dateTime": "2026-11-24T12:00:00+01:00"}),
]


@pytest.mark.parametrize("item", UNREADABLE, ids=lambda item: ascii(item)[:60])
def test_an_event_that_may_block_at_any_time_is_unreadable_and_never_quoted(item: object) -> None:
    found = read_event(item)
    assert isinstance(found, UnreadableEvent)
    assert found.google_id in {"", "e1"}
    assert not {"secret", "soon", "2026"} & set(found.why.replace("'", " ").split())


# Control characters, and those that set the direction of text (UAX #9), would forge what stands around a title.
TEXTS = [
    ("Cafe\u0301", "Caf\u00e9"),
    ("a\x00b", "a b"),
    ("a\ud800b", "ab"),
    ("a\r\nBcc: x\x1b[2J", "a Bcc: x [2J"),
    ("a\x85b\x9bc", "a b c"),
    ("\u202eevil\u202c", "evil"),
    ("\u2066a\u2069", "a"),
    ("👩\u200d🚒", "👩\u200d🚒"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_text_is_one_line_in_nfc_without_control_and_direction_characters(text: str, expected: str) -> None:
    found = read(summary=text, location=text)
    assert (found.summary, found.location) == (expected, expected)


def test_a_description_keeps_its_lines() -> None:
    assert read(description="Cafe\u0301\nwith\x00Bo\u202e").description == "Caf\u00e9\nwith Bo "


@given(st.lists(GENERATED_EVENTS, max_size=3), st.lists(GENERATED_EVENTS, max_size=3))
def test_a_good_event_beside_any_others_is_stored(before: list[object], after: list[object]) -> None:
    good = resource(id="good")
    received = [read_event(item) for item in (*before, good, *after)]
    for full in (True, False):
        found = reconcile({}, received, WINDOW, ZoneInfo("Pacific/Kiritimati"), full=full)
        assert "good" in {event.google_id for event in found.added}
