"""SchedulePools with a real API server: what the operator applies, repairs and writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_reconciliation import GARBAGE_SECONDS, finish_job, same
from kopf.testing import KopfRunner
from scraping import scraped
from waiting import eventually

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_contract.trouble import TroublePage
from catchup_operator.status.conditions import find_condition

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]

# Few ticks of the cluster's own controller come between.
RARE = {"calendarSync": {"tick": "10m"}, "digest": {"tick": "10m"}}
# Slots in minutes since 1970: 29401200 is a full hour.
COUNTS, COUNTS_NOT = 29401200, 29401201


def pool(namespace: Namespace, name: str = "people") -> dict[str, Any]:
    return namespace.get("schedulepools", name)


def condition(namespace: Namespace, name: str = "SyncHealthy", of: str = "people") -> tuple[str, str, str]:
    found = find_condition(pool(namespace, of).get("status") or {}, name)
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def summary(
    outcome: Outcome = Outcome.DONE,
    reason: Reason | None = None,
    *,
    kind: Kind = SYNC,
    members: dict[Count, int] | None = None,
    trouble: TroublePage | None = None,
) -> str:
    now = datetime.now(UTC)
    served = {Count.USERS_SERVED: 7, Count.USERS_FAILED: 1, Count.USERS_DEFERRED: 0}
    return Summary(kind, outcome, now, now, 1, reason, {**served, **(members or {})}, trouble).to_json()


def tick(namespace: Namespace, slot: int, *, kind: Kind = SYNC, exit_code: int = 0, message: str) -> str:
    """Play a tick as the CronJob controller names it; return its Job's name when that has ended."""
    cronjob = f"people-pool-{kind}"
    job = f"{cronjob}-{slot}"
    namespace.kubectl("create", "job", job, f"--from=cronjob/{cronjob}")
    finish_job(namespace, job, exit_code=exit_code, message=message)
    eventually(lambda: (namespace.get("jobs", job).get("status") or {}).get("conditions"))
    return job


def test_a_pool_becomes_two_cronjobs_and_a_status_with_exactly_three_writes(
    operator: KopfRunner, namespace: Namespace
) -> None:
    before = namespace.writes()
    namespace.apply_pool("people", **RARE)
    status = namespace.ready_pool()["status"]
    for kind in (SYNC, DIGEST):
        cronjob = namespace.cronjob(kind)
        assert cronjob["metadata"]["name"] == f"people-pool-{kind}" == status[kind.name]["cronJobName"]
        assert cronjob["metadata"]["labels"]["catchup.dev/schedule-pool"] == "people"
        assert (cronjob["spec"]["schedule"], cronjob["spec"]["timeZone"]) == ("*/10 * * * *", "Etc/UTC")
        assert status[kind.name]["display"] == "looks every 10m"
    assert condition(namespace) == ("Unknown", "NoRunYet", "no tick of the sync has ended yet")
    assert namespace.kubectl("get", "spool", "people", "--no-headers").split()[:2] == ["people", "True"]
    time.sleep(2)
    assert namespace.writes() - before == 3


def test_a_pool_beside_a_user_schedule_of_its_name_is_another_resource(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("people")
    namespace.apply_pool("people", **RARE)
    namespace.ready("people")
    namespace.ready_pool()
    assert len(namespace.items("cronjobs")) == 4
    wanted = {item["metadata"]["name"]: same(item) for item in namespace.items("cronjobs")}
    for name in wanted:
        namespace.kubectl("delete", "cronjob", name)
    eventually(lambda: {item["metadata"]["name"]: same(item) for item in namespace.items("cronjobs")} == wanted)


def test_an_edit_writes_only_the_cronjobs_that_it_changes_and_the_status(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    before = namespace.writes()
    namespace.apply_pool("people", **{**RARE, "calendarSync": {"tick": "10m", "shards": 3}})
    namespace.ready_pool()
    job = namespace.cronjob()["spec"]["jobTemplate"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 3, 3)
    assert (job["backoffLimitPerIndex"], job["maxFailedIndexes"]) == (0, 3)
    assert namespace.cronjob(DIGEST)["metadata"]["generation"] == 1
    assert namespace.writes() - before in {2, 3}  # 3 where the watch has not told of the CronJobs yet
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    job = namespace.cronjob()["spec"]["jobTemplate"]["spec"]
    assert (job["backoffLimit"], "completions" in job, "backoffLimitPerIndex" in job) == (0, False, False)
    namespace.apply_pool("people", **{**RARE, "suspend": True})
    namespace.ready_pool()
    assert [item["spec"]["suspend"] for item in namespace.items("cronjobs")] == [True, True]
    assert condition(namespace)[:2] == ("Unknown", "Suspended")


def test_a_cronjob_of_a_pool_that_is_deleted_or_edited_by_hand_comes_back(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    wanted = same(namespace.cronjob())
    name = wanted["name"]
    for harm in (
        ["delete", "cronjob", name],
        ["patch", "cronjob", name, "--type=merge", "-p", '{"spec":{"schedule":"1 1 1 1 *","suspend":true}}'],
        ["patch", "cronjob", name, "--type=merge", "-p", '{"metadata":{"ownerReferences":null}}'],
        ["label", "cronjob", name, "catchup.dev/job-"],
        ["label", "cronjob", name, "catchup.dev/schedule-pool-"],
    ):
        namespace.kubectl(*harm)
        eventually(lambda: same(namespace.cronjob()) == wanted)
    eventually(lambda: pool(namespace)["status"]["sync"]["cronJobUID"] == namespace.cronjob()["metadata"]["uid"])


def test_the_cronjobs_of_a_deleted_pool_go_with_it_and_one_of_its_name_makes_them_again(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    namespace.kubectl("delete", "spool", "people")
    eventually(lambda: not namespace.items("cronjobs"), seconds=GARBAGE_SECONDS)
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    eventually(lambda: len(namespace.items("cronjobs")) == 2)


def test_a_restart_writes_nothing_and_a_changed_template_rolls_a_pool_once(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    with operator_process():
        namespace.ready_pool()
    before = namespace.writes()
    with operator_process():
        namespace.apply_pool("others", **RARE)
        namespace.ready_pool("others")
        time.sleep(1)
    assert namespace.writes() - before == 3  # of the others
    template = {**JOB_TEMPLATE, "image": "catchup-jobs:next"}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))

    def images() -> set[str]:
        pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in namespace.items("cronjobs")]
        return {pod["containers"][0]["image"] for pod in pods}

    with operator_process():
        eventually(lambda: images() == {"catchup-jobs:next"})
        eventually(lambda: namespace.writes() - before == 9)


def told_off(namespace: Namespace) -> list[str | None]:
    """Return why the ticks of each CronJob, started by hand, serve nobody."""
    found = []
    for item in namespace.items("cronjobs"):
        (container,) = item["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        found.append({entry["name"]: entry.get("value") for entry in container["env"]}.get(Env.POOL_OFF))
    return found


def test_of_two_pools_of_one_name_the_older_serves_and_the_younger_says_which_and_takes_over(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    other = another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}"
    namespace.apply_pool("people", **RARE)
    time.sleep(1.1)  # creation times have a second's resolution
    other.apply_pool("people", **RARE)
    with operator_process():
        namespace.ready_pool()
        eventually(lambda: condition(other, "Ready")[:2] == ("False", "Conflict"))
        assert f"the older SchedulePool {namespace.name}/people" in condition(other, "Ready")[2]
        assert find_condition(pool(other)["status"], "Stalled")["status"] == "True"
        assert [item["spec"]["suspend"] for item in other.items("cronjobs")] == [True, True]
        assert [item["spec"]["suspend"] for item in namespace.items("cronjobs")] == [False, False]
        assert (told_off(other), told_off(namespace)) == (["Suspended", "Suspended"], [None, None])
        namespace.kubectl("delete", "spool", "people")
        other.ready_pool()
        assert [item["spec"]["suspend"] for item in other.items("cronjobs")] == [False, False]
        assert told_off(other) == [None, None]


def test_a_pool_that_is_deleted_and_held_by_a_finalizer_starts_no_ticks(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    namespace.kubectl("patch", "spool", "people", "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
    namespace.kubectl("delete", "spool", "people", "--wait=false")
    eventually(lambda: condition(namespace, "Ready")[:2] == ("False", "Terminating"))
    assert [item["spec"]["suspend"] for item in namespace.items("cronjobs")] == [True, True]
    namespace.kubectl("patch", "spool", "people", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_a_tick_that_counts_the_pool_reaches_the_status_by_one_write(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    before = namespace.writes()
    counted = {
        Count.MEMBERS: 3000,
        Count.MEMBERS_SYNCED: 2990,
        Count.MEMBERS_FAILING: 4,
        Count.MEMBERS_LATE: 0,
        Count.OLDEST_SYNC_SECONDS: 3600,
    }
    job = tick(namespace, COUNTS, message=summary(members=counted))
    status = eventually(lambda: (found := pool(namespace)["status"]).get("members") and found)
    assert [status[name] for name in ("members", "synced", "failing", "late")] == [3000, 2990, 4, 0]
    assert timedelta(minutes=59) < age(status["oldestSync"]) < timedelta(minutes=62)
    assert (status["sync"]["lastJobName"], status["sync"]["counts"]["usersServed"]) == (job, 7)
    assert condition(namespace) == (
        "True",
        "TicksSucceed",
        "4 of 3000 members fail; see `catchup-jobs pool members`",
    )
    assert namespace.writes() - before == 1
    digest = {Count.MEMBERS: 3000, Count.MEMBERS_FAILING: 9, Count.MEMBERS_LATE: 2}
    tick(namespace, COUNTS, kind=DIGEST, message=summary(kind=DIGEST, members=digest))
    eventually(lambda: pool(namespace)["status"]["failing"] == 9)
    status = pool(namespace)["status"]
    assert [status[name] for name in ("synced", "late")] == [2990, 2]
    assert condition(namespace, "DigestHealthy")[:2] == ("False", "MembersLate")
    assert namespace.writes() - before == 2
    row = namespace.kubectl("get", "spool", "people", "--no-headers").split()
    assert row[1:6] == ["True", "3000", "2990", "9", "2"]


def age(time: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(time)


def test_the_counts_of_shards_are_added_and_one_that_fails_says_why(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply_pool("people", calendarSync={"tick": "10m", "shards": 2}, digest={"tick": "10m"})
    namespace.ready_pool()
    job = f"people-pool-sync-{COUNTS}"
    namespace.kubectl("create", "job", job, "--from=cronjob/people-pool-sync")
    pods = f"batch.kubernetes.io/job-name={job}"
    eventually(lambda: len(namespace.items("pods", pods)) == 2)
    told = {
        "0": (0, summary(members={Count.MEMBERS: 10, Count.MEMBERS_LATE: 0})),
        "1": (75, summary(Outcome.RETRY, Reason.UNAVAILABLE)),
    }
    for pod in namespace.items("pods", pods):
        code, message = told[pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]]
        end_pod(namespace, pod["metadata"]["name"], code, message)
    eventually(lambda: condition(namespace)[:2] == ("False", "Unavailable"))
    status = pool(namespace)["status"]
    assert (status["members"], status["sync"]["counts"]["usersServed"]) == (10, 14)


def end_pod(namespace: Namespace, name: str, exit_code: int, message: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"exitCode": exit_code, "message": message, "startedAt": now, "finishedAt": now, "reason": "x"}
    container = {"name": "job", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {
        "phase": "Failed" if exit_code else "Succeeded",
        "containerStatuses": [{**container, "state": {"terminated": ended}}],
    }
    namespace.kubectl("patch", "pod", name, "--subresource=status", "-p", json.dumps({"status": status}))


def test_a_tick_without_a_need_costs_no_request_at_all(
    operator_process: StartOperator, namespace: Namespace, url: str
) -> None:
    def requests() -> dict[str, float]:
        wanted = ("resource=schedulepools", "resource=pods", "resource=jobs", "resource=cronjobs", "resource=events")
        return {
            name: number
            for name, number in scraped(url).items()
            if name.startswith("catchup_operator_api_requests_total") and any(each in name for each in wanted)
            if "verb=watch" not in name
        }

    namespace.apply_pool("people", **RARE)
    with operator_process():
        namespace.ready_pool()
        tick(namespace, COUNTS, message=summary(members={Count.MEMBERS: 5}))
        eventually(lambda: pool(namespace)["status"].get("members") == 5)
        time.sleep(1)
        before, writes = requests(), namespace.writes()
        for slot in range(COUNTS + 1, COUNTS + 5):
            tick(namespace, slot, message=summary())
        tick(namespace, COUNTS_NOT, kind=DIGEST, message=summary(kind=DIGEST))
        # The first tick of the digest that ends is told.
        eventually(lambda: condition(namespace, "DigestHealthy")[1] == "TicksSucceed")
        time.sleep(1)
        after = requests()
        assert namespace.writes() - writes == 1
    more = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    get, patch, pods = (
        f"catchup_operator_api_requests_total{{code=200,resource={resource},verb={verb}}}"
        for resource, verb in (("schedulepools", "get"), ("schedulepools/status", "patch"), ("pods", "list"))
    )
    assert more == {get: 1, patch: 1, pods: 1}


def test_a_failed_tick_is_told_once_with_what_to_do_until_one_ends_well(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **RARE)
    namespace.ready_pool()
    tick(namespace, COUNTS_NOT, message=summary())
    eventually(lambda: condition(namespace)[0] == "True")
    before = namespace.writes()
    tick(namespace, COUNTS_NOT + 1, exit_code=75, message=summary(Outcome.RETRY, Reason.UNAVAILABLE))
    eventually(lambda: condition(namespace)[:2] == ("False", "Unavailable"))
    tick(namespace, COUNTS_NOT + 2, exit_code=75, message=summary(Outcome.RETRY, Reason.UNAVAILABLE))
    time.sleep(2)
    assert namespace.writes() - before == 1
    tick(namespace, COUNTS_NOT + 6, exit_code=78, message="")
    eventually(lambda: condition(namespace)[:2] == ("False", "Misconfigured"))
    tick(namespace, COUNTS_NOT + 7, message=summary())
    eventually(lambda: condition(namespace)[:2] == ("True", "TicksSucceed"))
    assert namespace.writes() - before == 3
    reasons = [
        event["reason"] for event in namespace.items("events") if event["involvedObject"]["kind"] == "SchedulePool"
    ]
    assert sorted(reasons) == ["Misconfigured", "TicksSucceed", "Unavailable"]


@pytest.mark.parametrize("while_it", ["ran", "was down"])
def test_a_start_takes_no_failure_for_news_after_which_a_tick_ended_well(
    operator_process: StartOperator, namespace: Namespace, while_it: str
) -> None:
    def fail_and_recover() -> None:
        tick(namespace, COUNTS_NOT + 1, exit_code=75, message=summary(Outcome.RETRY, Reason.UNAVAILABLE))
        time.sleep(1.1)  # Jobs end with a second's resolution
        tick(namespace, COUNTS_NOT + 2, message=summary())

    namespace.apply_pool("people", **RARE)
    with operator_process():
        namespace.ready_pool()
        tick(namespace, COUNTS_NOT, message=summary())
        eventually(lambda: condition(namespace)[0] == "True")
        if while_it == "ran":
            fail_and_recover()
            eventually(lambda: condition(namespace)[0] == "True")
            time.sleep(1)
    if while_it == "was down":
        fail_and_recover()
    before = namespace.writes()
    with operator_process():
        namespace.apply_pool("others", **RARE)
        namespace.ready_pool("others")
        time.sleep(2)
        assert namespace.writes() - before == 3  # of the others
    assert condition(namespace)[0] == "True"


def test_ticks_that_do_not_come_are_told_once_and_taken_back_by_the_next(
    namespace: Namespace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    monkeypatch.setattr("catchup_operator.state.pool_ticks.TICK_DEADLINE_SECONDS", -1797)  # after 3 s
    request.getfixturevalue("operator")
    namespace.apply_pool("people", **RARE, suspend=True)
    namespace.ready_pool()
    time.sleep(4)
    assert condition(namespace)[:2] == ("Unknown", "Suspended")
    namespace.apply_pool("people", **RARE, suspend=False)
    namespace.ready_pool()
    before = namespace.writes()
    eventually(lambda: condition(namespace)[:2] == ("False", "RunMissing"))
    eventually(lambda: condition(namespace, "DigestHealthy")[:2] == ("False", "RunMissing"))
    assert "CronJob people-pool-sync has started none that was due" in condition(namespace)[2]
    time.sleep(7)  # it looks again meanwhile
    assert namespace.writes() - before <= 2
    tick(namespace, COUNTS_NOT, message=summary())
    eventually(lambda: condition(namespace)[:2] == ("True", "TicksSucceed"))
