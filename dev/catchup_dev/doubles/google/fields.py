"""Partial responses: the `fields` parameter of Google's APIs, e.g. `nextPageToken,items(id,start/date)`."""

from __future__ import annotations

import re
from typing import Any

Mask = dict[str, "Mask"]

_TOKEN = re.compile(r"[A-Za-z0-9_*]+|[(),/]")


class InvalidFieldsError(ValueError):
    """The selector cannot be read; Google answers 400 `invalidParameter`."""


def parse(text: str) -> Mask:
    """Return the selector as nested dictionaries; an empty one selects everything below."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        raise InvalidFieldsError(text)
    mask, rest = _parse_list(tokens)
    if rest:
        raise InvalidFieldsError(text)
    return mask


def apply(value: Any, mask: Mask) -> Any:
    """Return only what the mask selects."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [apply(item, mask) for item in value]
    if isinstance(value, dict):
        return {name: apply(value[name], below) for name, below in mask.items() if name in value}
    return value


def _parse_list(tokens: list[str]) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while True:
        tokens = _parse_path(tokens, mask)
        if not tokens or tokens[0] != ",":
            return mask, tokens
        tokens = tokens[1:]


def _parse_path(tokens: list[str], mask: Mask) -> list[str]:
    if not tokens or tokens[0] in "(),/":
        raise InvalidFieldsError("a name is missing")
    below = mask.setdefault(tokens[0], {})
    rest = tokens[1:]
    if rest[:1] == ["/"]:
        return _parse_path(rest[1:], below)
    if rest[:1] == ["("]:
        inner, rest = _parse_list(rest[1:])
        if rest[:1] != [")"]:
            raise InvalidFieldsError("a bracket is not closed")
        below.update(inner)
        return rest[1:]
    return rest
