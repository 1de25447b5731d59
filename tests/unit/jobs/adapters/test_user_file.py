"""Files of users: checked whole, every problem named by its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from typing import Any

import pytest

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.adapters.files.user_file import read_users
from catchup_jobs.domain.calendar.availability import Night, WeeklyWindow
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.vocabulary import Frequency, Weekday
from catchup_jobs.jobs.run.errors import PermanentError

ADA = {"id": "ada", "name": "Ada"}


def problems(document: Any) -> str:
    with pytest.raises(PermanentError) as caught:
        read_users(document if isinstance(document, str) else json.dumps(document))
    return str(caught.value)


@pytest.mark.parametrize("document", [ADA, [ADA], {"users": [ADA]}], ids=["one", "list", "object"])
def test_one_user_a_list_and_an_object_are_read_with_the_contracts_defaults(document: Any) -> None:
    (entry,) = read_users(json.dumps(document))
    user = entry.user
    schedule = user.schedule
    assert (user.id, user.name, user.paused) == ("ada", "Ada", False)
    assert (schedule.time_zone, schedule.sync_every) == ("Etc/UTC", "30m")
    assert (schedule.digest_day, schedule.digest_time) == (DigestDay.SUNDAY, time(9))
    assert user.availability.blocks == ()
    assert user.availability.night is None
    assert (user.city, entry.contacts) == (None, None)


def test_every_field_is_read() -> None:
    (entry,) = read_users(
        json.dumps(
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
        ({"id": "Ada"}, "users[0].id: must be lower-case"),
        ({"id": "ada\n"}, "users[0].id: must be lower-case"),
        ({"id": "a" * 64}, "users[0].id: must be lower-case"),
        ({"id": 7}, "users[0].id: input should be a valid string"),
        ({"name": " "}, "users[0].name: must not be blank"),
        ({"name": "A\0"}, "users[0].name: must not be blank, nor hold control"),
        ({"name": None}, "users[0].name: input should be a valid string"),
        ({"timeZone": "Local"}, "users[0].timeZone: must be an IANA time zone"),
        ({"timeZone": "TZ=Europe/Berlin"}, "users[0].timeZone: must be an IANA time zone"),
        ({"digest": {"time": "24:00"}}, "users[0].digest.time: must be a time of day"),
        ({"digest": {"day": "Mo"}}, "users[0].digest.day: input should be 'Monday'"),
        ({"calendarSync": {"every": "7m"}}, "users[0].calendarSync.every: must be one of 5m, 6m"),
        ({"paused": "no"}, "users[0].paused: input should be a valid boolean"),
        ({"nme": "x"}, "users[0].nme: is not a field"),
        (weekly(days=["Mo"]), "users[0].availability.manualBlocks[0].days[0]: input should be 'MO'"),
        (weekly(days=[]), "users[0].availability.manualBlocks[0].days: list should have at least 1 item"),
        (weekly(days=["MO", "MO"]), "users[0].availability.manualBlocks: holds two entries that start on MO 10:00"),
        ({"availability": {"night": {"start": "07:00", "end": "07:00"}}}, "users[0].availability.night: must end"),
        ({"city": " "}, "users[0].city: must not be blank"),
        (contact(id=None), "users[0].contacts[0].id: input should be a valid string"),
        (contact(name="B\ud800"), "users[0].contacts[0].name: input should be a valid string"),
        (contact(name="B\r\nBcc: x"), "users[0].contacts[0].name: must not be blank, nor hold control"),
        (contact(frequency="hourly"), "users[0].contacts[0].frequency: input should be 'daily'"),
        (contact(tags=["a b c d"]), "users[0].contacts[0].tags[0]: must be 1 to 3 words"),
        (contact(tags=["!"]), "users[0].contacts[0].tags[0]: must be 1 to 3 words"),
        (contact(timeZone="CET+1"), "users[0].contacts[0].timeZone: must be an IANA"),
        (
            contact(interactions=["2026-01-01T10:00:00"]),
            "users[0].contacts[0].interactions[0]: must be a date and time",
        ),
        (contact(createdAt="yesterday"), "users[0].contacts[0].createdAt: input should be a valid datetime"),
        (contact(excluded="no"), "users[0].contacts[0].excluded: input should be a valid boolean"),
        ({"contacts": [BEN, BEN]}, "users[0].contacts: holds 1 ids more than once"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], told: str) -> None:
    assert told in problems(ADA | change)


def test_contacts_are_read_with_everything_that_is_known_of_them() -> None:
    (entry,) = read_users(
        json.dumps(
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
    (entry,) = read_users(json.dumps(ADA | {"contacts": contacts}))
    assert entry.contacts == read


def test_all_problems_are_told_at_once_and_no_value_with_them() -> None:
    told = problems([ADA | {"timeZone": "s3cret"}, {"id": "bob", "phone": "s3cret"}])
    assert "users[0].timeZone" in told
    assert "users[1].name: is missing" in told
    assert "users[1].phone" in told
    assert "s3cret" not in told


def test_very_many_problems_are_cut_short() -> None:
    assert problems([{}] * 50).endswith("and 80 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": }', "not JSON: Expecting value at line 1, column 8"),
        ("", "not JSON"),
        ("[]", "holds no user"),
        ('"ada"', "must be a user, a list"),
        ('{"users": {}}', "must be a user, a list"),
        ('{"users": [], "id": "x"}', "beside `users`"),
        (json.dumps([ADA, ADA]), "the user ada is there twice"),
        ("[" * 100_000, "not"),
    ],
)
def test_a_file_that_is_not_of_users_is_refused(text: str, told: str) -> None:
    assert told in problems(text)
