"""What an error of Redis, or on the way to it, means for a run."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError

_CLUSTER: Final = (AskError, ClusterCrossSlotError, ClusterDownError, TryAgainError)
_REFUSED: Final = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)
# Redis's words where it has no code for the refusal: within a script, and what `AUTH` and `SELECT` answer.
_REFUSED_WORDS: Final = (
    "noperm",
    "noauth",
    "wrongpass",
    "no permission",
    "can't run this command",
    "without any password",
)
# The other answers that only a person can mend, in lower case.
_ADVICE: Final = (
    (
        ("protected mode",),
        (
            "Redis is in protected mode and admits nobody from here: give it a password, and CATCHUP_REDIS_URL too, or"
            " set `protected-mode no` where the network protects it"
        ),
    ),
    (
        ("db index is out of range", "invalid db index", "unknown command", "unknown subcommand"),
        "Redis lacks the database that CATCHUP_REDIS_URL names, or a command that is needed",
    ),
)
# The client takes this answer for an error of the connection.
_FULL: Final = "max number of clients"
# The connection was cut: by a restart as well as by a server that speaks no TLS.
_CUT: Final = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
# The code that begins an answer that the client has no class for, such as MISCONF; before it, in a transaction, the
# client says of which command.
_CODE: Final = re.compile(r"(?:^|caused error: )([A-Z]{3,20})\b")

# What the client raises on an answer that Redis would not give to the command, and what this package does with one: a
# server of another kind, or a value of another program under our key.
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
FAILURES: Final = (RedisError, *_UNREADABLE)
"""All that a command can raise."""


class UnknownServiceError(MasterNotFoundError):
    """The Sentinels answer, and do not know the name."""


def meaning(error: Exception) -> JobError:
    """Return what one of `FAILURES` means; the message holds none of its words, which may quote the URL."""
    name = type(error).__name__
    if not isinstance(error, RedisError):
        return TemporaryError(
            f"what answers is no Redis, or holds values of another program under our keys ({name}): check"
            " CATCHUP_REDIS_URL's host, port and database"
        )
    if (advice := _refusal(error)) is not None:
        return MisconfiguredError(advice.format(name=name))
    if _FULL in str(error):
        return TemporaryError("Redis has no connection free: raise its `maxclients`, or run fewer pods at once")
    if isinstance(error, ResponseError | BusyLoadingError):
        code = _CODE.search(str(error))
        return TemporaryError(f"Redis cannot serve now ({code.group(1) if code else name}): see its log")
    if isinstance(error, MasterNotFoundError):
        return TemporaryError("no Sentinel names a Redis that works: check that CATCHUP_REDIS_URL's hosts answer")
    return TemporaryError(
        f"Redis cannot be reached ({name}): check that CATCHUP_REDIS_URL's host answers, and that rediss:// stands"
        " there where it wants TLS, and only there"
    )


def _refusal(error: RedisError) -> str | None:
    said = str(error).lower() if isinstance(error, ResponseError) else ""
    if isinstance(error, _CLUSTER) and not isinstance(error, MasterDownError):
        return (
            "Redis runs in cluster mode ({name}), which catchup-jobs does not use: give it a Redis without, or one"
            " behind Sentinel"
        )
    if isinstance(error, _REFUSED) or any(words in said for words in _REFUSED_WORDS):
        return (
            "Redis refused access ({name}): check user and password in CATCHUP_REDIS_URL, and what the user may do"
            " (docs/operations.md)"
        )
    if isinstance(error, UnknownServiceError):
        return "the Sentinels know no service of the name that CATCHUP_REDIS_URL gives"
    if any(isinstance(cause, ssl.SSLError) and not isinstance(cause, _CUT) for cause in _causes(error)):
        return (
            "TLS with Redis cannot be agreed on: check rediss://, ssl_ca_certs and the host's name in"
            " CATCHUP_REDIS_URL, and the server's certificate"
        )
    return next((advice for words, advice in _ADVICE if any(word in said for word in words)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
