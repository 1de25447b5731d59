"""The commands and bodies of the kinds of job: which module has them. Nothing is imported before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind
    from catchup_jobs.cli.jobs.job_runner import Body


@dataclass(frozen=True, slots=True)
class JobModule:
    """Where a kind's work is.

    Attributes:
        module: has the kind's command, under the kind's name, and `body_of`, which takes a subject (a user's id or a
            shard) and returns the `job_runner.Body` that does the work for it.
        help: the command's line in `catchup-jobs --help`.
    """

    module: str
    help: str


JOB_MODULES: Final = {
    SYNC.name: JobModule("catchup_jobs.cli.jobs.sync", "Bring a user's calendars up to date."),
    SUGGESTIONS.name: JobModule(
        "catchup_jobs.cli.jobs.suggestions", "Plan who to catch up with, for all users or one."
    ),
    DIGEST.name: JobModule("catchup_jobs.cli.jobs.digest", "Send a user's suggestions by SMS and email."),
}


def body_of(kind: Kind, subject: str) -> Body:
    """Return the body of a run. Raises KeyError for a kind without one."""
    body: Body = import_module(JOB_MODULES[kind.name].module).body_of(subject)
    return body
