from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from catchup_operator.instruments import Instruments
from catchup_operator.kube.errors import ApiError
from catchup_operator.reconcile.served_namespaces import NotHeldError
from catchup_operator.reconcile.work_queue import RetryAfterError


def tasks(instruments: Instruments, result: str) -> float:
    labels = {"task": "repair", "result": result}
    return instruments.registry.get_sample_value("catchup_operator_reconcile_total", labels) or 0.0


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "success"),
        (ApiError(500, "etcd"), "error"),
        (KeyError("a bug"), "error"),
        (RetryAfterError("quota", seconds=600), "retry_after"),
        (NotHeldError("another release", seconds=15), "not_held"),
    ],
    ids=repr,
)
def test_a_task_is_counted_by_how_it_ends_and_timed(error: Exception | None, result: str) -> None:
    instruments = Instruments()
    with nullcontext() if error is None else pytest.raises(type(error)), instruments.task("repair"):
        if error:
            raise error
    assert tasks(instruments, result) == 1
    counted = instruments.registry.get_sample_value("catchup_operator_reconcile_time_seconds_count", {"task": "repair"})
    assert counted == 1


def test_a_task_that_the_end_of_the_operator_cancels_is_no_failure() -> None:
    instruments = Instruments()
    with pytest.raises(asyncio.CancelledError), instruments.task("repair"):
        raise asyncio.CancelledError
    assert tasks(instruments, "error") == tasks(instruments, "success") == 0
