"""Runs that do not come: no Job, no pod, or a pod on a node without a kubelet, which no Job controller sees ending."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from integration.operator.test_refusals import refused_by_policy
from integration.operator.test_waiting_jobs import run
from waiting import eventually

from catchup_contract.kinds import DIGEST
from catchup_contract.outcomes import Outcome
from catchup_operator.status.conditions import find_condition

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
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
    # What a pod waits for is told by other tests, and would be a write of its own.
    monkeypatch.setattr("catchup_operator.state.waiting_jobs._FIRST_LOOK", timedelta(hours=1))
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


def test_a_node_that_takes_up_no_pod_is_named_without_waiting_for_three_slots_until_it_does(
    namespace: Namespace, dead_node: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    monkeypatch.setattr("catchup_operator.state.waiting_jobs._FIRST_LOOK", timedelta(0))
    monkeypatch.setattr("catchup_operator.status.waiting._TAKEN_UP_WITHIN", timedelta(seconds=1))
    request.getfixturevalue("operator")
    namespace.apply("ada", calendarSync={"every": "24h"})
    namespace.ready()
    no_kubelet(namespace, dead_node)
    eventually(lambda: health(namespace)["reason"] == "NodeSilent")
    told = health(namespace)
    assert told["status"] == "False"
    assert f"node {dead_node} has not taken up its pod {pod(namespace)} since " in told["message"]
    run(namespace, pod(namespace))
    eventually(lambda: health(namespace)["reason"] == "NoRunYet")


def refused_edit(namespace: Namespace) -> tuple[str, list[str]]:
    """Return the reason of `Ready`, and what was made for that in the cluster."""
    made = refused_by_policy(namespace, "UPDATE")
    namespace.apply("ada", calendarSync={"every": "12h"})
    return "CronJobRefused", made


def pool_that_is_not_there(namespace: Namespace) -> tuple[str, list[str]]:
    namespace.apply("ada", calendarSync={"every": "24h"}, pool="people")
    return "PoolNotFound", []


@pytest.mark.parametrize("unready", [refused_edit, pool_that_is_not_there])
def test_syncs_that_do_not_come_are_told_also_where_ready_is_false(
    operator_process: StartOperator,
    namespace: Namespace,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unready: Callable[[Namespace], tuple[str, list[str]]],
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    namespace.apply("ada", calendarSync={"every": "24h"})
    with operator_process():
        namespace.ready()
    # Before the operator sees them: the edit must not make it forget them.
    passed = {"status": {"sync": {"nextRunTimes": PASSED}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    reason, made = unready(namespace)
    request.getfixturevalue("operator")
    eventually(lambda: health(namespace).get("reason") == "RunMissing")
    ready = find_condition(namespace.schedule()["status"], "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    before = namespace.reads("userschedules")
    time.sleep(6)  # twelve rounds; what is refused is tried again meanwhile
    assert namespace.reads("userschedules") - before <= 6, "it is read in each round"
    if made:
        namespace.cluster.kubectl("delete", *made)


@pytest.mark.parametrize("fault", ["edit", "roll"])
def test_an_edit_or_a_roll_does_not_put_off_when_syncs_count_as_missing(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace, fault: str
) -> None:
    namespace.apply("ada", calendarSync={"every": "24h"})
    with operator_process():
        future = namespace.ready()["status"]["sync"]["nextRunTimes"]
    passed = {"status": {"sync": {"nextRunTimes": [*PASSED[:2], future[0]]}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    before = namespace.schedule()["status"]
    if fault == "edit":
        namespace.apply("ada", calendarSync={"every": "24h"}, timeZone="Asia/Tokyo")
    else:
        template = {**JOB_TEMPLATE, "image": "catchup-jobs:newer"}
        Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    with operator_process():

        def written() -> dict[str, Any] | None:
            status = namespace.ready()["status"]
            is_new = (status["observedGeneration"], status["templateHash"]) != (
                before["observedGeneration"],
                before["templateHash"],
            )
            return status if is_new else None

        status = eventually(written)
    assert status["sync"]["nextRunTimes"] == [*PASSED[:2], future[0]]
    assert find_condition(status, "SyncHealthy")["reason"] == "NoRunYet"


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
