"""Locks and attempts in Redis.

The client never repeats a command: after a lost reply this module reads whether the command took effect.
A thread extends locks until they are released. A lock of a process that died expires.
"""

from __future__ import annotations

import math
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import redis
from redis.exceptions import AuthenticationError, AuthorizationError

from catchup_jobs.adapters.redis.client import KEY_PREFIX, TIMEOUT_SECONDS, as_job_errors, connect, with_one_retry
from catchup_jobs.adapters.redis.errors import FAILURES
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.run.ports import HeldBy, Lock

LOCK_SECONDS: Final = 60.0
"""The time to live of a lock; a thread extends it while the job lives."""
_EXTENSIONS: Final = 3
"""So often a lock is extended within its time to live."""
ATTEMPTS_SECONDS: Final = 48 * 3600
"""How long the attempts of a run are kept in Redis."""
_SEPARATOR: Final = " "
_VALUE: Final = re.compile(r"[0-9a-f]{32} .+", re.DOTALL)

# KEYS[1] the lock, ARGV[1] our value; only the holder may release or extend. A script takes the lock, too: who may not
# run scripts is refused before a lock is left behind.
_TAKE: Final = (
    "if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return ARGV[1] end"
    " return redis.call('get', KEYS[1])"
)
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
# KEYS locks, ARGV their values and the milliseconds; returns for each whether it was extended.
_EXTEND: Final = """
local extended = {}
for i, key in ipairs(KEYS) do
  extended[i] = redis.call('get', key) == ARGV[i] and redis.call('pexpire', key, ARGV[#ARGV]) or 0
end
return extended
"""


class RedisLocks:
    """`jobs.run.ports.RunLocks` in Redis."""

    def __init__(self, client: redis.Redis, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._client = client
        self._lock_seconds = lock_seconds
        self._held: set[_RedisLock] = set()
        self._guard = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._closed = threading.Event()

    @classmethod
    def open(cls, url: str, *, lock_seconds: float = LOCK_SECONDS) -> RedisLocks:
        """Return the locks in the Redis of a URL (`redis://…`, `rediss://…`); connects on first use.

        Raises:
            MisconfiguredError: the URL is malformed; it is not repeated, since it may hold a password.
        """
        return cls(connect(url), lock_seconds=lock_seconds)

    def close(self) -> None:
        """Close all connections; locks that were not released expire."""
        self._closed.set()
        if self._keeper is not None:
            self._keeper.join(timeout=2 * TIMEOUT_SECONDS)
        with suppress(*FAILURES):
            self._client.close()

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or return who holds it; does not wait.

        Raises:
            TemporaryError, MisconfiguredError: Redis cannot be used.
        """
        key = f"{KEY_PREFIX}:lock:{lock_name}"
        value = f"{secrets.token_hex(16)}{_SEPARATOR}{run_key}"
        asked_at = time.monotonic()
        with as_job_errors():
            holder = self._take(key, value)
        if holder == value:
            # From before the request, so that it ends no later than in Redis.
            return self._hold(_RedisLock(key, value, asked_at + self._lock_seconds, self._release))
        if not isinstance(holder, str) or not _VALUE.fullmatch(holder):
            raise TemporaryError("what answers is no Redis, or holds values of another program under our keys")
        return HeldBy(holder.partition(_SEPARATOR)[2])

    def _hold(self, lock: _RedisLock) -> _RedisLock:
        with self._guard:
            self._held.add(lock)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="lock-extension", daemon=True)
                self._keeper.start()
        return lock

    def _release(self, lock: _RedisLock) -> None:
        with self._guard:
            self._held.discard(lock)
        with suppress(*FAILURES):
            self._client.eval(_RELEASE, 1, lock.key, lock.value)

    def _keep(self) -> None:
        while not self._closed.wait(self._lock_seconds / _EXTENSIONS):
            with self._guard:
                held = [lock for lock in self._held if not lock.is_lost]
            # After a failure it is tried again at the next time; `is_held` says whether that is too late.
            with suppress(*FAILURES):
                self._extend(held)

    def _extend(self, locks: list[_RedisLock]) -> None:
        if not locks:
            return
        asked_at = time.monotonic()
        keys, values = [lock.key for lock in locks], [lock.value for lock in locks]
        milliseconds = math.ceil(self._lock_seconds * 1000)
        answer: Any = self._client.eval(_EXTEND, len(keys), *keys, *values, milliseconds)
        for lock, extended in zip(locks, answer, strict=True):
            if extended:
                lock.held_until = asked_at + self._lock_seconds
            else:
                lock.is_lost = True

    def _take(self, key: str, value: str) -> object:
        """Try to take the lock; return the holder's value."""
        milliseconds = math.ceil(self._lock_seconds * 1000)
        try:
            return self._client.eval(_TAKE, 1, key, value, milliseconds)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if isinstance(error, AuthenticationError | AuthorizationError):
                raise
            # The reply is lost: Redis says whether the lock was granted.
            if (holder := self._client.get(key)) is not None:
                return holder
            return self._client.eval(_TAKE, 1, key, value, milliseconds)

    def attempts(self, run_key: str) -> int:
        """Return the number of recorded attempts.

        Raises:
            TemporaryError, MisconfiguredError: Redis cannot be used.
        """
        with as_job_errors():
            return with_one_retry(lambda: int(self._client.scard(_attempts_key(run_key))))

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        """Record an attempt for 48 hours and return the number of attempts; the same id twice counts once.

        Raises:
            TemporaryError, MisconfiguredError: Redis cannot be used.
        """
        key = _attempts_key(run_key)

        def add() -> int:
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.sadd(key, attempt_id)
                pipeline.expire(key, ATTEMPTS_SECONDS)
                pipeline.scard(key)
                return int(pipeline.execute()[2])

        with as_job_errors():
            return with_one_retry(add)


class _RedisLock:
    """A lock in Redis, which is extended each time a third of its time has passed."""

    def __init__(self, key: str, value: str, held_until: float, release: Callable[[_RedisLock], None]) -> None:
        self.key = key
        self.value = value
        self.held_until = held_until
        self.is_lost = False
        self._release = release

    def is_held(self) -> bool:
        """Whether the time last granted has not passed; a process that was stopped for longer gets False."""
        return not self.is_lost and time.monotonic() < self.held_until

    def release(self) -> None:
        """Release the lock if it is still ours; if Redis cannot be reached, it expires."""
        self._release(self)
        self.is_lost = True


def _attempts_key(run_key: str) -> str:
    return f"{KEY_PREFIX}:attempts:{run_key}"
