from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from catchup_contract.kinds import SYNC
from catchup_operator.status.absence import absence
from catchup_operator.status.results import end_of

SECTION = {"cronJobName": "ada-sync-abc", "lastRunTime": "2026-11-24T09:00:00Z"}
JOB = {"metadata": {"name": "ada-sync-abc-29", "uid": "u", "creationTimestamp": "2026-11-24T09:30:00Z"}}
CREATED = "2026-11-01T00:00:00Z"
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


def pod(
    phase: str = "Pending", *, node: str | None = "n1", deleted: str | None = None, **status: Any
) -> dict[str, Any]:
    metadata = {"name": "pod-1", **({"deletionTimestamp": deleted} if deleted else {})}
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase, **status}}


# Conditions and states as kubelet, scheduler and node lifecycle controller of a real cluster write them.
UNSCHEDULED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available",
}
NOT_READY = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-24T09:31:00Z"}
ENDED = {"name": "job", "state": {"terminated": {"exitCode": 75, "reason": "Error"}}}
WAITING = {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}}


@pytest.mark.parametrize(
    ("job", "pods", "reason", "words"),
    [
        (None, [], "RunMissing", ["CronJob ada-sync-abc has started none", "the cluster's CronJob controller works"]),
        (JOB, [], "RunStuck", ["Job ada-sync-abc-29, created 2026-11-24T09:30:00Z, has no pod"]),
        (JOB, [pod(node=None, conditions=[UNSCHEDULED])], "RunStuck", ["to be scheduled (0/1 nodes are available)"]),
        (JOB, [pod()], "RunStuck", ["to start on node n1; see whether that answers"]),
        (JOB, [pod(containerStatuses=[WAITING])], "RunStuck", ["to start on node n1 (CreateContainerConfigError)"]),
        (JOB, [pod("Running")], "RunStuck", ["pod-1 on node n1, which is Running"]),
        (
            JOB,
            [pod("Running", conditions=[NOT_READY])],
            "RunStuck",
            ["which is Running, but not ready since 2026-11-24T09:31:00Z; see whether the node answers"],
        ),
        (JOB, [pod("Running", deleted="2026-11-24T09:40:00Z")], "RunStuck", ["09:40:00Z", "node n1 does not answer"]),
        (JOB, [pod("Failed"), pod(node=None)], "RunStuck", ["to be scheduled"]),
        (JOB, [pod("Failed", containerStatuses=[ENDED])], "RunStuck", ["waits before its next", "with exit code 75"]),
        ({**JOB, "spec": {"suspend": True}}, [], "RunStuck", ["29, created 2026-11-24T09:30:00Z, is suspended by"]),
        (JOB, [pod("Failed")], "RunStuck", ["waits before its next attempt; its pod pod-1 ended; see `kubectl"]),
        # of a pod that lacks anything
        (JOB, [{"metadata": {"name": "pod-1"}}], "RunStuck", ["pod-1"]),
    ],
)
def test_an_absent_run_is_told_with_since_when_and_what_it_waits_for(
    job: dict[str, Any] | None, pods: list[dict[str, Any]], reason: str, words: list[str]
) -> None:
    found = absence(SYNC, SECTION, created=CREATED, job=job, pods=pods)
    assert (found.type, found.status, found.reason) == ("SyncHealthy", "False", reason)
    assert "no sync has ended since 2026-11-24T09:00:00Z" in found.message
    assert all(word in found.message for word in words), found.message


def test_without_any_run_the_time_is_that_of_the_resource() -> None:
    assert CREATED in absence(SYNC, {}, created=CREATED, job=None, pods=[]).message


@pytest.mark.parametrize(
    ("conditions", "running"),
    [
        (None, True),
        ([], True),
        ([{"type": "Complete", "status": "True"}], False),
        ([{"type": "Failed", "status": "True"}], False),
        # At its deadline, while a pod does not end.
        ([{"type": "FailureTarget", "status": "True"}], True),
        ([{"type": "Failed", "status": "False"}], True),
    ],
)
def test_a_job_runs_until_it_is_complete_or_failed(conditions: Any, running: bool) -> None:
    assert (end_of({"status": {"conditions": conditions}}) is None) is running
