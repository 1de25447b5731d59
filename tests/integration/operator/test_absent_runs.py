"""Runs that do not come: no Job, no pod, or a pod on a node without a kubelet, which no Job controller sees ending."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from subprocess import Popen
from typing import Any

import pytest
import yaml
from integration.operator.conftest import Namespace
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from waiting import eventually

from catchup_contract.kinds import DIGEST
from catchup_contract.outcomes import Outcome
from catchup_operator.status.conditions import find_condition

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[Popen[bytes]]]
PASSED = [f"2026-01-04T09:{minute}:00Z" for minute in ("00", "05", "10")]


@pytest.fixture
def dead_node(namespace: Namespace) -> Iterator[str]:
    """A node of which nobody ever hears."""
    name = f"dead-{secrets.token_hex(4)}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    namespace.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(node))
    yield name
    namespace.cluster.kubectl("delete", "node", name)


def no_job(namespace: Namespace, node: str) -> list[str]:
    return ["RunMissing", f"CronJob {namespace.cronjob()['metadata']['name']} has started none that was due"]


def no_scheduler(namespace: Namespace, node: str) -> list[str]:
    run_by_hand(namespace, "now")
    pod(namespace)
    return ["RunStuck", "Job now, created ", f"waits for its pod {pod(namespace)} to be scheduled"]


def no_kubelet(namespace: Namespace, node: str) -> list[str]:
    run_by_hand(namespace, "now")
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod(namespace)}, "target": {"name": node}}
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod(namespace)}/binding"
    namespace.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    return ["RunStuck", f"waits for its pod {pod(namespace)} to start on node {node}"]


def dead_kubelet(namespace: Namespace, node: str) -> list[str]:
    no_kubelet(namespace, node)
    # As the node lifecycle controller does after five minutes.
    namespace.kubectl("delete", "pod", pod(namespace), "--wait=false")
    assert namespace.get("pods", pod(namespace))["metadata"]["deletionTimestamp"]
    return ["RunStuck", f"pod {pod(namespace)}, deleted at ", f"node {node} does not answer"]


def pod(namespace: Namespace) -> str:
    (found,) = eventually(lambda: namespace.items("pods", "batch.kubernetes.io/job-name=now"))
    return str(found["metadata"]["name"])


@pytest.mark.parametrize("fault", [no_job, no_scheduler, no_kubelet, dead_kubelet])
def test_a_sync_of_which_three_slots_passed_is_told_with_why_and_since_when_by_one_write_and_one_event(
    operator_process: StartOperator,
    namespace: Namespace,
    dead_node: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: Callable[[Namespace, str], list[str]],
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    namespace.apply("ada", calendarSync={"every": "24h"})
    with operator_process():
        created = namespace.ready()["metadata"]["creationTimestamp"]
    reason, *words = fault(namespace, dead_node)
    passed = {"status": {"sync": {"nextRunTimes": PASSED}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    before = namespace.writes()
    request.getfixturevalue("operator")
    found: Any = eventually(lambda: (c := health(namespace)).get("reason") == reason and c)
    assert found["status"] == "False"
    assert f"no sync has ended since {created}" in found["message"]
    assert all(word in found["message"] for word in words), found["message"]
    time.sleep(2)
    assert namespace.writes() - before == 1
    assert len([event for event in namespace.items("events") if event["reason"] == reason]) == 1
    # An edit does not make it well, and a run that ends does.
    namespace.apply("ada", calendarSync={"every": "24h"}, timeZone="Asia/Tokyo")
    assert health(namespace, namespace.ready())["reason"] == reason
    if fault is not dead_kubelet:
        if fault is no_job:
            run_by_hand(namespace, "now")
        finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: health(namespace).get("status") == "True")


def test_a_digest_that_did_not_come_is_told_after_its_due_time_and_the_next_one_is_named(
    operator_process: StartOperator,
    namespace: Namespace,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    namespace.apply("ada")
    with operator_process():
        true = namespace.ready()["status"]["digest"]["nextRunTimes"]
    passed = {"status": {"digest": {"nextRunTimes": [PASSED[0], *true[:2]]}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    request.getfixturevalue("operator")
    eventually(lambda: namespace.schedule()["status"]["digest"]["nextRunTimes"] == true)
    status = namespace.schedule()["status"]
    found = find_condition(status, "DigestHealthy")
    assert (found["status"], found["reason"]) == ("False", "RunMissing")
    assert f"CronJob {namespace.cronjob(DIGEST)['metadata']['name']}" in found["message"]
    assert find_condition(status, "SyncHealthy")["reason"] == "NoRunYet"


def health(namespace: Namespace, schedule: dict[str, Any] | None = None) -> dict[str, str]:
    status = (schedule or namespace.schedule())["status"]
    return dict(find_condition(status, "SyncHealthy"))
