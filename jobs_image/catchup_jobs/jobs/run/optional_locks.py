"""RunLocks that a job can do without: locks and attempts while Redis answers, the database's own claims when not.

For a job whose side effects are claimed in the database one by one, so that a lock only spares it a wait. The lock of
such a run is never taken for lost: the database refuses what is not this process's to do.
"""

from __future__ import annotations

import structlog

from catchup_jobs.jobs.run.errors import JobError
from catchup_jobs.jobs.run.ports import HeldBy, Lock, RunLocks

_log = structlog.get_logger()


class OptionalLocks:
    """`jobs.run.ports.RunLocks` around another, whose failures do not end the run.

    After its first failure the other is not asked again: each question costs a timeout.
    """

    def __init__(self, locks: RunLocks) -> None:
        self._locks: RunLocks | None = locks

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or tell who has it; without the other, there is none to take."""
        if self._locks is not None:
            try:
                answer = self._locks.acquire(lock_name, run_key)
            except JobError as error:
                self._give_up(error)
            else:
                return answer if isinstance(answer, HeldBy) else _OptionalLock(answer)
        return _OptionalLock(None)

    def attempts(self, run_key: str) -> int:
        """Return the number of booked attempts, 0 where only the run's row has it."""
        if self._locks is None:
            return 0
        try:
            return self._locks.attempts(run_key)
        except JobError as error:
            self._give_up(error)
            return 0

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        """Book an attempt and return their number, 0 where only the run's row has it."""
        if self._locks is None:
            return 0
        try:
            return self._locks.record_attempt(run_key, attempt_id)
        except JobError as error:
            self._give_up(error)
            return 0

    def _give_up(self, error: JobError) -> None:
        _log.warning("going on without locks", error_class=type(error).__name__, why=str(error))
        self._locks = None


class _OptionalLock:
    def __init__(self, lock: Lock | None) -> None:
        self._lock = lock

    def is_held(self) -> bool:
        """Whether the job may go on: always, its claims decide."""
        return True

    def release(self) -> None:
        """Give the lock back, if there is one."""
        if self._lock is not None:
            self._lock.release()
