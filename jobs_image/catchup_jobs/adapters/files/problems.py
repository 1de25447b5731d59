"""What is wrong with a field of the import file, by its place, in the words of JSON and never with its value."""

from __future__ import annotations

from typing import Final

from pydantic_core import ErrorDetails

from catchup_contract.api import USER_ID_FORM
from catchup_contract.pools import POOL_NAME_FORM
from catchup_jobs.adapters.files.fields import DATE_AND_TIME, MAX_NAME
from catchup_jobs.domain.text import clean

_OBJECT: Final = "must be an object"
_LIST: Final = "must be a list"

# By pydantic's names of its errors (https://docs.pydantic.dev/latest/errors/validation_errors/); the fields in braces
# are of their contexts.
_PROBLEMS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a field that is known here",
    "timezone_aware": DATE_AND_TIME,
    "datetime_parsing": DATE_AND_TIME + " ({error})",
    "datetime_from_date_parsing": DATE_AND_TIME + " ({error})",
    "model_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "string_type": "must be a string",
    "string_unicode": "must hold whole characters: one half of a surrogate pair is none",
    "invalid_key": "must be a name of whole characters",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have at most {max_length} entries",
}


def problem(item: ErrorDetails) -> str:
    """Return the place of a field in its user, and what must be there."""
    place = _place(item)
    return f"{place}: {_sentence(item)}" if place else _sentence(item)


def _place(item: ErrorDetails) -> str:
    path = ""
    for part in item["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{clean(part, MAX_NAME)}"
    return path.removeprefix(".")


def _sentence(item: ErrorDetails) -> str:
    match item["type"]:
        case kind if kind in _PROBLEMS:
            return _PROBLEMS[kind].format(**item.get("ctx", {}))
        case "value_error":
            return str(item["ctx"]["error"])
        case "string_pattern_mismatch" if item["loc"][-1] == "id":
            return f"must be {USER_ID_FORM}"
        case "string_pattern_mismatch" if item["loc"][-1] == "pool":
            return f'must be {POOL_NAME_FORM}; "" or null for no pool'
        case "string_pattern_mismatch":
            return 'must be a time of day from "00:00" to "23:59", as HH:MM'
        case _:
            return item["msg"][0].lower() + item["msg"][1:]
