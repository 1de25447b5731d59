"""Reading of fields of a spec that may be older than the schema's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class InvalidSpecError(ValueError):
    """The spec breaks a rule of the schema; the message names the field and the allowed values."""


def mapping(parent: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return a field that must be an object; empty where it is absent. Raises InvalidSpecError."""
    value = parent.get(field) or {}
    if not isinstance(value, Mapping):
        raise InvalidSpecError(f"{field} must be an object")
    return value


def boolean(parent: Mapping[str, Any], field: str, *, default: bool) -> bool:
    """Return a field that must be a boolean. Raises InvalidSpecError."""
    value = parent.get(field, default)
    if not isinstance(value, bool):
        raise InvalidSpecError(f"{field} must be true or false")
    return value


def matching(parent: Mapping[str, Any], field: str, pattern: str, allowed: str, default: str | None = None) -> str:
    """Return a field that must match a pattern, which the error describes as `allowed`. Raises InvalidSpecError."""
    value = parent.get(field, default)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InvalidSpecError(f"{field} must be {allowed}")
    return value


def one_of(parent: Mapping[str, Any], field: str, allowed: tuple[str, ...], default: str) -> str:
    """Return a field that must be one of the allowed values. Raises InvalidSpecError."""
    value = parent.get(field, default)
    if value not in allowed:
        raise InvalidSpecError(f"{field} must be one of {', '.join(allowed)}")
    return str(value)


def whole_number(parent: Mapping[str, Any], field: str, least: int, most: int, default: int) -> int:
    """Return a field that must be a whole number within bounds. Raises InvalidSpecError."""
    value = parent.get(field, default)
    if type(value) is not int or not least <= value <= most:
        raise InvalidSpecError(f"{field} must be a whole number from {least} to {most}")
    return value
