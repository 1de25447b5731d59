"""The JSON file of `catchup-jobs user import`: each user is checked apart, and every problem named by its field."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, Field, StrictBool, ValidationError

from catchup_contract.api import (
    DEFAULT_DIGEST_DAY,
    DEFAULT_DIGEST_TIME,
    DEFAULT_SYNC_EVERY,
    DEFAULT_TIME_ZONE,
    TIME_OF_DAY_PATTERN,
    USER_ID_PATTERN,
)
from catchup_contract.digest_rule import DigestDay
from catchup_contract.pools import POOL_NAME_PATTERN
from catchup_jobs.adapters.files.channel_file import ChannelsEntry
from catchup_jobs.adapters.files.contact_file import ContactList
from catchup_jobs.adapters.files.fields import Entry, Name, Repeating, TimeZone, json_object
from catchup_jobs.adapters.files.problems import problem
from catchup_jobs.adapters.json_numbers import whole_number
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Night, WeeklyWindow
from catchup_jobs.domain.digest.addresses import GivenAddress
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.people.schedule_values import sync_interval
from catchup_jobs.domain.people.users import Schedule, User
from catchup_jobs.domain.stored_enums import Weekday
from catchup_jobs.jobs.run.errors import PermanentError

_USER_ID: Final = re.compile(USER_ID_PATTERN)
_TimeOfDay = Annotated[str, Field(pattern=f"^{TIME_OF_DAY_PATTERN}$")]


class _Digest(Entry):
    day: DigestDay = DigestDay(DEFAULT_DIGEST_DAY)
    time: _TimeOfDay = DEFAULT_DIGEST_TIME


class _CalendarSync(Entry):
    every: Annotated[str, AfterValidator(sync_interval)] = DEFAULT_SYNC_EVERY


class _Hours(Entry):
    start: _TimeOfDay
    end: _TimeOfDay


H = TypeVar("H", bound=_Hours)


class _Weekly(_Hours):
    days: Annotated[list[Weekday], Field(min_length=1)]

    def windows(self) -> list[WeeklyWindow]:
        return [WeeklyWindow(day, time.fromisoformat(self.start), time.fromisoformat(self.end)) for day in self.days]


def _without_repeats(entries: list[_Weekly]) -> list[_Weekly]:
    starts = Counter((window.weekday, window.start) for entry in entries for window in entry.windows())
    if repeated := [f"{day} {start:%H:%M}" for (day, start), times in starts.items() if times > 1]:
        raise ValueError(f"holds two entries that start on {', '.join(repeated)}")
    return entries


def _not_all_day(hours: H) -> H:
    if hours.start == hours.end:
        raise ValueError("must end at another time than it starts")
    return hours


_WeeklyList = Annotated[list[_Weekly], AfterValidator(_without_repeats)]
_CommuteList = Annotated[list[Annotated[_Weekly, AfterValidator(_not_all_day)]], AfterValidator(_without_repeats)]


class _Availability(Entry):
    manual_blocks: _WeeklyList = Field(default_factory=list)
    commute_windows: _CommuteList = Field(default_factory=list)
    preferred_hours: _WeeklyList = Field(default_factory=list)
    night: Annotated[_Hours, AfterValidator(_not_all_day)] | None = None

    def parameters(self) -> AvailabilityParameters:
        night = self.night
        return AvailabilityParameters(
            blocks=tuple(window for entry in self.manual_blocks for window in entry.windows()),
            commutes=tuple(window for entry in self.commute_windows for window in entry.windows()),
            night=Night(time.fromisoformat(night.start), time.fromisoformat(night.end)) if night else None,
            preferred=tuple(window for entry in self.preferred_hours for window in entry.windows()),
        )


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """A user of the file; sections that the file does not have are None and stay as stored.

    Attributes:
        pool: the pool that serves the user, empty for none.
    """

    user: User
    contacts: tuple[Contact, ...] | None = None
    channels: tuple[GivenAddress, ...] | None = None
    pool: str | None = None


class _User(Entry):
    id: Annotated[str, Field(pattern=f"^{USER_ID_PATTERN}$")]
    name: Name
    city: Name | None = None
    time_zone: TimeZone = DEFAULT_TIME_ZONE
    digest: _Digest = _Digest()
    calendar_sync: _CalendarSync = _CalendarSync()
    paused: StrictBool = False
    availability: _Availability = _Availability()
    contacts: ContactList | None = None
    channels: ChannelsEntry | None = None
    pool: Annotated[str, Field(pattern=f"^({POOL_NAME_PATTERN})?$")] | None = None

    def imported(self) -> ImportedUser:
        contacts = None if self.contacts is None else tuple(entry.contact() for entry in self.contacts)
        channels = None if self.channels is None else self.channels.given()
        return ImportedUser(self._user(), contacts, channels, self._pool())

    def _pool(self) -> str | None:
        # `null` ends the membership, as an empty name does.
        return self.pool or "" if "pool" in self.model_fields_set else None

    def _user(self) -> User:
        return User(
            id=self.id,
            name=self.name,
            city=self.city,
            schedule=Schedule(
                time_zone=self.time_zone,
                digest_day=self.digest.day,
                digest_time=time.fromisoformat(self.digest.time),
                sync_every=self.calendar_sync.every,
            ),
            paused=self.paused,
            availability=self.availability.parameters(),
        )


@dataclass(frozen=True, slots=True)
class UserFile:
    """What a file holds.

    Attributes:
        users: those without a problem.
        problems: of the others, by user: the name of each wrong field and what is allowed there, never a value.
    """

    users: list[ImportedUser]
    problems: dict[str, list[str]]


def read_users(text: str, *, now: datetime) -> UserFile:
    """Return the users of a JSON document: one object, a list of them, or `{"users": [...]}`.

    Args:
        now: aware; no consent is later.

    Raises:
        PermanentError: it is no such document.
    """
    try:
        document = json.loads(text, parse_int=whole_number, object_pairs_hook=json_object)
    except json.JSONDecodeError as error:
        raise PermanentError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise PermanentError("not a file of users: nested too deeply") from None
    users, problems = [], {}
    listed = _listed(document)
    labels = [_label(entry, number) for number, entry in enumerate(listed)]
    repeated = {label for label, times in Counter(labels).items() if times > 1}
    for label, entry in zip(labels, listed, strict=True):
        if label in repeated:
            problems[label] = ["is there twice"]
            continue
        try:
            users.append(_User.model_validate(entry, context={"now": now}).imported())
        except ValidationError as error:
            problems[label] = [problem(item) for item in error.errors()]
    return UserFile(users, problems)


def _label(entry: Any, number: int) -> str:
    user_id = entry.get("id") if isinstance(entry, dict) else None
    return user_id if isinstance(user_id, str) and _USER_ID.fullmatch(user_id) else f"users[{number}]"


def _listed(document: Any) -> list[Any]:
    if isinstance(document, dict) and "users" in document:
        if isinstance(document, Repeating):
            raise PermanentError("has `users` more than once")
        if set(document) != {"users"}:
            raise PermanentError("beside `users` the document must hold nothing")
        document = document["users"]
    elif isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise PermanentError("must be a user, a list of users, or an object with a list under `users`")
    if not document:
        raise PermanentError("holds no user")
    return document
