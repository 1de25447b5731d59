"""Fields that several sections of the import file share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel

from catchup_contract.local_time import is_time_zone
from catchup_jobs.domain.text import one_line

# C0, DEL and C1.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
_YEARS: Final = range(1900, 2200)


class Entry(BaseModel):
    """A section of the file: names in camelCase; unknown names are refused; errors hold no value."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


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


def _zone(name: str) -> str:
    if not is_time_zone(name):
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return name


def _rfc3339(value: Any) -> Any:
    # A number would be taken for the seconds since 1970.
    if not isinstance(value, str) or not _RFC3339.match(value):
        raise ValueError("must be a date and time with its offset, such as 2026-11-23T18:30:00+01:00")
    return value


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
TimeZone = Annotated[str, AfterValidator(_zone)]
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_of_these_times)]
"""A time of RFC 3339, in UTC."""
PastInstant = Annotated[Instant, AfterValidator(_not_in_the_future)]
"""An `Instant` that is not after `now` of the validation's context."""
