"""The progress of runs, in Redis: counts and times, no personal data. The keys expire."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import redis

from catchup_jobs.adapters.redis.client import KEY_PREFIX, as_job_errors, connect
from catchup_jobs.adapters.redis.errors import FAILURES
from catchup_jobs.jobs.suggestions.ports import PROGRESS_KEPT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TIMEOUT_SECONDS: Final = 1.0
_INTERVAL_SECONDS: Final = 0.5
"""How often a run writes its progress to Redis."""
_AFTER_FAILURE_SECONDS: Final = 30.0
"""How long no progress is written after Redis did not take it."""
_PREFIX: Final = f"{KEY_PREFIX}:progress:suggestions:"


class RedisProgress:
    """`jobs.suggestions.ports.ProgressReporter` in Redis: a hash per shard, which expires."""

    def __init__(self, client: redis.Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._quiet_until = float("-inf")
        self._state: str | int | None = None

    @classmethod
    def open(cls, url: str) -> RedisProgress:
        """Return the board behind a URL (`redis://…`, `rediss://…`); connects on first use.

        Raises:
            MisconfiguredError: the URL is malformed; it is not repeated, since it may hold a password.
        """
        return cls(connect(url, timeout=_TIMEOUT_SECONDS))

    def show(self, subject: str, fields: Mapping[str, str | int]) -> None:
        """Replace what is shown of a shard, once in `_INTERVAL_SECONDS` unless its state changes; never raises."""
        now = self._monotonic()
        if now < self._quiet_until and fields.get("state") == self._state:
            return
        self._state = fields.get("state")
        key = _PREFIX + subject
        try:
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.delete(key)
                pipeline.hset(key, mapping={name: str(value) for name, value in fields.items()})
                pipeline.expire(key, PROGRESS_KEPT_SECONDS)
                pipeline.execute()
        except FAILURES:
            # If Redis hangs, not every batch must wait for the timeout.
            self._quiet_until = now + _AFTER_FAILURE_SECONDS
        else:
            self._quiet_until = now + _INTERVAL_SECONDS

    def read(self) -> dict[str, dict[str, str]]:
        """Return what is shown of each shard.

        Raises:
            TemporaryError, MisconfiguredError: Redis cannot be used.
        """
        with as_job_errors():
            keys = sorted(self._client.scan_iter(match=f"{_PREFIX}*", count=500))
            shown = {str(key).removeprefix(_PREFIX): self._client.hgetall(key) for key in keys}
        # A key that expired meanwhile is empty.
        return {
            subject: {str(name): str(value) for name, value in fields.items()}
            for subject, fields in shown.items()
            if fields
        }

    def close(self) -> None:
        """Close all connections."""
        with suppress(*FAILURES):
            self._client.close()
