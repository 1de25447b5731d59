"""What waits for pools: a UserSchedule for its pool, a pool for its list of UserSchedules. Until then all stays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from catchup_operator.reconcile.refusals import RefusedError
from catchup_operator.reconcile.work_queue import RetryAfterError
from catchup_operator.state.pools import Pools
from catchup_operator.status import patches, ready

_POOL_SECONDS: Final = 1.0
"""The delay of a UserSchedule that waits for what is to be known of its pool."""
_REFUSED_SECONDS: Final = 5.0
"""The delay of one of which the status says that the list of UserSchedules is refused."""


class WaitsForPoolError(RetryAfterError):
    """A UserSchedule waits for its pool, or a pool for its list of UserSchedules. Until then all stays as it is."""

    log_level = logging.DEBUG
    result = "waits"


class ListRefusedError(RefusedError):
    """The API server refuses the list that a resource waits for; `patch` is the status that says why."""

    # The list's own task warns at each of its retries, which are the ones that count.
    log_level = logging.DEBUG


def pools_wait() -> RetryAfterError:
    """Return what to raise for a UserSchedule while the pools are not known."""
    return WaitsForPoolError("the SchedulePools are not listed yet", seconds=_POOL_SECONDS)


def list_wait(body: Mapping[str, Any], pools: Pools, why: str, now: datetime) -> RetryAfterError:
    """Return what to raise for a resource that waits for the list: its status says so where that is refused."""
    refused = pools.refused(body["metadata"]["namespace"])
    if refused is None:
        return WaitsForPoolError(why, seconds=_POOL_SECONDS)
    condition = ready.list_refused(refused)
    return ListRefusedError(condition.message, patches.not_ready(body, condition, now=now), seconds=_REFUSED_SECONDS)
