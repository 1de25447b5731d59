"""The kinds of background work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BACKOFF_LIMIT: Final = 3


class Job(StrEnum):
    """The kinds of background work; the values are also the subcommands of `catchup-jobs` and the label values."""

    SYNC = "sync"
    DIGEST = "digest"
    SUGGESTIONS = "suggestions"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines of one kind of job, in seconds."""

    starting: int
    active: int


DEADLINES: Final = {
    Job.SYNC: Deadlines(starting=600, active=600),
    Job.DIGEST: Deadlines(starting=7200, active=900),
    Job.SUGGESTIONS: Deadlines(starting=7200, active=10800),
}
