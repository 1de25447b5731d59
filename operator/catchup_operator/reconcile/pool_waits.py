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
from catchup_operator.status.conditions import READY, find_condition
from catchup_operator.status.job_health import UNKNOWN, SwitchedOff

_POOL_SECONDS: Final = 1.0
"""The delay of a UserSchedule that waits for what is to be known of its pool."""
_REFUSED_SECONDS: Final = 5.0
"""The delay of a SchedulePool of which the status says that the list of UserSchedules is refused."""
_TOLD_SECONDS: Final = 600.0
"""The delay of a UserSchedule of which the status says so; it is taken up as soon as the list is written."""


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
    """Return what to raise for a SchedulePool that waits for the list: its status says so where that is refused."""
    refused = pools.refused(body["metadata"]["namespace"])
    if refused is None:
        return WaitsForPoolError(why, seconds=_POOL_SECONDS)
    return _refused(body, refused, now, UNKNOWN, seconds=_REFUSED_SECONDS)


def member_wait(body: Mapping[str, Any], pools: Pools, now: datetime, off: SwitchedOff) -> RetryAfterError:
    """Return what to raise for a UserSchedule that its pool's pods are to know first; `off` is what it switches off."""
    namespace, why = body["metadata"]["namespace"], "the pods of the pool do not know it yet"
    refused = pools.refused(namespace)
    if refused is None and not is_told(body):
        return WaitsForPoolError(why, seconds=_POOL_SECONDS)
    pools.note_waiting(namespace, body["metadata"]["uid"])
    if refused is None:
        return WaitsForPoolError(why, seconds=_TOLD_SECONDS)
    return _refused(body, refused, now, off, seconds=_TOLD_SECONDS)


def is_told(body: Mapping[str, Any]) -> bool:
    """Whether the status says that the list is refused: so it stays until one is written, also after a restart."""
    return find_condition(body.get("status") or {}, READY).get("reason") == ready.LIST_REFUSED


def _refused(
    body: Mapping[str, Any], refused: str, now: datetime, off: SwitchedOff, *, seconds: float
) -> ListRefusedError:
    condition = ready.list_refused(refused)
    return ListRefusedError(condition.message, patches.not_ready(body, condition, now=now, off=off), seconds=seconds)
