"""UserSchedules that name a SchedulePool, on a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_pools import COUNTS, RARE, summary, tick
from integration.operator.test_schedule_list import by_user
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.outcomes import Reason
from catchup_contract.summary import Count
from catchup_contract.trouble import page_of
from catchup_operator.status.conditions import find_condition

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
POOL: dict[str, Any] = {"members": "UserSchedules", **RARE}


def ready(namespace: Namespace, name: str = "ada") -> tuple[str, str]:
    found = find_condition(namespace.schedule(name).get("status") or {}, "Ready")
    return found.get("status", ""), found.get("reason", "")


def users_cronjobs(namespace: Namespace) -> list[str]:
    return [item["metadata"]["name"] for item in namespace.items("cronjobs", "catchup.dev/user-schedule")]


def test_a_user_schedule_in_a_pool_has_no_cronjobs_and_costs_one_write(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **POOL)
    namespace.ready_pool()
    eventually(lambda: namespace.items("configmaps", "app.kubernetes.io/component=schedule-list"))
    before = namespace.writes()
    namespace.apply("ada", pool="people", timeZone="Europe/Berlin")
    status = namespace.ready()["status"]
    assert ready(namespace) == ("True", "Pooled")
    assert users_cronjobs(namespace) == []
    assert status["sync"] == {"display": "every 30m"}
    # A date that was written would pass: what the operator is not told stays empty.
    assert status["digest"].keys() == {"display", "activeSince"}
    row = namespace.kubectl("get", "us", "ada", "--no-headers")
    assert "people" in row
    assert "Sunday 09:00" in row
    eventually(lambda: by_user(namespace).keys() == {"ada"})
    (listed,) = by_user(namespace)["ada"]
    assert (listed.pool, listed.is_served, listed.sync_every, listed.digest_day) == ("people", True, "30m", "Sunday")
    assert namespace.writes() - before == 1
    namespace.apply("ada", pool="people", suspend=True)
    namespace.ready()
    assert ready(namespace) == ("True", "Suspended")
    eventually(lambda: [each.is_served for each in by_user(namespace)["ada"]] == [False])
    assert namespace.writes() - before == 2


def test_a_pool_that_is_missing_serves_nobody_until_it_is_there_and_a_pool_of_the_database_is_none_for_them(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada", pool="people")
    eventually(lambda: ready(namespace) == ("False", "PoolNotFound"))
    assert find_condition(namespace.schedule()["status"], "Stalled")["status"] == "True"
    assert users_cronjobs(namespace) == []
    namespace.apply_pool("people", **POOL)
    eventually(lambda: ready(namespace) == ("True", "Pooled"))
    eventually(lambda: [each.is_served for each in by_user(namespace)["ada"]] == [True])
    namespace.apply_pool("people", **{**POOL, "members": "Database"})
    eventually(lambda: ready(namespace) == ("False", "PoolNotFound"))
    eventually(lambda: [each.is_served for each in by_user(namespace)["ada"]] == [False])
    namespace.apply_pool("people", **POOL)
    eventually(lambda: ready(namespace) == ("True", "Pooled"))
    namespace.kubectl("delete", "spool", "people")
    eventually(lambda: ready(namespace) == ("False", "PoolNotFound"))
    assert "nextRuns" not in namespace.schedule()["status"]["digest"]


def test_a_user_whose_new_pool_is_not_there_keeps_the_cronjobs_until_it_is(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    before = [item["metadata"]["uid"] for item in namespace.items("cronjobs")]
    namespace.apply("ada", pool="people")
    eventually(lambda: ready(namespace) == ("False", "PoolNotFound"))
    assert [item["metadata"]["uid"] for item in namespace.items("cronjobs")] == before
    assert [item["spec"]["suspend"] for item in namespace.items("cronjobs")] == [False, False]
    namespace.apply_pool("people", **POOL)
    eventually(lambda: ready(namespace) == ("True", "Pooled"))
    assert users_cronjobs(namespace) == []
    assert [each.is_served for each in by_user(namespace)["ada"]] == [True]


def test_members_of_a_suspended_pool_say_so_until_it_is_resumed(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply_pool("people", **POOL)
    namespace.apply("ada", pool="people")
    eventually(lambda: ready(namespace) == ("True", "Pooled"))
    namespace.apply_pool("people", **POOL, suspend=True)
    eventually(lambda: ready(namespace) == ("True", "PoolSuspended"))
    status = namespace.schedule()["status"]
    assert status["digest"].keys() == {"display", "activeSince"}
    assert namespace.kubectl("get", "us", "ada", "--no-headers").split()[3:5] == ["Suspended", "Suspended"]
    namespace.apply_pool("people", **POOL)
    eventually(lambda: ready(namespace) == ("True", "Pooled"))
    assert namespace.schedule()["status"]["digest"]["display"] == "Sunday 09:00"


def test_members_in_trouble_are_told_and_taken_back_also_by_an_operator_that_was_away(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    def told(name: str) -> tuple[str, str]:
        found = find_condition(namespace.schedule(name).get("status") or {}, "SyncHealthy")
        return found.get("status", ""), found.get("reason", "")

    def page(**troubles: Reason) -> str:
        uids = {name: namespace.schedule(name)["metadata"]["uid"] for name in troubles}
        trouble = page_of([(uids[name], reason) for name, reason in troubles.items()], 3)
        counted = {Count.MEMBERS: 3, Count.MEMBERS_FAILING: len(troubles)}
        return summary(members=counted, trouble=trouble)

    namespace.apply_pool("people", **POOL)
    for name in ("ada", "bob", "cy"):
        namespace.apply(name, pool="people")
    with operator_process():
        namespace.ready_pool()
        for name in ("ada", "bob", "cy"):
            namespace.ready(name)
        before = namespace.writes()
        tick(namespace, COUNTS, message=page(ada=Reason.RECONNECT, bob=Reason.BUDGET_SPENT))
        eventually(lambda: (told("ada"), told("bob")) == (("False", "Reconnect"), ("False", "BudgetSpent")))
        assert (told("cy"), ready(namespace)) == (("Unknown", "Pooled"), ("True", "Pooled"))
        assert namespace.writes() - before == 3  # of the pool, and of two members
        events = namespace.kubectl("get", "events", "--field-selector=involvedObject.name=ada", "-o", "name")
        assert len(events.split()) == 1
        # One that changes nothing waits for the next count, or that of the other kind.
        for slot in (COUNTS + 10, COUNTS + 15):
            tick(namespace, slot, message=page(ada=Reason.RECONNECT, bob=Reason.BUDGET_SPENT))
        eventually(lambda: namespace.writes() - before == 4)  # of the pool alone
    with operator_process():
        namespace.apply("dee")
        namespace.ready("dee")  # by then the others are known
        tick(namespace, COUNTS + 20, message=page(cy=Reason.CRASHED))
        eventually(lambda: (told("ada"), told("cy")) == (("Unknown", "Pooled"), ("False", "Crashed")))


def test_a_user_who_moves_into_a_pool_keeps_the_cronjobs_until_its_pods_know_and_has_them_again_on_the_way_back(
    namespace: Namespace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.state.known_schedules.STAY_SECONDS", 5.0)
    request.getfixturevalue("operator")
    namespace.apply("ada")
    since = namespace.ready()["status"]["digest"]["activeSince"]
    namespace.apply_pool("people", **POOL)
    namespace.ready_pool()
    eventually(lambda: by_user(namespace).keys() == {"ada"})
    assert [each.pool for each in by_user(namespace)["ada"]] == [""]
    namespace.apply("ada", pool="people")
    while users_cronjobs(namespace):
        time.sleep(0.05)
    assert [(each.pool, each.generation) for each in by_user(namespace)["ada"]] == [("people", 2)]
    status = namespace.ready()["status"]
    assert (ready(namespace), status["digest"]["activeSince"]) == (("True", "Pooled"), since)
    assert "cronJobName" not in status["sync"]
    before = namespace.writes()
    namespace.apply("ada", pool="")
    status = namespace.ready()["status"]
    assert ready(namespace) == ("True", "Reconciled")
    assert len(users_cronjobs(namespace)) == 2
    assert status["digest"]["activeSince"] == since
    assert namespace.writes() - before == 3
    assert [each.pool for each in by_user(namespace)["ada"]] == ["people"]
    eventually(lambda: [each.pool for each in by_user(namespace)["ada"]] == [""])


def test_a_restart_within_a_quarter_of_an_hour_after_a_move_leaves_the_member_on_the_list(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    namespace.apply_pool("people", **POOL)
    namespace.apply("ada", pool="people")
    with operator_process():
        namespace.ready_pool()
        eventually(lambda: ready(namespace) == ("True", "Pooled"))
        namespace.apply("ada", pool="")
        eventually(lambda: ready(namespace) == ("True", "Reconciled"))
        assert len(users_cronjobs(namespace)) == 2
        assert [each.pool for each in by_user(namespace)["ada"]] == ["people"]
    before = namespace.writes()
    with operator_process():
        namespace.apply("bob")
        eventually(lambda: by_user(namespace).keys() == {"ada", "bob"})
        assert [each.pool for each in by_user(namespace)["ada"]] == ["people"]
        namespace.ready("bob")
    assert namespace.writes() - before == 3  # bob's


def test_a_restart_and_another_job_template_write_nothing_for_a_user_in_a_pool(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    namespace.apply_pool("people", **POOL)
    namespace.apply("ada", pool="people")
    namespace.apply("lost", pool="nowhere")
    with operator_process():
        namespace.ready()
        namespace.ready_pool()
        eventually(lambda: ready(namespace, "lost") == ("False", "PoolNotFound"))
        eventually(lambda: by_user(namespace).keys() == {"ada", "lost"})
    before, lists = namespace.writes(), namespace.applies("configmaps")
    with operator_process():
        namespace.apply("bob")
        namespace.ready("bob")
        eventually(lambda: by_user(namespace).keys() == {"ada", "lost", "bob"})
    assert namespace.writes() - before == 3  # bob's
    assert namespace.applies("configmaps") - lists == 2
    template = {**JOB_TEMPLATE, "image": "catchup-jobs:next"}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    with operator_process():
        eventually(lambda: namespace.writes() - before == 9)  # bob's three, and those of the pool
        namespace.apply("carol")
        namespace.ready("carol")
    assert namespace.writes() - before == 12


def test_a_next_digest_that_has_passed_is_taken_back_and_no_run_of_a_pooled_user_is_called_missing(
    operator_process: StartOperator,
    namespace: Namespace,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    namespace.apply_pool("people", **POOL)
    namespace.apply("ada", pool="people")
    with operator_process():
        namespace.ready_pool()
        true = namespace.ready()["status"]["digest"]
    # As an operator of before left it.
    passed = {"status": {"digest": {"nextRuns": ["passed"], "nextRunTimes": ["2026-01-04T08:00:00Z"]}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    before = namespace.writes()
    request.getfixturevalue("operator")
    eventually(lambda: namespace.schedule()["status"]["digest"] == true)
    time.sleep(2)
    assert namespace.writes() - before == 1
    assert find_condition(namespace.schedule()["status"], "DigestHealthy")["reason"] == "Pooled"
