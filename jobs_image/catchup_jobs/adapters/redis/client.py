"""The Redis client of the adapters, and what its errors mean for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

TIMEOUT_SECONDS: Final = 3.0
T = TypeVar("T")


def connect(url: str, *, timeout: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Return a client for a URL (`redis://…`, `rediss://…`); it connects on first use and never repeats a command.

    Args:
        timeout: of connecting and of each reply, in seconds.

    Raises:
        MisconfiguredError: the URL is malformed; it is not repeated, since it may hold a password.
    """
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            protocol=2,
        )
    except ValueError:
        raise MisconfiguredError("CATCHUP_REDIS_URL is not a URL such as redis://host:6379/0") from None


def twice(command: Callable[[], T]) -> T:
    """Run an idempotent command, and once more after a lost reply or on a closed connection."""
    try:
        return command()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        if isinstance(error, AuthenticationError | AuthorizationError):
            raise
        return command()


@contextmanager
def classified() -> Iterator[None]:
    """Turn the client's errors into `jobs.run.errors`.

    Raises:
        TemporaryError, MisconfiguredError: Redis cannot be used.
    """
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise MisconfiguredError(
            f"Redis refused access ({type(error).__name__}): check user and password in CATCHUP_REDIS_URL"
        ) from None
    except ResponseError as error:
        if str(error).startswith(("NOAUTH", "WRONGPASS")):
            raise MisconfiguredError("Redis wants a password: check CATCHUP_REDIS_URL") from None
        raise TemporaryError(f"Redis cannot serve now ({type(error).__name__})") from None
    except RedisError as error:
        raise TemporaryError(f"Redis cannot be reached ({type(error).__name__})") from None
