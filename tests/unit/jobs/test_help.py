"""The numbers in the help of commands are those of the constants."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from catchup_contract.cadence import FRESH
from catchup_jobs.adapters.database.pools.ticks import NOTED_EVERY, SILENT_AFTER
from catchup_jobs.adapters.database.runs.retention import DEAD_LETTERS_KEPT, FAILED_RUNS_KEPT
from catchup_jobs.cli import cli
from catchup_jobs.cli.operations.metrics import _DEAR_FACTOR
from catchup_jobs.domain.planning.suggestions import HORIZON
from catchup_jobs.jobs.pool.tick import WORKERS
from catchup_jobs.jobs.suggestions.ports import PROGRESS_KEPT_SECONDS

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


def help_of(*names: str) -> str:
    command: click.Command = cli
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return " ".join((command.help or "").split())


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("failures",), f"is kept for {DEAD_LETTERS_KEPT.days} days"),
        (("runs", "list"), f"failures of {FAILED_RUNS_KEPT.days} days"),
        (("suggestions",), f"in the next {HORIZON.days} days"),
        (("suggestions",), f"synced within {FRESH // _HOUR} hours"),
        (("progress",), f"progress for {PROGRESS_KEPT_SECONDS // 60} minutes"),
        (("metrics",), f"after {_DEAR_FACTOR} times"),
        (("backfill",), f"{WORKERS} users at a time"),
        (("backfill",), f"none has run for {SILENT_AFTER // _MINUTE} minutes"),
        (("pool", "show"), f"within {NOTED_EVERY // _MINUTE} minutes"),
        (("pool", "show"), f"none has run for {SILENT_AFTER // _MINUTE} minutes"),
    ],
)
def test_the_help_of_a_command_says_what_the_constant_says(names: tuple[str, ...], said: str) -> None:
    assert said in help_of(*names)
