"""Fields that several sections of the import file share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from catchup_contract.local_time import is_time_zone


class Entry(BaseModel):
    """A section of the file: names in camelCase; unknown names are refused; errors hold no value."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)


def without_control_characters(text: str) -> str:
    """Return the text if it is one line of visible characters.

    Raises:
        ValueError: it is blank or holds control characters.
    """
    if not text.strip() or any(ord(character) < ord(" ") for character in text):
        raise ValueError("must not be blank, nor hold control characters")
    return text


def _zone(name: str) -> str:
    if not is_time_zone(name):
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return name


Name = Annotated[str, Field(max_length=200), AfterValidator(without_control_characters)]
TimeZone = Annotated[str, AfterValidator(_zone)]
