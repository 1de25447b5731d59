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
from catchup_operator.status.waiting import WaitingJob, cause_of, known_cause

CREATED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
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
EVENTS = [
    {"reason": "FailedMount", "message": "configmap not found", "lastTimestamp": "2026-11-23T09:00:09Z"},
    {"reason": "Older", "message": "x", "lastTimestamp": None, "eventTime": "2026-11-23T09:00:01.000000Z"},
]


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
        ([pod({"running": {}})], EVENTS, None),
        ([pod({"terminated": {"exitCode": 75}})], EVENTS, None),
        ([], [{"reason": "DeadlineExceeded", "message": "x"}], None),
        ([{}], [], None),
        ([{"status": {"containerStatuses": None, "conditions": None}}], [], None),
    ],
)  # fmt: skip
def test_why_no_pod_starts_is_read_of_the_pods_and_else_of_the_newest_warning(
    pods: list[dict[str, Any]], events: list[dict[str, Any]], cause: Cause | None
) -> None:
    assert cause_of(pods, events) == cause


@pytest.mark.parametrize(
    "status",
    [
        {"ready": 1},
        {"failed": 1},
        {"succeeded": 1},
        {"conditions": [{"type": "Suspended", "status": "True"}]},
        {"conditions": [{"type": "FailureTarget", "status": "True"}]},
    ],
)
def test_a_job_that_has_started_or_ended_does_not_wait(status: dict[str, Any]) -> None:
    assert WaitingJob.from_object(job(**status)) is None
    assert WaitingJob.from_object(job()) is not None


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
    assert waiting.observe(ending) is None
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
    assert told["message"] == f"Job ada-sync-x-29401200 has not started: {SECRET}"
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
