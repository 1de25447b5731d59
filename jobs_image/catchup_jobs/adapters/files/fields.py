"""Fields that several sections of the import file share."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel

from catchup_jobs.domain.people.schedule_values import time_zone
from catchup_jobs.domain.text import clean, one_line

# C0, DEL and C1.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
_LEAP_SECOND: Final = re.compile(r"(?<=[Tt ])(\d\d:\d\d):60", re.ASCII)
_YEARS: Final = range(1900, 2200)
MAX_NAME: Final = 40
"""Letters of a wrong name of a field that are shown."""
_MAX_NAMES: Final = 3
DATE_AND_TIME: Final = "must be a date and time with its offset, such as 2026-11-23T18:30:00+01:00"


class Repeating(dict[str, Any]):
    """A JSON object that has names more than once; which of their values is meant, nobody can say (RFC 8259, 4)."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        times = Counter(name for name, _ in pairs)
        self.repeated = sorted({clean(name, MAX_NAME) for name, count in times.items() if count > 1})[:_MAX_NAMES]


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of names and values, as `object_pairs_hook` of `json.loads`."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeating(pairs)


class Entry(BaseModel):
    """A section of the file: names in camelCase; unknown and repeated names are refused; errors hold no value."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_repeated_names(cls, section: Any) -> Any:
        if isinstance(section, Repeating):
            # pydantic takes a ValueError for a problem of the section.
            raise ValueError(f"has {', '.join(section.repeated)} more than once")  # noqa: TRY004
        return section


def without_control_characters(text: str) -> str:
    """Return the text if it is one line of visible characters.

    Raises:
        ValueError: it is blank or holds control characters.
    """
    if not one_line(text) or _CONTROL.search(text):
        raise ValueError("must not be blank, nor hold control characters")
    return text


def _name(text: str) -> str:
    return one_line(without_control_characters(text))


def _rfc3339(value: Any) -> Any:
    # A number would be taken for the seconds since 1970.
    if not isinstance(value, str) or not _RFC3339.match(value):
        raise ValueError(DATE_AND_TIME)
    # A leap second (RFC 3339, 5.6) is the second before it: neither database can hold one.
    return _LEAP_SECOND.sub(r"\1:59", value)


def _of_these_times(value: datetime) -> datetime:
    # The first and last years of the calendar, which programs write for "none", are out of range in UTC.
    if value.year not in _YEARS:
        raise ValueError(f"must be in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return value.astimezone(UTC)


def _not_in_the_future(value: datetime, info: ValidationInfo) -> datetime:
    if info.context is None or value > info.context["now"]:
        raise ValueError("must not be in the future")
    return value


Name = Annotated[str, Field(max_length=200), AfterValidator(_name)]
"""One line to show and to compare, in the form NFC."""
TimeZone = Annotated[str, AfterValidator(time_zone)]
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_of_these_times)]
"""A time of RFC 3339, in UTC."""
PastInstant = Annotated[Instant, AfterValidator(_not_in_the_future)]
"""An `Instant` that is not after `now` of the validation's context."""
