"""Types of arguments that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from typing import Any, Final

import click

from catchup_contract.api import USER_ID_FORM, USER_ID_PATTERN
from catchup_contract.kinds import KINDS
from catchup_contract.pools import POOL_NAME_FORM, POOL_NAME_PATTERN

_USER_ID: Final = re.compile(USER_ID_PATTERN, re.ASCII)
_POOL_NAME: Final = re.compile(POOL_NAME_PATTERN, re.ASCII)


class UserId(click.ParamType[str]):
    """A user's id; it becomes part of run keys, lock names and resources, so its form is validated first."""

    name = "user"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id, or fail by naming what is allowed."""
        if not isinstance(value, str) or not _USER_ID.fullmatch(value):
            self.fail(f"a user id is {USER_ID_FORM}", param, ctx)
        return value


USER_ID: Final = UserId()


class PoolName(click.ParamType[str]):
    """A pool's name, as its SchedulePool has it."""

    name = "pool"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail by naming what is allowed."""
        if not isinstance(value, str) or not _POOL_NAME.fullmatch(value):
            self.fail(f"a pool's name is {POOL_NAME_FORM}", param, ctx)
        return value


POOL_NAME: Final = PoolName()


def subject_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command of a kind of job the options `--user` and `--pool`, of which it gets exactly one."""

    @click.option("--user", "user_id", type=USER_ID, help="The user's id.")
    @click.option("--pool", type=POOL_NAME, help="Serve the users of this pool who are due, as its CronJob does.")
    @wraps(command)
    def checked(user_id: str | None, pool: str | None, **others: Any) -> None:
        if (user_id is None) == (pool is None):
            raise click.UsageError("Give --user ID or --pool NAME.")
        command(user_id=user_id, pool=pool, **others)

    return checked


# The ids that both databases accept.
ROW_ID: Final = click.IntRange(1, 2**63 - 1)


class OneRecord(click.ParamType[Any]):
    """A record of a table such as `kinds.KINDS`, by its name. The table is read at each use."""

    def __init__(self, name: str, records: Mapping[str, Any]) -> None:
        self.name = name
        self._records = records

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """Return the names of all records, as click shows a choice."""
        return f"[{'|'.join(self._records)}]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the record, or fail by naming all."""
        if value in self._records.values():
            return value
        record = self._records.get(str(value))
        if record is None:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, self._records))}.", param, ctx)
        return record


KIND: Final = OneRecord("kind", KINDS)


class OneOf(click.Choice[Any]):
    """A member of an enum, by its value."""

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__([member.value for member in enum])
        self._enum = enum

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member, or fail by naming all values."""
        return self._enum(super().convert(value, param, ctx))


keys_lost_option = click.option(
    "--keys-lost",
    is_flag=True,
    help="The encryption keys of what is stored are lost for good: go on with those of now.",
)
