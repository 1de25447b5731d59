"""A digest's locks: used while it answers, done without when it does not."""

from __future__ import annotations

import pytest

from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.optional_locks import OptionalLocks
from catchup_jobs.jobs.run.ports import HeldBy, Lock


class RunLocks:
    """Answers as scripted, and counts the questions."""

    def __init__(self, error: JobError | None = None, holder: HeldBy | None = None) -> None:
        self.error, self.holder = error, holder
        self.questions = 0
        self.held, self.released = True, False

    def _ask(self) -> None:
        self.questions += 1
        if self.error is not None:
            raise self.error

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        self._ask()
        return self.holder or self

    def attempts(self, run_key: str) -> int:
        self._ask()
        return 2

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        self._ask()
        return 3

    def is_held(self) -> bool:
        return self.held

    def release(self) -> None:
        self.released = True


def test_while_redis_answers_its_lock_and_its_numbers_are_used() -> None:
    redis = RunLocks()
    locks = OptionalLocks(redis)
    lock = locks.acquire("digest:ada", "key")
    assert not isinstance(lock, HeldBy)
    assert (locks.attempts("key"), locks.record_attempt("key", "pod:1")) == (2, 3)
    lock.release()
    assert redis.released


def test_a_run_that_has_the_lock_is_still_told() -> None:
    assert OptionalLocks(RunLocks(holder=HeldBy("other"))).acquire("digest:ada", "key") == HeldBy("other")


def test_a_lock_that_was_lost_does_not_stop_the_job() -> None:
    redis = RunLocks()
    lock = OptionalLocks(redis).acquire("digest:ada", "key")
    assert not isinstance(lock, HeldBy)
    redis.held = False
    assert lock.is_held()


@pytest.mark.parametrize("error", [TemporaryError("down"), MisconfiguredError("wrong password")])
def test_without_redis_the_run_goes_on_and_asks_it_only_once(error: JobError) -> None:
    redis = RunLocks(error)
    locks = OptionalLocks(redis)
    lock = locks.acquire("digest:ada", "key")
    assert not isinstance(lock, HeldBy)
    assert lock.is_held()
    lock.release()
    assert (locks.attempts("key"), locks.record_attempt("key", "pod:1")) == (0, 0)
    assert redis.questions == 1


def test_redis_lost_in_the_middle_is_done_without_from_there() -> None:
    redis = RunLocks()
    locks = OptionalLocks(redis)
    locks.acquire("digest:ada", "key")
    redis.error = TemporaryError("down")
    assert locks.record_attempt("key", "pod:1") == 0
    assert locks.attempts("key") == 0
    assert redis.questions == 2
