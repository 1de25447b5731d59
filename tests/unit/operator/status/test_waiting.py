from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import SYNC
from catchup_operator.state.waiting_jobs import WaitingJobs
from catchup_operator.status import patches
from catchup_operator.status.conditions import find_condition
from catchup_operator.status.results import Cause, FinishedJob, result_of
from catchup_operator.status.waiting import (
    WaitingJob,
    cause_of,
    is_superseded,
    known_cause,
    since_last_pod,
    suspended,
)

CREATED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
# As in the name of a Job of its slot.
MADE = int(CREATED.timestamp()) // 60
SECRET = 'secret "database" not found'


def job(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "people",
            "name": "ada-sync-x-29401200",
            "uid": "job-uid",
            "creationTimestamp": "2026-11-23T09:00:00Z",
            "labels": {"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada"},
            "ownerReferences": [{"kind": "CronJob", "name": "ada-sync-x", "uid": "u"}],
        },
        "status": status,
    }


def waiting_job() -> WaitingJob:
    found = WaitingJob.from_object(job(active=1, ready=0))
    assert found is not None
    return found


def pod(*states: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    return {
        "status": {
            "containerStatuses": [{"name": "job", "state": state} for state in states],
            "initContainerStatuses": [{"name": "init", "state": state} for state in init],
            **status,
        }
    }


def waits(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


UNSCHEDULED = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
# A sidecar that somebody injected runs.
SIDECAR = {
    "status": {
        "containerStatuses": [
            {"name": "proxy", "state": {"running": {}}},
            {"name": "job", "state": waits("CreateContainerConfigError", SECRET)},
        ]
    }
}
EVENTS: list[dict[str, Any]] = [
    {"reason": "FailedMount", "message": "configmap not found", "lastTimestamp": "2026-11-23T09:00:09Z"},
    {"reason": "Older", "message": "x", "lastTimestamp": None, "eventTime": "2026-11-23T09:00:01.000000Z"},
]


# As containerd says it, by way of the kubelet.
NO_HANDLER = {
    "reason": "FailedCreatePodSandBox",
    "message": "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
    'no runtime for "runsc" is configured',
}
NO_HANDLER_WORDS = 'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "runsc" is configured'
NO_NETWORK = {**NO_HANDLER, "message": "Failed to create pod sandbox: no network"}
BOUND_AT = "2026-11-23T09:00:05Z"


def bound(*, at: str | None = BOUND_AT, runtime: str | None = None, **status: Any) -> dict[str, Any]:
    """A pod that the scheduler gave to a node."""
    spec = {"nodeName": "n1", **({"runtimeClassName": runtime} if runtime else {})}
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at}
    found = {"phase": "Pending", "conditions": [condition], **status}
    return {"metadata": {"name": "pod-1"}, "spec": spec, "status": found}


TAKEN_UP = {"startTime": BOUND_AT}
SILENT = Cause("NodeSilent", f"node n1 has not taken up its pod pod-1 since {BOUND_AT}; see whether the node is Ready")
NO_ROOM = {"reason": "FailedScheduling", "message": "0/3 nodes", "lastTimestamp": "2026-11-23T09:00:01Z"}


@pytest.mark.parametrize(
    ("pods", "events", "cause"),
    [
        ([], [], None),
        ([], [{"reason": "FailedCreate", "message": "exceeded quota"}], Cause("FailedCreate", "exceeded quota")),
        ([pod(conditions=UNSCHEDULED)], [], Cause("Unschedulable", "0/3 nodes")),
        ([pod(waits("CreateContainerConfigError", SECRET))], [], Cause("CreateContainerConfigError", SECRET)),
        ([pod(waits("ErrImagePull", "no such tag"))], [], Cause("ImagePullBackOff", "no such tag")),
        ([pod(waits("InvalidImageName"))], [], Cause("InvalidImageName", "InvalidImageName")),
        ([pod(waits("ContainerCreating"))], [], None),
        ([pod(waits("ContainerCreating"))], EVENTS, Cause("FailedMount", "configmap not found")),
        ([pod(waits("PodInitializing"), init=(waits("ErrImagePull", "a"),))], [], Cause("ImagePullBackOff", "a")),
        ([pod(waits("ErrImagePull", "b"), init=({"terminated": {}},))], [], Cause("ImagePullBackOff", "b")),
        ([pod({"running": {}})], [], None),
        ([pod({"terminated": {"exitCode": 75}})], EVENTS, Cause("FailedMount", "configmap not found")),
        ([pod({"terminated": {"exitCode": 75}}), pod(conditions=UNSCHEDULED)], [], Cause("Unschedulable", "0/3 nodes")),
        ([pod({"running": {}}), pod(waits("InvalidImageName"))], [], Cause("InvalidImageName", "InvalidImageName")),
        ([pod(phase="Failed", conditions=UNSCHEDULED)], [], None),
        ([SIDECAR], [], Cause("CreateContainerConfigError", SECRET)),
        ([], [{"reason": "DeadlineExceeded", "message": "x"}], None),
        # A node without a kubelet: nothing tells but what is missing.
        ([bound()], [], SILENT),
        ([bound()], [NO_ROOM], SILENT),
        ([bound(at="2026-11-23T09:00:50Z")], [], None),  # a moment ago
        ([bound(at=None)], [], None),
        ([bound(**TAKEN_UP)], [], None),
        ([bound(**TAKEN_UP)], [NO_ROOM], None),  # a node with room has come meanwhile
        ([bound(**TAKEN_UP, runtime="gvisor")], [NO_HANDLER], Cause(
            "FailedCreatePodSandBox", f"{NO_HANDLER_WORDS}; node n1 does not have what RuntimeClass gvisor names"
        )),
        ([bound(**TAKEN_UP, runtime="gvisor")], [NO_NETWORK], Cause(NO_NETWORK["reason"], NO_NETWORK["message"])),
        ([bound(**TAKEN_UP)], [NO_HANDLER], Cause("FailedCreatePodSandBox", NO_HANDLER_WORDS)),
        ([pod(waits("ErrImagePull", "rpc error: code = NotFound desc = x"))], [], Cause("ImagePullBackOff", "x")),
        ([{}], [], None),
        ([{"status": {"containerStatuses": None, "conditions": None}}], [], None),
    ],
)  # fmt: skip
def test_why_no_pod_starts_is_read_of_the_pods_and_else_of_the_newest_warning(
    pods: list[dict[str, Any]], events: list[dict[str, Any]], cause: Cause | None
) -> None:
    assert cause_of(pods, events, now=CREATED + timedelta(minutes=1)) == cause


@pytest.mark.parametrize(
    ("last", "superseded"),
    [(f"ada-sync-x-{MADE + 5}", True), (f"ada-sync-x-{MADE}", False), ("by-hand", False), (None, False)],
)
def test_what_a_job_waits_for_is_told_until_a_later_slot_has_ended(last: str | None, *, superseded: bool) -> None:
    assert is_superseded({"cronJobName": "ada-sync-x", "lastJobName": last}, waiting_job()) is superseded


@pytest.mark.parametrize(
    "status",
    [
        {"ready": 1},
        {"ready": 1, "failed": 1},
        {"succeeded": 1},
        {"conditions": [{"type": "FailureTarget", "status": "True"}]},
    ],
)
def test_a_job_that_has_started_or_ended_does_not_wait(status: dict[str, Any]) -> None:
    assert WaitingJob.from_object(job(**status)) is None
    assert WaitingJob.from_object(job()) is not None


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ({"ready": 1}, True),
        ({"ready": 2}, True),
        ({"ready": 3}, False),
        ({"ready": 1, "succeeded": 1}, True),
        ({"ready": 1, "succeeded": 1, "failed": 1}, False),
        ({"succeeded": 2, "failed": 1}, False),
    ],
)
def test_a_job_with_shards_waits_until_each_of_them_runs_or_has_ended(status: dict[str, int], *, waits: bool) -> None:
    shards = {**job(**status), "spec": {"completions": 3, "parallelism": 3}}
    assert (WaitingJob.from_object(shards) is not None) is waits


def test_a_job_whose_next_attempt_does_not_start_waits() -> None:
    found = WaitingJob.from_object(job(failed=2, active=1))
    assert found is not None
    assert found.failed == 2


@pytest.mark.parametrize(
    "suspended", [{"spec": {"suspend": True}}, {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}]
)
def test_a_job_that_somebody_suspends_waits_for_them(suspended: dict[str, Any]) -> None:
    found = WaitingJob.from_object({**job(), **suspended})
    assert found is not None
    assert found.is_suspended
    assert not waiting_job().is_suspended


def test_who_writes_a_suspended_job_is_named_beside_its_controllers() -> None:
    told = suspended(["kube-controller-manager", "kueue"])
    assert (told.reason, told.message.partition("; ")[2]) == ("JobSuspended", "who else writes it: kueue")
    assert "who else" not in suspended(["kube-controller-manager"]).message


def test_what_is_told_of_a_job_before_its_last_pod_was_made_is_not_why_another_one_waits() -> None:
    made = [{"metadata": {"creationTimestamp": "2026-11-23T09:00:05Z"}}]
    assert since_last_pod(made, EVENTS) == EVENTS[:1]
    assert since_last_pod([], EVENTS) == EVENTS
    same_second = [{"eventTime": "2026-11-23T09:00:05.000001Z"}]
    assert since_last_pod(made, same_second) == same_second


def test_a_job_is_looked_at_anew_once_its_next_attempt_is_due_or_it_is_resumed() -> None:
    waiting = WaitingJobs()
    waiting.observe(job(failed=1))
    at = CREATED + timedelta(minutes=5)
    assert waiting.due(at) == []  # its next attempt begins after a pause
    assert len(waiting.due(at + timedelta(seconds=20))) == 1
    assert len(waiting.due(at + timedelta(seconds=40))) == 1
    waiting.note_explained(waiting_job())
    suspended = {**job(failed=1), "spec": {"suspend": True}}
    waiting.observe(suspended)
    waiting.observe(job(failed=1))
    assert waiting.due(at + timedelta(seconds=41)) == []
    assert [found.is_suspended for found in waiting.due(at + timedelta(seconds=61))] == [False]
    assert waiting.observe(job(failed=1, ready=1)) is not None  # what was said is taken back all the same


def test_looks_begin_after_twenty_seconds_and_become_rare() -> None:
    waiting, looks = WaitingJobs(), 0
    waiting.observe(job())
    assert waiting.due(CREATED + timedelta(seconds=19)) == []
    for second in range(20, 3600, 30):
        looks += len(waiting.due(CREATED + timedelta(seconds=second)))
    assert 5 <= looks <= 10


def test_only_a_wait_that_was_explained_is_taken_back() -> None:
    waiting = WaitingJobs()
    waiting.observe(job())
    assert waiting.observe(job(ready=1)) is None
    waiting.observe(job())
    waiting.note_explained(waiting_job())
    assert waiting.observe(job(active=1)) is None
    assert waiting.observe(job(ready=1)) == waiting_job()
    assert waiting.observe(job(ready=1)) is None
    waiting.observe(job())
    waiting.note_explained(waiting_job())
    ending = job(failed=1, conditions=[{"type": "FailureTarget", "status": "True"}])
    assert not waiting.is_ending(waiting_job())
    assert waiting.observe(ending) is None
    assert waiting.is_ending(waiting_job())  # and has not started, for whoever looks at it at the moment
    waiting.forget(job())
    assert not waiting.is_ending(waiting_job())
    waiting.observe(job())
    waiting.note_explained(waiting_job())
    assert waiting.forget(job()) == waiting_job()
    waiting.observe(job())
    waiting.keep(set())
    assert not waiting.is_waiting(waiting_job())


def test_the_status_says_why_once_and_takes_it_back_when_the_pod_starts() -> None:
    before = body({}, status={"sync": {"lastResult": "Succeeded"}, "conditions": []})
    cause = Cause("CreateContainerConfigError", SECRET)
    patch = patches.waiting(before, waiting_job(), cause, now=CREATED)
    assert patch is not None
    told = find_condition(patch, "SyncHealthy")
    assert (told["status"], told["reason"]) == ("False", "CreateContainerConfigError")
    assert told["message"] == f"a pod of Job ada-sync-x-29401200 has not started: {SECRET}"
    after = {**before, "status": {**before["status"], **patch}}
    assert patches.waiting(after, waiting_job(), Cause(cause.reason, "other words"), now=CREATED) is None
    assert known_cause(after, SYNC, "ada-sync-x-29401200") == cause
    assert known_cause(after, SYNC, "another") is None
    back = patches.started(after, None, waiting_job(), now=CREATED)
    assert back is not None
    assert find_condition(back, "SyncHealthy")["status"] == "True"
    assert patches.started(before, None, waiting_job(), now=CREATED) is None


def test_a_run_that_ended_without_a_pod_keeps_the_cause() -> None:
    end = {
        "type": "Failed",
        "status": "True",
        "reason": "DeadlineExceeded",
        "lastTransitionTime": "2026-11-23T09:10:00Z",
    }
    finished = FinishedJob.from_object(job(conditions=[end]))
    assert finished is not None
    run = result_of(finished, [], ["Secret other"], cause=Cause("CreateContainerConfigError", SECRET))
    assert (run.result, run.reason) == ("Failed", "CreateContainerConfigError")
    assert run.message == f"Job ada-sync-x-29401200 failed: no pod of it started: {SECRET}"
