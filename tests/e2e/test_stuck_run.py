"""A node whose kubelet stops in the middle: the sync on it is told as stuck, and ends when the kubelet is back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.test_product import person, pods_of, schedule
from waiting import eventually

from catchup_dev.stack import Stack
from catchup_operator.status.conditions import find_condition

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

PASSED = [f"2026-01-04T09:{minute}:00Z" for minute in ("00", "05", "10")]


@contextmanager
def without_kubelet(stack: Stack) -> Iterator[None]:
    """Stop the node's kubelet, which then sends no heartbeats, until the block ends; containers go on."""
    wrapper = stack.cluster.layout.daemon("kubelet").pid
    assert wrapper is not None
    # nsenter, which enters the node's namespaces, waits for the kubelet and stops with it.
    (kubelet,) = map(int, Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split())
    os.kill(kubelet, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (kubelet, wrapper):
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: all(row.healthy for row in stack.cluster.status()))
        stack.wait_for_operator()


def health(stack: Stack, user: str) -> dict[str, Any]:
    return dict(find_condition(stack.get("userschedule", user)["status"], "SyncHealthy"))


def test_a_sync_on_a_node_without_heartbeats_is_told_with_pod_and_node_until_a_run_ends(stack: Stack) -> None:
    person(stack, "nora")
    schedule(stack, "nora", calendarSync={"every": "24h"})
    stack.cronjob_of("nora")
    with without_kubelet(stack):
        job = stack.trigger("nora")
        (pod,) = eventually(lambda: [each for each in pods_of(stack, job) if each["spec"].get("nodeName")])
        # As if three slots had passed meanwhile.
        passed = json.dumps({"status": {"sync": {"nextRunTimes": PASSED}}})
        stack.kubectl("patch", "userschedule", "nora", "--subresource=status", "--type=merge", "-p", passed)
        eventually(lambda: health(stack, "nora")["reason"] == "RunStuck")
        told = health(stack, "nora")
        assert told["status"] == "False"
        assert f"Job {job}" in told["message"]
        assert f"pod {pod['metadata']['name']} to start on node {pod['spec']['nodeName']}" in told["message"]
        assert "RunStuck" in stack.kubectl("get", "events", "--field-selector=involvedObject.name=nora")
    assert stack.follow("nora", job)["lastResult"] == "Succeeded"
    assert health(stack, "nora")["status"] == "True"
