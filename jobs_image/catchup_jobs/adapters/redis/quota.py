"""Google's quotas, shared by all pods: token buckets in Redis, one for the project, one a user, and one for the day.

A request reserves a token: the level may fall below zero, and the request then waits until it would be zero again. So a
hundred pods that start at once form a queue with one command each. For the day's bucket nobody waits, since that might
take hours: where it is empty, the request is refused.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from catchup_jobs.adapters.redis.client import KEY_PREFIX, as_job_errors, connect, with_one_retry
from catchup_jobs.adapters.redis.errors import FAILURES
from catchup_jobs.jobs.sync.ports import DailyLimitError

if TYPE_CHECKING:
    import redis

_PREFIX: Final = f"{KEY_PREFIX}:quota:google"
_DAY_KEY: Final = f"{_PREFIX}:day"
_MINUTE: Final = 60.0
_DAY: Final = 86400.0
# The share of a minute's quota that may be used at once. The rest flows in during that minute, so that no minute,
# whenever it begins, has more requests than the quota.
_BURST: Final = 0.2
"""The share of a minute's quota of Google that may be used at once."""

# KEYS: buckets, that of the day first. ARGV: for each its capacity and the tokens that flow in per second. Returns the
# seconds to wait, as text, less than 0 where the day's bucket is empty. It uses Redis's clock, since those of the pods
# may differ.
_RESERVE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local wait = 0
for i, key in ipairs(KEYS) do
  local capacity, flow = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local kept = redis.call('HMGET', key, 'level', 'at')
  local level = tonumber(kept[1]) or capacity
  local passed = math.max(0, now - (tonumber(kept[2]) or now))
  level = math.min(capacity, level + passed * flow) - 1
  if i == 1 and level < 0 then return '-1' end
  redis.call('HSET', key, 'level', tostring(level), 'at', tostring(now))
  redis.call('PEXPIRE', key, math.ceil((capacity - level) / flow * 1000) + 1000)
  if level < 0 then wait = math.max(wait, -level / flow) end
end
return tostring(wait)
"""


def project_used(client: redis.Redis, project: int) -> float:
    """Return how much of the project's bucket is used: 0 is nothing, 1 all, more where requests wait.

    Args:
        project: the requests per minute that Google grants the project.

    Raises:
        TemporaryError, MisconfiguredError: Redis cannot be used.
    """
    capacity, flow = _bucket(project, _MINUTE)

    def ask() -> tuple[Any, Any]:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hmget(_PREFIX, "level", "at")
            clock, kept = pipeline.execute()
            return clock, kept

    with as_job_errors():
        (seconds, micros), (level, at) = with_one_retry(ask)
    if level is None:
        return 0.0
    passed = max(0.0, seconds + micros / 1e6 - float(at))
    used: float = 1.0 - min(capacity, float(level) + passed * flow) / capacity
    return used


def _bucket(requests: int, seconds: float) -> tuple[float, float]:
    """Return the capacity of a bucket and the tokens that flow in per second, for requests in so many seconds."""
    return max(1.0, requests * _BURST), requests * (1 - _BURST) / seconds


class RedisQuota:
    """`jobs.sync.ports.RequestQuota` of one user, in Redis."""

    def __init__(self, client: redis.Redis, user_id: str, *, project: int, user: int, day: int) -> None:
        """Take the requests per minute of the project and of each user, and those per day of the project."""
        self._client = client
        self._keys = [_DAY_KEY, _PREFIX, f"{_PREFIX}:user:{user_id}"]
        buckets = (_bucket(day, _DAY), _bucket(project, _MINUTE), _bucket(user, _MINUTE))
        self._arguments = [value for bucket in buckets for value in bucket]

    @classmethod
    def open(cls, url: str, user_id: str, *, project: int, user: int, day: int) -> RedisQuota:
        """Return the quota behind a URL (`redis://…`, `rediss://…`); connects on first use.

        Raises:
            MisconfiguredError: the URL is malformed.
        """
        return cls(connect(url), user_id, project=project, user=user, day=day)

    def close(self) -> None:
        """Close all connections."""
        with suppress(*FAILURES):
            self._client.close()

    def reserve(self) -> float:
        """Reserve one request; return how long to wait before it may be made, in seconds.

        A reservation that is not used, or made twice since a reply was lost, delays later requests a little.

        Raises:
            DailyLimitError: the day's bucket is empty; nothing is reserved.
            TemporaryError, MisconfiguredError: Redis cannot be used.
        """

        def ask() -> Any:
            return self._client.eval(_RESERVE, len(self._keys), *self._keys, *self._arguments)

        with as_job_errors():
            wait = float(with_one_retry(ask))
        if wait < 0:
            raise DailyLimitError("the budget of requests to Google a day is spent")
        return wait
