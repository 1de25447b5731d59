"""Lists on the command line: columns for people, JSON for programs, from the same rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import click

from catchup_jobs.domain.text import escaped, one_line

TEXT: Final = "text"
JSON: Final = "json"
NO_USERS: Final = "no users yet: import them with `catchup-jobs user import FILE`"
# The exit code of a list that has failures.
EXIT_FAILURES: Final = 1

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

output_option = click.option(
    "-o", "--output", type=click.Choice([TEXT, JSON]), default=TEXT, help="Lines for people, or JSON. Default: text."
)
ROWS: Final = 100
"""Rows that a list of the command line shows where no `--limit` is given."""
limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=ROWS, metavar="N", help=f"Show at most N. Default: {ROWS}."
)


class Age(click.ParamType[timedelta]):
    """A length of time such as `90m`, `36h` or `7d`."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return it, or fail by naming what is allowed."""
        text = str(value)
        # At most five digits: an instant that long ago still has a year.
        if not re.fullmatch("[0-9]{1,5}[mhd]", text):
            self.fail("an age is a number below 100000 and m, h or d: 90m, 36h, 7d", param, ctx)
        return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


AGE: Final = Age()


def echo_rows(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print rows.

    Args:
        columns: key of a row -> its title in the table; keys that are not named show in JSON only.
        output: `text` or `json`; JSON has every key of the rows, instants in RFC 3339 UTC.
    """
    if output == JSON:
        echo_json([{key: json_value(value) for key, value in row.items()} for row in rows])
        return
    if not rows:
        return
    cells = [list(columns.values()), *([_cell(row[key]) for key in columns] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def echo_json(document: Any) -> None:
    """Print JSON for people and programs: letters as they are, but no control character reaches the terminal."""
    click.echo(escaped(json.dumps(document, indent=2, ensure_ascii=False)))


def echo_field(title: str, value: Any) -> None:
    """Print one field of one thing on a line of its own."""
    click.echo(f"{title:<22} {_cell(value)}")


def age_of(instant: datetime, now: datetime) -> str:
    """Return how long ago an instant was, as kubectl writes it: `45s`, `12m`, `5h`, `3d`."""
    seconds = max(int((now - instant).total_seconds()), 0)
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m"
    return f"{seconds // _HOUR}h" if seconds < _DAY else f"{seconds // _DAY}d"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return one_line(str(value))


def json_value(value: Any) -> Any:
    """Return a value of a row as JSON has it: instants in RFC 3339 UTC, enums by their values."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.value if isinstance(value, Enum) else value
