"""A backfill: one run for each of many users now, paced, several at once.

A user's run is as one by hand: own row, lock, attempts and dead letter. What was begun is ended; what was not begun is
left, and a later backfill from the same start passes over who was served meanwhile. A user of whom another run is at
work is tried once more at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.jobs.pool.claim_endings import is_ours
from catchup_jobs.jobs.pool.tick import GIVE_UP_AFTER, WORKERS
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError
from catchup_jobs.jobs.run.ports import Process

PAGE: Final = 100
"""A backfill asks for so many users at once who of them was served meanwhile."""
_REPORT_EVERY: Final = timedelta(seconds=10)
"""How often a backfill says how far it is."""
_LOCKED_AFTER: Final = timedelta(seconds=15)
"""How long a backfill waits at its end before it tries users again of whom another run was at work."""
# Threads end runs, and the main thread looks for that and for a signal.
_LOOK_SECONDS: Final = 0.2


@dataclass(slots=True)
class BackfillResult:
    """What a backfill has done so far: counts of users.

    Attributes:
        passed: those who were served since its start by somebody else, or by an earlier try.
        cause: the report of the run for whose cause, which is the installation's, the backfill stopped.
        error: what kept the backfill itself from going on.
    """

    total: int
    served: int = 0
    skipped: int = 0
    failed: int = 0
    passed: int = 0
    cause: Report | None = None
    error: JobError | None = None

    @property
    def left(self) -> int:
        """Those who were not begun, whose runs go on, or of whom another run was at work."""
        return self.total - self.served - self.skipped - self.failed - self.passed


@dataclass(slots=True)
class _Wait:
    """A time to wait for, on a clock that may be set: back, it begins anew."""

    begin: datetime
    length: timedelta

    def left(self, now: datetime) -> timedelta:
        """Return how long it still is at `now` (aware); zero or less where it is over."""
        self.begin = min(self.begin, now)
        return self.begin + self.length - now


@dataclass
class Backfill:
    """Serves users one after the other, at a rate.

    Attributes:
        serve: makes the run of a user; called from several threads, raises nothing.
        passed_of: returns those of a page of users who were served since the start of the backfill. Raises JobError.
        interval: the least time between the starts of two runs.
        on_end: called with each run that has ended.
        on_progress: called now and then.
    """

    serve: Callable[[str], Report]
    passed_of: Callable[[Sequence[str]], Collection[str]]
    process: Process
    interval: timedelta
    on_end: Callable[[str, Report], None]
    on_progress: Callable[[BackfillResult], None]
    workers: int = WORKERS
    _in_flight: dict[Future[Report], str] = field(default_factory=dict)
    _locked: list[str] = field(default_factory=list)
    _ours_in_a_row: int = 0
    _until_start: _Wait | None = None
    _until_report: _Wait | None = None

    def __call__(self, user_ids: Sequence[str]) -> BackfillResult:
        """Serve the users, in their order."""
        result = BackfillResult(len(user_ids))
        with ThreadPoolExecutor(self.workers, thread_name_prefix="user") as executor:
            try:
                self._serve(user_ids, executor, result)
                self._end_runs(result)
                if self._locked:
                    again, self._locked = self._locked, []
                    self._until_start = _Wait(self.process.now(), _LOCKED_AFTER)
                    self._serve(again, executor, result)
            except JobError as error:
                result.error = error
            self._end_runs(result)
        return result

    def _serve(self, user_ids: Sequence[str], executor: ThreadPoolExecutor, result: BackfillResult) -> None:
        """Begin the runs of users. Raises JobError where it cannot be read who is passed."""
        for start in range(0, len(user_ids), PAGE):
            page = user_ids[start : start + PAGE]
            if not self._may_begin(result):
                break
            passed = set(self.passed_of(page))
            result.passed += len(passed)
            for user_id in page:
                if user_id in passed:
                    continue
                if not self._await_turn(result):
                    break
                self._in_flight[executor.submit(self.serve, user_id)] = user_id

    def _end_runs(self, result: BackfillResult) -> None:
        while self._in_flight:
            self._look(result, _LOOK_SECONDS)

    def _may_begin(self, result: BackfillResult) -> bool:
        return not self.process.stopping() and result.cause is None

    def _await_turn(self, result: BackfillResult) -> bool:
        """Wait for a free worker and for the next place in the rate; return False if nobody is to be begun any more."""
        while self._may_begin(result):
            now = self.process.now()
            seconds = 0.0 if self._until_start is None else self._until_start.left(now).total_seconds()
            is_free = len(self._in_flight) < self.workers
            if is_free and seconds <= 0:
                # What was not used of the rate is not made up for.
                self._until_start = _Wait(now, self.interval)
                return True
            self._look(result, min(seconds, _LOOK_SECONDS) if is_free else _LOOK_SECONDS)
        return False

    def _look(self, result: BackfillResult, seconds: float) -> None:
        """Take the runs that have ended; wait for one, or for so many seconds."""
        if not self._in_flight:
            self.process.sleep(seconds)
        done, _ = wait(self._in_flight, timeout=seconds, return_when="FIRST_COMPLETED")
        for future in done:
            user_id, report = self._in_flight.pop(future), future.result()
            self._count(result, user_id, report)
            self.on_end(user_id, report)
        now = self.process.now()
        if self._until_report is None or self._until_report.left(now) <= timedelta(0):
            if self._until_report is not None:
                self.on_progress(result)
            self._until_report = _Wait(now, _REPORT_EVERY)

    def _count(self, result: BackfillResult, user_id: str, report: Report) -> None:
        if report.exit_code != ExitCode.DONE:
            result.failed += 1
        elif report.summary.reason is Reason.LOCKED:
            self._locked.append(user_id)
        elif report.summary.outcome is Outcome.SKIPPED:
            result.skipped += 1
        else:
            result.served += 1
        self._ours_in_a_row = self._ours_in_a_row + 1 if is_ours(report) else 0
        if self._ours_in_a_row >= GIVE_UP_AFTER:
            result.cause = report


def exit_of(result: BackfillResult) -> ExitCode:
    """Return how a backfill ends: 0 where everybody was served, 65 where runs failed, 75 where users are left.

    Where it stopped for a cause of the installation: 78 for a setting, else 75.
    """
    if result.error is not None:
        return ExitCode.MISCONFIGURED if isinstance(result.error, MisconfiguredError) else ExitCode.TEMPORARY
    if result.cause is not None and result.cause.exit_code == ExitCode.MISCONFIGURED:
        return ExitCode.MISCONFIGURED
    if result.left:
        return ExitCode.TEMPORARY
    return ExitCode.PERMANENT if result.failed else ExitCode.DONE
