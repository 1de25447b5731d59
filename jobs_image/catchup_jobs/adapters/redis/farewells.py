"""Pods of pools that ended by themselves while the database could not be used, in Redis. The keys expire."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from catchup_jobs.adapters.redis.client import KEY_PREFIX, as_job_errors, connect, with_one_retry
from catchup_jobs.adapters.redis.errors import FAILURES
from catchup_jobs.jobs.run.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Collection

    import redis

# Longer than an outage of the database that lasts over a weekend.
_KEPT_SECONDS: Final = 7 * 24 * 3600
"""How long Redis keeps that a pod of a pool has ended by itself during an outage of the database."""

_log = structlog.get_logger()


class RedisFarewells:
    """`jobs.pool.ports.Farewells` in Redis: a key for each pod."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @classmethod
    def open(cls, url: str) -> RedisFarewells:
        """Return those in the Redis of a URL; connects on first use. Raises MisconfiguredError."""
        return cls(connect(url))

    def say(self, process_id: str) -> None:
        """Say that a process holds no member any more; never raises."""
        try:
            with as_job_errors():
                with_one_retry(lambda: self._client.set(_key(process_id), "1", ex=_KEPT_SECONDS))
        except JobError as error:
            _log.warning("claims that cannot be settled may count as those of a dead process", why=str(error))

    def said(self, process_ids: Collection[str]) -> set[str]:
        """Return those of these processes that said so; none where Redis does not answer. Never raises."""
        with suppress(JobError), as_job_errors():
            return {one for one in process_ids if with_one_retry(partial(self._client.exists, _key(one)))}
        return set()

    def close(self) -> None:
        """Close all connections."""
        with suppress(*FAILURES):
            self._client.close()


def _key(process_id: str) -> str:
    return f"{KEY_PREFIX}:farewell:{process_id}"
