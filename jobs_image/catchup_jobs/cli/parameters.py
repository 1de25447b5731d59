"""Types of arguments that several commands take."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final

import click

from catchup_contract.api import USER_ID_PATTERN
from catchup_contract.kinds import KINDS, Kind

_USER_ID: Final = re.compile(USER_ID_PATTERN, re.ASCII)


class UserId(click.ParamType[str]):
    """A user's id; it becomes part of run keys, lock names and resources, so its form is checked first."""

    name = "user"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id, or fail by naming what is allowed."""
        if not isinstance(value, str) or not _USER_ID.fullmatch(value):
            self.fail("a user id is lower-case letters, digits and dashes, at most 63 characters", param, ctx)
        return value


USER_ID: Final = UserId()
# A key of a row: what both databases take for one.
ROW_ID: Final = click.IntRange(1, 2**63 - 1)


class KindName(click.ParamType[Kind]):
    """A kind of job, by its name."""

    name = "kind"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """Return the names of all kinds, as click shows a choice."""
        return f"[{'|'.join(KINDS)}]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        """Return the kind, or fail by naming all."""
        if isinstance(value, Kind):
            return value
        kind = KINDS.get(str(value))
        if kind is None:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, KINDS))}.", param, ctx)
        return kind


KIND: Final = KindName()


class OneOf(click.Choice[Any]):
    """A member of an enum, by its value."""

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__([member.value for member in enum])
        self._enum = enum

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member, or fail by naming all values."""
        return self._enum(super().convert(value, param, ctx))
