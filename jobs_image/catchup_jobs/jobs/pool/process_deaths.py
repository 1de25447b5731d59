"""The end of a run in which processes died: a dead letter, without another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.endings import Ending, Report, ending_of, report_of
from catchup_jobs.jobs.run.errors import JobError
from catchup_jobs.jobs.run.ports import Closing, DeadLetter

if TYPE_CHECKING:
    from datetime import timedelta

    from catchup_jobs.jobs.run.ports import Process, Run, RunStore

PROCESS_DIED: Final = "ProcessDied"

_log = structlog.get_logger()


def abandon(run: Run, *, store: RunStore, process: Process, lease: timedelta) -> Report:
    """Close a run with a dead letter, and return its report. Raises nothing."""
    started_at = process.now()
    try:
        ending = _abandon(run, store, process, lease)
    except JobError as error:
        ending = ending_of(error)
    return report_of(ending, run.kind, started_at, process.now())


def _abandon(run: Run, store: RunStore, process: Process, lease: timedelta) -> Ending:
    now = process.now()
    record = store.open(run, now=now, lease_until=now + lease, owner=process.process_id)
    if record.state is RunState.DONE:
        return Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.ALREADY_DONE)
    _log.error("processes died while they served this user, the run is given up", run_key=run.key, user=run.subject)
    letter = DeadLetter(Reason.CRASHED, PROCESS_DIED)
    closing = Closing(RunState.FAILED, Reason.CRASHED, record.attempts, {}, {}, letter)
    store.close(run, process.process_id, closing, now=process.now())
    return Ending(Outcome.FAILED, ExitCode.PERMANENT, Reason.CRASHED, dead_letter=letter)
