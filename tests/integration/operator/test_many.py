"""Many resources at the operator's start: bounded memory, and not a write where nothing changed.

Two hundred here; 5,000 with `make torture` (or CATCHUP_TORTURE=1).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from subprocess import Popen
from typing import Any, Final

import pytest
from benchmarks.reconciliation import create, until_idle, used
from integration.operator.conftest import Namespace
from waiting import eventually

# One API server for these, and another one for those with faults.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[Popen[bytes]]]
MANY: Final = 5000 if "CATCHUP_TORTURE" in os.environ else 200
# A resource may cost this much memory for good: names, uids and kopf's own record; bodies are not kept.
_KB_PER_RESOURCE: Final = 12


def test_many_resources_at_start_take_bounded_memory_and_no_write_where_nothing_changed(
    operator_process: StartOperator, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))

    def ready() -> int:
        table = namespace.kubectl("get", "us", "--no-headers", "-o", "custom-columns=S:.status.conditions[0].status")
        return table.split().count("True")

    def settled(process: Popen[bytes]) -> float:
        return until_idle(namespace.cluster, process).memory

    with operator_process() as process:
        small = settled(process)
    asyncio.run(create(namespace.name, MANY))
    before = namespace.writes()
    with operator_process() as process:
        eventually(lambda: ready() == MANY, seconds=60 + MANY / 5)
        first: Any = used(process)[1]
    assert namespace.writes() - before == 3 * MANY
    with operator_process() as process:
        again = settled(process)
    assert namespace.writes() - before == 3 * MANY
    for peak in (first, again):
        assert peak - small < 25 + MANY * _KB_PER_RESOURCE / 1024, (small, first, again)
