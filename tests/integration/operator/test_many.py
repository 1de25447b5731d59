"""Many resources at the operator's start: bounded memory, and not a write where nothing changed.

Two hundred here; 5,000 with `make torture` (or CATCHUP_TORTURE=1).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

import pytest
from benchmarks.phases import Phase, peak_megabytes
from benchmarks.reconciliation import create
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from waiting import eventually

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
MANY: Final = 5000 if "CATCHUP_TORTURE" in os.environ else 200
# One pool for kopf and the operator's own requests, and a watch each of four resources.
_CONNECTIONS: Final = 20 + 4
# The memory that a resource may cost permanently: names, uids and kopf's own record; bodies are not kept.
_KB_PER_RESOURCE: Final = 12


def connections(process: OperatorProcess) -> int:
    """How many TCP connections a process has open."""
    held = set()
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    rows = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(state == "01" and f"socket:[{inode}]" in held for state, inode in ((row[3], row[9]) for row in rows))


def test_many_resources_at_start_take_bounded_memory_and_connections_and_no_write_where_nothing_changed(
    operator_process: StartOperator, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))

    def ready() -> int:
        table = namespace.kubectl("get", "us", "--no-headers", "-o", "custom-columns=S:.status.conditions[0].status")
        return table.split().count("True")

    def settled(process: OperatorProcess) -> float:
        return Phase(namespace.cluster, process).until_idle().memory

    with operator_process() as process:
        small = settled(process)
    asyncio.run(create(namespace.name, MANY))
    before = namespace.writes()
    with operator_process() as process:
        opened: list[int] = []

        def done() -> bool:
            opened.append(connections(process))
            return ready() == MANY

        eventually(done, seconds=60 + MANY / 5)
        assert 3 < max(opened) <= _CONNECTIONS
        first = peak_megabytes(process.pid)
    assert namespace.writes() - before == 3 * MANY
    with operator_process() as process:
        again = settled(process)
    assert namespace.writes() - before == 3 * MANY
    for peak in (first, again):
        assert peak - small < 25 + MANY * _KB_PER_RESOURCE / 1024, (small, first, again)
