"""Jobs of which a pod does not start, and what keeps it, on a real API server with its controllers.

Further causes are in test_reconciliation.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_by_hand import BY_HAND, ask, taken
from integration.operator.test_reconciliation import finish_job, healthy, run_by_hand, summary
from waiting import eventually

from catchup_contract.outcomes import Outcome
from catchup_operator.status.conditions import find_condition

pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
STUCK = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "database" not found'}}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes have room"}


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator, which looks at Jobs that wait at once."""
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    monkeypatch.setattr("catchup_operator.state.waiting_jobs._FIRST_LOOK", timedelta(0))
    request.getfixturevalue("operator")


def pods(namespace: Namespace, job: str) -> list[str]:
    found = namespace.items("pods", f"batch.kubernetes.io/job-name={job}")
    return sorted(str(pod["metadata"]["name"]) for pod in found)


def report(namespace: Namespace, pod: str, status: dict[str, Any], *, state: dict[str, Any] | None = None) -> None:
    """Report the state of a pod, and of its container if it has one, as scheduler and kubelet do."""
    container = {"name": "job", "image": "x", "imageID": "", "ready": "running" in (state or {}), "restartCount": 0}
    told = {**status, **({"containerStatuses": [{**container, "state": state}]} if state else {})}
    namespace.cluster.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace.name}/pods/{pod}/status",
        {"status": told},
        content_type="application/strategic-merge-patch+json",
    )


def run(namespace: Namespace, pod: str) -> None:
    state = {"running": {"startedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}}
    report(namespace, pod, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, state=state)


def suspend(namespace: Namespace, job: str, *, value: bool) -> None:
    patch = f'{{"spec":{{"suspend":{str(value).lower()}}}}}'
    namespace.kubectl("patch", "job", job, "--type=merge", "-p", patch, "--field-manager=kueue")


@pytest.mark.usefixtures("impatient")
def test_a_job_that_is_suspended_is_told_with_who_writes_it_until_a_pod_of_it_starts(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "queued")
    suspend(namespace, "queued", value=True)
    eventually(lambda: healthy(namespace)[:2] == ("False", "JobSuspended"))
    told = healthy(namespace)[2]
    assert told.startswith("a pod of Job queued has not started: somebody suspends the Job (spec.suspend)")
    assert "kueue" in told
    suspend(namespace, "queued", value=False)
    (pod,) = eventually(lambda: pods(namespace, "queued"))
    report(namespace, pod, {"phase": "Pending"}, state=STUCK)
    eventually(lambda: healthy(namespace)[:2] == ("False", "CreateContainerConfigError"))
    run(namespace, pod)
    eventually(lambda: healthy(namespace)[:2] == ("Unknown", "NoRunYet"))
    finish_job(namespace, "queued", exit_code=0, message=summary(Outcome.DONE))
    eventually(lambda: healthy(namespace)[:2] == ("True", "Succeeded"))


@pytest.mark.usefixtures("impatient")
def test_a_run_that_an_annotation_asked_for_is_explained_as_any_other(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    namespace.kubectl("create", "quota", "none", "--hard=count/pods=0")
    eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
    text = ask(namespace, datetime.now(UTC))
    eventually(lambda: taken(namespace) == text)
    (made,) = namespace.items("cronjobs", BY_HAND)
    name = made["metadata"]["name"]
    namespace.kubectl("create", "job", f"{name}-29401201", f"--from=cronjob/{name}")
    eventually(lambda: healthy(namespace)[:2] == ("False", "FailedCreate"))
    assert "exceeded quota: none" in healthy(namespace)[2]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["quota", "drained"])
def test_a_second_attempt_that_cannot_start_is_explained_though_the_first_one_ran(
    namespace: Namespace, fault: str
) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "again")
    (first,) = eventually(lambda: pods(namespace, "again"))
    run(namespace, first)
    if fault == "quota":  # the first pod is there still
        namespace.kubectl("create", "quota", "one", "--hard=count/pods=1")
        eventually(lambda: namespace.get("resourcequotas", "one").get("status", {}).get("used"))
    finish_job(namespace, "again", exit_code=75, message="")
    if fault == "drained":
        second = eventually(lambda: [pod for pod in pods(namespace, "again") if pod != first])[0]
        report(namespace, second, {"phase": "Pending", "conditions": [UNSCHEDULABLE]})
    reason, words = {"quota": ("FailedCreate", "exceeded quota"), "drained": ("Unschedulable", "0/3 nodes")}[fault]
    eventually(lambda: healthy(namespace)[:2] == ("False", reason))
    assert words in healthy(namespace)[2]


@pytest.mark.usefixtures("impatient")
def test_a_shard_that_does_not_start_is_explained_though_another_one_runs(namespace: Namespace) -> None:
    namespace.apply_pool("people", calendarSync={"tick": "10m", "shards": 2}, digest={"tick": "10m"})
    namespace.ready_pool("people")
    run_by_hand(namespace, "tick")
    first, second = eventually(lambda: found if len(found := pods(namespace, "tick")) == 2 else None)
    run(namespace, first)
    report(namespace, second, {"phase": "Pending", "conditions": [UNSCHEDULABLE]})

    def told() -> dict[str, str]:
        return dict(find_condition(namespace.get("schedulepools", "people")["status"], "SyncHealthy"))

    eventually(lambda: told().get("reason") == "Unschedulable")
    assert told()["message"] == "a pod of Job tick has not started: 0/3 nodes have room"


@pytest.mark.usefixtures("impatient")
def test_a_pod_for_which_no_node_has_room_is_told_in_the_schedulers_words(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "big")
    (pod,) = eventually(lambda: pods(namespace, "big"))
    report(namespace, pod, {"phase": "Pending", "conditions": [UNSCHEDULABLE]})
    eventually(lambda: healthy(namespace)[:2] == ("False", "Unschedulable"))
    assert healthy(namespace)[2] == "a pod of Job big has not started: 0/3 nodes have room"


def test_a_run_that_is_out_of_memory_is_told_with_its_limit(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    template = {**JOB_TEMPLATE, "resources": {"limits": {"memory": "96Mi"}}}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
        run_by_hand(namespace, "large")
        namespace.kubectl("patch", "job", "large", "--type=merge", "-p", '{"spec":{"backoffLimit":0}}')
        (pod,) = eventually(lambda: pods(namespace, "large"))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        killed = {"exitCode": 137, "reason": "OOMKilled", "startedAt": now, "finishedAt": now}
        report(namespace, pod, {"phase": "Failed"}, state={"terminated": killed})
        eventually(lambda: healthy(namespace)[:2] == ("False", "OOMKilled"))
        assert "96Mi" in healthy(namespace)[2]
