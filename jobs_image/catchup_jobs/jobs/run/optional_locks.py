"""Locks for kinds that run without Redis: used while Redis answers, left out once it does not.

For a kind whose side effects are claimed in the database one by one (`Kind.redis_optional`): a lock only saves its
processes a wait. Such a lock never counts as lost, since the database refuses a claim that another process holds.
"""

from __future__ import annotations

import structlog

from catchup_jobs.jobs.run.errors import JobError
from catchup_jobs.jobs.run.ports import HeldBy, Lock, RunLocks

_log = structlog.get_logger()


class OptionalLocks:
    """`jobs.run.ports.RunLocks` around other locks, whose failures do not end the run.

    After their first failure the other locks are not used again: each request could cost a timeout.
    """

    def __init__(self, locks: RunLocks) -> None:
        self._locks: RunLocks | None = locks

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or return who holds it; without the other locks, nobody does."""
        if self._locks is not None:
            try:
                answer = self._locks.acquire(lock_name, run_key)
            except JobError as error:
                self._give_up(error)
            else:
                return answer if isinstance(answer, HeldBy) else _OptionalLock(answer)
        return _OptionalLock(None)

    def attempts(self, run_key: str) -> int:
        """Return the number of recorded attempts, 0 where only the run's row has it."""
        if self._locks is None:
            return 0
        try:
            return self._locks.attempts(run_key)
        except JobError as error:
            self._give_up(error)
            return 0

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        """Record an attempt and return the number of attempts, 0 where only the run's row has it."""
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
        """Return True: the claims in the database decide whether the job may go on."""
        return True

    def release(self) -> None:
        """Release the lock, if there is one."""
        if self._lock is not None:
            self._lock.release()
