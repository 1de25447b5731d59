"""The Redis client of the adapters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from catchup_jobs.adapters.redis.errors import FAILURES, UnknownServiceError, meaning
from catchup_jobs.adapters.redis.url import RedisUrl
from catchup_jobs.adapters.time_limit import OverTimeError, within
from catchup_jobs.jobs.run.errors import MisconfiguredError

# All keys begin with it: whoever shares a Redis may give this product rights on them alone.
KEY_PREFIX: Final = "catchup"
TIMEOUT_SECONDS: Final = 3.0
"""The longest silence of Redis."""
ANSWER_SECONDS: Final = 10.0
"""The longest time for a whole answer of Redis."""
T = TypeVar("T")


def connect(url: str, *, timeout: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Return a client for a URL (`redis.url.RedisUrl`); it connects on first use and never repeats a command.

    Args:
        timeout: of connecting and of each reply, in seconds.

    Raises:
        MisconfiguredError: the URL is malformed; it is not repeated, since it may hold a password.
    """
    client = _client(RedisUrl.parse(url), timeout)
    _bound(client)
    return client


class _BoundedAnswers:
    """A connection whose answers must be whole in time: the socket's timeout starts again with each packet."""

    def read_response(self, *arguments: Any, **named: Any) -> Any:
        """Read an answer.

        Raises:
            redis.RedisError: there is none.
        """
        connection: Any = super()
        try:
            return within(ANSWER_SECONDS, partial(connection.read_response, *arguments, **named))
        except OverTimeError:
            self.disconnect()  # type: ignore[attr-defined]
            raise redis.TimeoutError("the answer is not whole in time") from None


def _bound(client: redis.Redis) -> None:
    pool: Any = client.connection_pool
    pool.connection_class = type("Bounded", (_BoundedAnswers, pool.connection_class), {})


def _client(target: RedisUrl, timeout: float) -> redis.Redis:
    common: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "protocol": 2,
    }
    if target.service is not None:
        # Sentinel's class has no types.
        sentinels: Any = _Sentinels
        watchers = sentinels(
            target.addresses, sentinel_kwargs=common | target.sentinel_options, **(common | target.options)
        )
        for sentinel in watchers.sentinels:
            _bound(sentinel)
        client: redis.Redis = watchers.master_for(target.service)
        return client
    for host, port in target.addresses:
        return redis.Redis(host=host, port=port, **(common | target.options))
    return redis.Redis(**(common | target.options))


class _Sentinels(Sentinel):
    """Sentinels that say why they name no primary."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's address.

        Raises:
            RedisError: no Sentinel answers, or none knows a primary that works; `errors.meaning` tells them apart.
        """
        try:
            address: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            answers = [self._knows(sentinel, service_name) for sentinel in self.sentinels]
            for answer in answers:
                if isinstance(answer, RedisError) and isinstance(meaning(answer), MisconfiguredError):
                    raise answer from None
            if False in answers and True not in answers:
                raise UnknownServiceError from None
            raise
        return address

    @staticmethod
    def _knows(sentinel: redis.Redis, service_name: str) -> bool | RedisError:
        try:
            return service_name in sentinel.sentinel_masters()
        except RedisError as error:
            return error


def with_one_retry(command: Callable[[], T]) -> T:
    """Run an idempotent command, and once more after a lost reply or on a closed connection."""
    try:
        return command()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        if isinstance(error, AuthenticationError | AuthorizationError):
            raise
        return command()


@contextmanager
def as_job_errors() -> Iterator[None]:
    """Turn what a command can raise into `jobs.run.errors`.

    Raises:
        TemporaryError, MisconfiguredError: Redis cannot be used.
    """
    try:
        yield
    except FAILURES as error:
        raise meaning(error) from None
