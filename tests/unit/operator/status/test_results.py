from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_operator.status.results import FinishedJob, result_of

ENDED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def job(condition: dict[str, Any] | None, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "people",
            "name": "ada-sync-x-29401200",
            "uid": "job-uid",
            "labels": {"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada", **labels},
            "ownerReferences": [{"kind": "CronJob", "name": "ada-sync-x", "uid": "u", "controller": True}],
        },
        "status": {"conditions": [condition]} if condition else {},
    }


def condition(kind: str, reason: str = "") -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2026-11-23T09:00:00Z"}


def finished(kind: str, reason: str = "") -> FinishedJob:
    found = FinishedJob.from_object(job(condition(kind, reason)))
    assert found is not None
    return found


def pod(message: str = "", exit_code: int = 0, at: str = "2026-11-23T09:00:00Z") -> dict[str, Any]:
    state = {"terminated": {"message": message, "exitCode": exit_code, "finishedAt": at}}
    return {"status": {"containerStatuses": [{"name": "job", "state": state}]}}


def summary(outcome: Outcome, reason: Reason | None = None, kind: Kind = SYNC, **counts: int) -> str:
    found = {Count[name.upper()]: value for name, value in counts.items()}
    return Summary(kind, outcome, ENDED, ENDED, reason=reason, counts=found).to_json()


def test_a_running_job_and_a_job_of_somebody_else_are_no_finished_runs() -> None:
    assert FinishedJob.from_object(job(None)) is None
    assert FinishedJob.from_object(job({"type": "Complete", "status": "False"})) is None
    foreign = job(condition("Complete"))
    del foreign["metadata"]["labels"]["catchup.dev/user-schedule"]
    assert FinishedJob.from_object(foreign) is None
    assert FinishedJob.from_object(job(condition("Complete"), **{"catchup.dev/job": "mining"})) is None


@pytest.mark.parametrize(
    ("end", "pods", "result", "reason"),
    [
        (("Complete", ""), [pod(summary(Outcome.DONE))], "Succeeded", None),
        (("Complete", ""), [pod(summary(Outcome.DONE, Reason.PARTIAL))], "Succeeded", "Partial"),
        (("Complete", ""), [pod(summary(Outcome.SKIPPED, Reason.RECONNECT))], "Skipped", "Reconnect"),
        (("Complete", ""), [], "Succeeded", None),
        (("Complete", ""), [pod(summary(Outcome.FAILED, Reason.CRASHED))], "Succeeded", "Crashed"),
        (
            ("Failed", "PodFailurePolicy"),
            [pod(summary(Outcome.FAILED, Reason.UNKNOWN_USER), 65)],
            "Failed",
            "UnknownUser",
        ),
        (("Failed", "PodFailurePolicy"), [pod("", 78)], "Failed", "Misconfigured"),
        (("Failed", "PodFailurePolicy"), [pod("", 65)], "Failed", "BadData"),
        (("Failed", "PodFailurePolicy"), [], "Failed", "PodFailurePolicy"),
        (("Failed", "BackoffLimitExceeded"), [pod("", 137)], "Failed", "BackoffLimitExceeded"),
        (
            ("Failed", "BackoffLimitExceeded"),
            [pod(summary(Outcome.RETRY, Reason.UNAVAILABLE), 75)],
            "Failed",
            "Unavailable",
        ),
        (("Failed", "DeadlineExceeded"), [pod(summary(Outcome.DONE))], "Failed", "DeadlineExceeded"),
    ],
)
def test_the_outcome_is_the_jobs_condition_and_the_details_are_the_summarys(
    end: tuple[str, str], pods: list[dict[str, Any]], result: str, reason: str | None
) -> None:
    run = result_of(finished(*end), pods)
    assert (run.result, run.reason) == (result, reason)
    assert (run.message is None) == (result != "Failed")


@pytest.mark.parametrize(
    ("reason", "pods", "told"),
    [
        ("DeadlineExceeded", [], True),
        ("DeadlineExceeded", [{"status": {"containerStatuses": [{"name": "job", "state": {"waiting": {}}}]}}], True),
        ("DeadlineExceeded", [pod("", 143)], False),
        ("BackoffLimitExceeded", [], False),
    ],
)
def test_a_run_of_which_no_pod_began_names_what_its_namespace_must_hold(
    reason: str, pods: list[dict[str, Any]], told: bool
) -> None:
    message = result_of(finished("Failed", reason), pods, ["Secret database", "Secret redis"]).message
    assert message is not None
    assert ("see whether people holds Secret database, Secret redis" in message) is told


@pytest.mark.parametrize(
    "owner",
    [
        {"controller": True},
        {},  # kubectl create job --from up to 1.27, Argo CD's "Create Job"
        {"controller": False, "blockOwnerDeletion": True},
    ],
)
def test_a_run_belongs_to_the_cronjob_whose_uid_it_names_however_it_was_made(owner: dict[str, Any]) -> None:
    by_hand = job(condition("Complete"))
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "ada-sync-x", "uid": "u", **owner}
    by_hand["metadata"]["ownerReferences"] = [
        {"kind": "Workflow", "name": "w", "uid": "v", "controller": True},
        reference,
    ]
    found = FinishedJob.from_object(by_hand)
    assert found is not None
    assert found.cronjob_uid == "u"


def test_only_our_containers_end_counts_whatever_others_end_later_and_say() -> None:
    found = pod(summary(Outcome.SKIPPED, Reason.RECONNECT), at="2026-11-23T08:59:00Z")
    for name, message in (("mesh", summary(Outcome.DONE)), ("logs", "")):
        state = {"terminated": {"message": message, "exitCode": 78, "finishedAt": "2026-11-23T09:00:00Z"}}
        found["status"]["containerStatuses"].insert(0, {"name": name, "state": state})
    run = result_of(finished("Complete"), [found])
    assert (run.result, run.reason) == ("Skipped", "Reconnect")
    assert result_of(finished("Failed", "PodFailurePolicy"), [found]).reason == "Reconnect"


@pytest.mark.parametrize(
    ("containers", "told"),
    [
        ([{"name": "job", "resources": {"limits": {"memory": "512Mi"}}}], "its memory limit of 512Mi;"),
        ([{"name": "mesh", "resources": {"limits": {"memory": "1Mi"}}}, {"name": "job"}], "the node's memory;"),
        ([], "raise jobs.resources.limits.memory"),
    ],
)
def test_a_run_that_was_out_of_memory_is_called_so_with_the_limit(containers: list[Any], told: str) -> None:
    killed = pod("", 137)
    killed["spec"] = {"containers": containers}
    killed["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    earlier = pod(summary(Outcome.RETRY, Reason.UNAVAILABLE), 75, at="2026-11-23T08:00:00Z")
    run = result_of(finished("Failed", "BackoffLimitExceeded"), [killed, earlier])
    assert (run.result, run.reason) == ("Failed", "OOMKilled")
    assert told in str(run.message)


def test_a_slot_is_told_from_a_run_by_hand_by_the_name_that_the_controller_gives() -> None:
    assert finished("Complete").slot == datetime(2025, 11, 25, 12, 0, tzinfo=UTC)
    by_hand = job(condition("Complete"))
    by_hand["metadata"]["name"] = "ada-now"
    found = FinishedJob.from_object(by_hand)
    assert found is not None
    assert found.slot is None


def test_counts_come_from_the_pod_that_ended_last() -> None:
    early = pod(summary(Outcome.RETRY, Reason.UNAVAILABLE, events_added=1), at="2026-11-23T08:59:00Z")
    late = pod(summary(Outcome.DONE, events_added=2), at="2026-11-23T09:00:00Z")
    assert result_of(finished("Complete"), [late, early]).counts == {"eventsAdded": 2}


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        "null",
        "{}",
        "[" * 4000,
        '{"job":"sync"}',
        summary(Outcome.DONE, kind=DIGEST),
        summary(Outcome.DONE).replace("done", "hacked"),
        summary(Outcome.DONE).replace('"counts":{}', '"counts":{"passwords":1}'),
        summary(Outcome.DONE).replace('"counts":{}', '"counts":{"pages":-1}'),
        summary(Outcome.DONE).replace('"counts":{}', '"counts":{"pages":true}'),
        summary(Outcome.DONE).replace('"counts":{}', '"counts":{"pages":1e9}'),
        summary(Outcome.DONE) + " " * 5000,
        "ada@example.org",
    ],
)
def test_a_message_that_is_no_summary_of_this_job_tells_nothing(message: str) -> None:
    run = result_of(finished("Complete"), [pod(message)])
    assert (run.result, run.reason, run.message, run.counts) == ("Succeeded", None, None, {})


def shard(number: int, message: str, exit_code: int = 0, at: str = "2026-11-23T09:00:00Z") -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-completion-index": str(number)}
    return {**pod(message, exit_code, at), "metadata": {"labels": labels}}


def test_the_counts_of_shards_are_added_and_of_the_pods_of_one_shard_the_last_counts() -> None:
    pods = [
        shard(0, summary(Outcome.DONE, users_served=5, members=70), at="2026-11-23T09:00:09Z"),
        shard(1, summary(Outcome.RETRY, Reason.UNAVAILABLE, users_served=100), 75, at="2026-11-23T08:00:00Z"),
        shard(1, summary(Outcome.DONE, users_served=7)),
    ]
    result = result_of(finished("Complete"), pods)
    assert (result.result, result.counts) == ("Succeeded", {"usersServed": 12, "members": 70})


def test_the_shard_that_failed_says_why_though_others_ended_later() -> None:
    pods = [
        shard(0, summary(Outcome.DONE, users_served=5), at="2026-11-23T09:00:09Z"),
        shard(1, summary(Outcome.RETRY, Reason.UNAVAILABLE), 75),
    ]
    result = result_of(finished("Failed", "FailedIndexes"), pods)
    assert (result.result, result.reason, result.counts["usersServed"]) == ("Failed", "Unavailable", 5)


def test_the_job_of_a_request_serves_no_slot_though_the_controller_names_it_by_its_minute() -> None:
    assert finished("Complete").slot is not None
    found = FinishedJob.from_object(job(condition("Complete"), **{"catchup.dev/by-hand": "true"}))
    assert found is not None
    assert (found.slot, found.cronjob_name) == (None, "ada-sync-x")
