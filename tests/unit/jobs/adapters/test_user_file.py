"""Files of users: each user is checked apart, and every problem named by its field."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.adapters.files.text_file import read_text
from catchup_jobs.adapters.files.user_file import ImportedUser, UserFile, read_users
from catchup_jobs.domain.calendar.availability import Night, WeeklyWindow
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.stored_enums import Frequency, Weekday
from catchup_jobs.jobs.run.errors import PermanentError

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
ADA = {"id": "ada", "name": "Ada"}


def read(document: Any) -> UserFile:
    return read_users(document if isinstance(document, str) else json.dumps(document), now=NOW)


def one(document: Any) -> ImportedUser:
    found = read(document)
    assert found.problems == {}
    (entry,) = found.users
    return entry


def problems(document: Any) -> str:
    """Return the problems of users, all of whom have one."""
    found = read(document)
    assert found.users == []
    return "\n".join(f"{user}: {problem}" for user, told in found.problems.items() for problem in told)


@pytest.mark.parametrize("document", [ADA, [ADA], {"users": [ADA]}], ids=["one", "list", "object"])
def test_one_user_a_list_and_an_object_are_read_with_the_contracts_defaults(document: Any) -> None:
    entry = one(document)
    user = entry.user
    schedule = user.schedule
    assert (user.id, user.name, user.paused) == ("ada", "Ada", False)
    assert (schedule.time_zone, schedule.sync_every) == ("Etc/UTC", "30m")
    assert (schedule.digest_day, schedule.digest_time) == (DigestDay.SUNDAY, time(9))
    assert user.availability.blocks == ()
    assert user.availability.night is None
    assert (user.city, entry.contacts) == (None, None)


def test_every_field_is_read() -> None:
    entry = one(
        ADA
        | {
            "timeZone": "Asia/Kathmandu",
            "digest": {"day": "Daily", "time": "18:30"},
            "calendarSync": {"every": "2h"},
            "paused": True,
            "city": "Patan",
            "availability": {
                "manualBlocks": [{"days": ["MO", "SU"], "start": "10:00", "end": "00:00"}],
                "commuteWindows": [{"days": ["TU"], "start": "08:00", "end": "09:15"}],
                "preferredHours": [{"days": ["SA", "SU"], "start": "11:00", "end": "18:00"}],
                "night": {"start": "22:30", "end": "07:00"},
            },
        }
    )
    user = entry.user
    assert (user.schedule.time_zone, user.city) == ("Asia/Kathmandu", "Patan")
    assert (user.schedule.digest_day, user.schedule.digest_time) == (DigestDay.DAILY, time(18, 30))
    assert (user.schedule.sync_every, user.paused) == ("2h", True)
    assert user.availability.blocks == tuple(
        WeeklyWindow(day, time(10), time(0)) for day in (Weekday.MONDAY, Weekday.SUNDAY)
    )
    assert user.availability.preferred == (
        WeeklyWindow(Weekday.SATURDAY, time(11), time(18)),
        WeeklyWindow(Weekday.SUNDAY, time(11), time(18)),
    )
    assert user.availability.commutes == (WeeklyWindow(Weekday.TUESDAY, time(8), time(9, 15)),)
    assert user.availability.night == Night(time(22, 30), time(7))


def weekly(**changes: Any) -> dict[str, Any]:
    return {"availability": {"manualBlocks": [{"days": ["MO"], "start": "10:00", "end": "11:00"} | changes]}}


BEN = {"id": "c-1", "name": "Ben"}


def contact(**changes: Any) -> dict[str, Any]:
    return {"contacts": [BEN | changes]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "Ada"}, "users[0]: id: must be lower-case"),
        ({"id": "ada\n"}, "users[0]: id: must be lower-case"),
        ({"id": "a" * 64}, "users[0]: id: must be lower-case"),
        ({"id": 7}, "users[0]: id: must be a string"),
        ({"name": " "}, "ada: name: must not be blank"),
        ({"name": "A\0"}, "ada: name: must not be blank, nor hold control"),
        ({"name": None}, "ada: name: must be a string"),
        ({"timeZone": "Local"}, "ada: timeZone: must be an IANA time zone"),
        ({"timeZone": "TZ=Europe/Berlin"}, "ada: timeZone: must be an IANA time zone"),
        ({"pool": "My Pool"}, "ada: pool: must be lower-case letters, digits and dashes, at most 40 characters"),
        ({"digest": {"time": "24:00"}}, "ada: digest.time: must be a time of day"),
        ({"digest": {"day": "Mo"}}, "ada: digest.day: must be 'Monday'"),
        ({"calendarSync": {"every": "7m"}}, "ada: calendarSync.every: must be one of 5m, 6m"),
        ({"paused": "no"}, "ada: paused: must be true or false"),
        ({"nme": "x"}, "ada: nme: is not a field"),
        (weekly(days=["Mo"]), "ada: availability.manualBlocks[0].days[0]: must be 'MO'"),
        (weekly(days=[]), "ada: availability.manualBlocks[0].days: must have 1 or more entries"),
        (weekly(days=["MO", "MO"]), "ada: availability.manualBlocks: holds two entries that start on MO 10:00"),
        ({"availability": {"night": {"start": "07:00", "end": "07:00"}}}, "ada: availability.night: must end"),
        (
            {"availability": {"commuteWindows": [{"days": ["MO"], "start": "08:00", "end": "08:00"}]}},
            "ada: availability.commuteWindows[0]: must end at another time than it starts",
        ),
        ({"city": " "}, "ada: city: must not be blank"),
        (contact(id=None), "ada: contacts[0].id: must be a string"),
        (contact(name="B\ud800"), "ada: contacts[0].name: must hold whole characters"),
        (contact(name="B\r\nBcc: x"), "ada: contacts[0].name: must not be blank, nor hold control"),
        (contact(frequency="hourly"), "ada: contacts[0].frequency: must be 'daily'"),
        (contact(tags=["a b c d"]), "ada: contacts[0].tags[0]: must be 1 to 3 words"),
        (contact(tags=["!"]), "ada: contacts[0].tags[0]: must be 1 to 3 words"),
        (contact(timeZone="CET+1"), "ada: contacts[0].timeZone: must be an IANA"),
        (
            contact(interactions=["2026-01-01T10:00:00"]),
            "ada: contacts[0].interactions[0]: must be a date and time",
        ),
        (contact(createdAt="yesterday"), "ada: contacts[0].createdAt: must be a date and time"),
        (contact(excluded="no"), "ada: contacts[0].excluded: must be true or false"),
        ({"contacts": [BEN, BEN]}, "ada: contacts: have one id: [0] and [1]"),
        ({"contacts": [BEN] * 1000}, "[0] and [4], [0] and [5], and 994 more"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], told: str) -> None:
    assert told in problems(ADA | change)


def test_contacts_are_read_with_everything_that_is_known_of_them() -> None:
    entry = one(
        ADA
        | contact(
            frequency="biweekly",
            tags=["rock climbing", "IRL preferred", "rock climbing"],
            groups=["Close Friends"],
            city="Berlin",
            timeZone="Europe/Berlin",
            excluded=True,
            archived=True,
            createdAt="2026-01-10T12:00:00Z",
            interactions=["2026-10-12T18:00:00+02:00", "2026-10-12T16:00:00Z", "2026-09-01T10:00:00Z"],
        )
    )
    assert entry.contacts == (
        Contact(
            "c-1",
            "Ben",
            Frequency.BIWEEKLY,
            tags=("rock climbing", "IRL preferred"),
            groups=("Close Friends",),
            city="Berlin",
            time_zone="Europe/Berlin",
            excluded=True,
            archived=True,
            created_at=datetime(2026, 1, 10, 12, tzinfo=UTC),
            interactions=(datetime(2026, 9, 1, 10, tzinfo=UTC), datetime(2026, 10, 12, 16, tzinfo=UTC)),
        ),
    )


@pytest.mark.parametrize(("contacts", "read"), [([], ()), ([BEN], (Contact("c-1", "Ben"),)), (None, None)])
def test_an_empty_list_of_contacts_is_not_the_same_as_none(contacts: Any, read: Any) -> None:
    entry = one(ADA | {"contacts": contacts})
    assert entry.contacts == read


def test_all_problems_are_told_at_once_and_no_value_with_them() -> None:
    told = problems([ADA | {"timeZone": "s3cret"}, {"id": "bob", "phone": "s3cret"}])
    assert "ada: timeZone" in told
    assert "bob: name: is missing" in told
    assert "bob: phone" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": }', "not JSON: Expecting value at line 1, column 8"),
        ("", "not JSON"),
        ("[]", "holds no user"),
        ('"ada"', "must be a user, a list"),
        ('{"users": {}}', "must be a user, a list"),
        ('{"users": [], "id": "x"}', "beside `users`"),
        ("[" * 100_000, "not"),
        ("9" * 5_000, "must be a user, a list"),
        ("\ufeff", "not JSON"),
    ],
)
def test_a_file_that_is_not_of_users_is_refused(text: str, told: str) -> None:
    with pytest.raises(PermanentError, match=re.escape(told)):
        read(text)


def test_a_list_of_users_that_is_there_twice_is_no_list_of_users() -> None:
    # RFC 8259, 4: of names that are not unique, programs take the first, the last, or none.
    with pytest.raises(PermanentError, match="more than once"):
        read('{"users": [{"id": "ada", "name": "Ada"}], "users": []}')


def test_no_message_speaks_of_a_class_or_a_type_of_python() -> None:
    told = "\n".join(
        problems({"id": "ada", "name": "Ada"} | {field: value})
        for field in ("city", "paused", "digest", "calendarSync", "availability", "contacts", "channels", "timeZone")
        for value in (5, "x", [], [5], {"x": 1}, {"sms": 5}, {"night": 5}, {"manualBlocks": [5]}, {"manualBlocks": 5})
        if (field, value) not in (("city", "x"), ("contacts", []))
    )
    assert not re.search(r"\b(_\w+|instance|dict\w*|tuple|str|bool\w*|validation|input|class)\b", told), told


BAD: Final = '{"id": "bad", "name": "Bad", %s}'


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (BAD % f'"paused": {"9" * 5_000}', "paused: "),
        (BAD % f'"contacts": [{{"id": "c", "name": "C", "createdAt": {"9" * 5_000}}}]', "contacts[0].createdAt: "),
        (BAD % '"contacts": [{"id": "c", "name": "C", "createdAt": "0001-01-01T00:00:00+01:00"}]', "years 1900 to"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "createdAt": "9999-12-31T23:59:59-01:00"}]', "years 1900 to"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "interactions": ["0001-01-01T00:00:00Z"]}]', "interactions[0]: "),
        (BAD % '"contacts": [{"id": "c", "name": "C", "interactions": [1767225600]}]', "must be a date and time"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "interactions": ["1767225600"]}]', "must be a date and time"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "interactions": [NaN]}]', "must be a date and time"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "tags": ["a b c d"]}]', "must be 1 to 3 words"),
        (BAD % '"contacts": [{"id": "c", "name": "\\u200b\\u2060"}]', "must not be blank"),
        (BAD % '"contacts": [{"id": "c", "name": "a\\u0085b"}]', "control characters"),
        (BAD % '"x\\u001b[31m\\u202e": 1', "x [31m: is not a field"),
        (BAD % '"x\\ud800": 1', "must hold whole characters"),
        (BAD % f'"{"x" * 5_000}": 1', "xxx...: is not a field"),
        (BAD % '"contacts": {}', "contacts: must be a list"),
        ('{"id": "bad"}', "name: is missing"),
        ('{"id": "bad", "name": "A"}, {"id": "bad", "name": "B"}', "is there twice"),
        ('{"id": "bad", "name": "A", "contacts": [], "contacts": []}', "bad: has contacts more than once"),
        (BAD % '"contacts": [{"id": "c", "name": "A", "name": "B"}]', "contacts[0]: has name more than once"),
        (BAD % '"channels": {"sms": {"phone": "+447700900123", "mode": "off", "mode": "on"}}', "sms: has mode more"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "createdAt": "2026-02-29T10:00:00Z"}]', "day value is outside"),
        (BAD % '"contacts": [{"id": "c", "name": "C", "tags": "climbing"}]', "tags: must be a list"),
        (BAD % ", ".join(2 * [f'"{"x" * 999}{number}\u202e": 1' for number in range(9)]), "xxx... more than once"),
        ("5", "users[1]: must be an object"),
        ("null", "users[1]: must be an object"),
        ('{"id": "\\u202eBAD", "name": "x"}', "users[1]: id: must be lower-case"),
    ],
)
def test_a_user_with_a_wrong_field_is_named_and_the_others_are_read(bad: str, told: str) -> None:
    found = read(f'[{json.dumps(ADA)}, {bad}, {{"id": "cem", "name": "Cem"}}]')
    assert [entry.user.id for entry in found.users] == ["ada", "cem"]
    ((user, problems),) = found.problems.items()
    (problem,) = problems
    assert told in f"{user}: {problem}"
    assert len(problem) < 200
    assert problem.isprintable()


def test_the_mark_that_editors_put_first_is_no_part_of_the_text(tmp_path: Path) -> None:
    # RFC 8259, 8.1: a parser may ignore it.
    for codec in ("utf-8", "utf-8-sig"):
        path = tmp_path / codec
        path.write_bytes(json.dumps(ADA).encode(codec))
        with path.open(encoding="utf-8") as file:
            assert one(read_text(file)).user.id == "ada"
    for codec in ("utf-16", "latin-1"):
        path.write_bytes(json.dumps({**ADA, "name": "J\xfcrgen"}, ensure_ascii=False).encode(codec))
        with path.open(encoding="utf-8") as file, pytest.raises(PermanentError, match="UTF-8"):
            read_text(file)


def test_names_are_stored_in_one_form_whatever_keyboard_wrote_them() -> None:
    decomposed = "Zoe\u0308 \u00a0 Mu\u0308ller\u200f"
    entry = one(ADA | {"name": decomposed, "city": decomposed} | contact(name=decomposed, tags=[decomposed]))
    assert entry.contacts is not None
    found = (entry.user.name, entry.user.city, entry.contacts[0].name, *entry.contacts[0].tags)
    assert set(found) == {"Zo\u00eb M\u00fcller"}


@pytest.mark.parametrize(
    "tag",
    ["\u0915\u094d\u0930\u093f\u0915\u0947\u091f", "\U0001f9d7", "rock'n'roll music", "\u65e5\u672c\u8a9e\u4f1a\u8a71"],
)
def test_a_tag_in_any_script_is_taken(tag: str) -> None:
    entry = one(ADA | contact(tags=[tag]))
    assert entry.contacts is not None
    assert entry.contacts[0].tags == (tag,)


WHOLE: Final[dict[str, Any]] = {
    "id": "bad",
    "name": "Bad",
    "city": "Berlin",
    "timeZone": "Europe/Berlin",
    "digest": {"day": "Sunday", "time": "09:00"},
    "calendarSync": {"every": "30m"},
    "paused": False,
    "availability": {
        "manualBlocks": [{"days": ["SA"], "start": "10:00", "end": "20:00"}],
        "commuteWindows": [{"days": ["MO"], "start": "08:00", "end": "09:00"}],
        "night": {"start": "22:30", "end": "07:00"},
    },
    "channels": {
        "sms": {"phone": "+44 7700 900123", "mode": "on", "consentAt": "2026-01-10T12:00:00Z"},
        "email": {"address": "ada@example.com", "mode": "fallback"},
    },
    "contacts": [
        {
            "id": "c-1",
            "name": "Ben",
            "frequency": "monthly",
            "city": "Berlin",
            "timeZone": "Europe/Berlin",
            "tags": ["climbing"],
            "groups": ["Close Friends"],
            "createdAt": "2026-01-10T12:00:00Z",
            "interactions": ["2026-10-12T18:00:00+02:00"],
        }
    ],
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, child in children for place in _places(child, (*path, name)))]


ODD = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=5,
    ),
    st.integers(4_000, 6_000).map(lambda digits: 10**digits),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2026-01-01T00:00:00+99:99"]),
    st.sampled_from(
        [
            "+" + "9" * 39,
            "a@" + "b." * 100 + "c",
            "Europe",
            "../etc/passwd",
            "\ud800",
            "24:00",
            "\u0660\u0669:\u0660\u0660",
        ]
    ),
)


@given(place=st.sampled_from(_places(WHOLE)[1:]), odd=ODD)
def test_whatever_stands_in_a_field_the_users_beside_are_read(place: tuple[Any, ...], odd: Any) -> None:
    document = json.loads(json.dumps(WHOLE))
    inside = document
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = odd
    sys.set_int_max_str_digits(0)
    try:
        text = json.dumps([ADA, document, {"id": "cem", "name": "Cem"}])
    finally:
        sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    found = read(text)
    others = {"ada", "cem"} - {odd if isinstance(odd, str) else None}
    assert others <= {entry.user.id for entry in found.users}
    assert len(found.users) + len(found.problems) in {2, 3}
    assert all(problem.isprintable() for told in found.problems.values() for problem in told)


# RFC 3339, 5.6 and 5.8, and what its grammar leaves out.
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1990-12-31T23:59:60Z", datetime(1990, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1990, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1990-12-31t23:59:60.5z", datetime(1990, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, tzinfo=UTC)),
        ("1996-12-19T16:39:57-08:00", datetime(1996, 12, 20, 0, 39, 57, tzinfo=UTC)),
        ("1937-01-01T12:00:27.87+00:20", datetime(1937, 1, 1, 11, 40, 27, 870_000, tzinfo=UTC)),
        ("2026-01-01T00:00:00-00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1990-12-31T23:59:61Z", None),
        ("1990-12-31T24:00:00Z", None),
        ("1990-12-31T23:60:60Z", None),
        ("19901231T235959Z", None),
        ("1990-W52-1", None),
    ],
)
def test_times_are_those_of_rfc_3339(text: str, instant: datetime | None) -> None:
    ada = {"id": "ada", "name": "Ada", "contacts": [{"id": "c", "name": "C", "createdAt": text}]}
    read = read_users(json.dumps(ada), now=NOW)
    assert [contact.created_at for entry in read.users for contact in entry.contacts or ()] == (
        [] if instant is None else [instant]
    )
