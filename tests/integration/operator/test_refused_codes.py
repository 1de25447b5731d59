"""Refusals with every code that a server, a policy or a webhook may choose: none leaves READY blank."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_reconciliation import is_refused, policy
from integration.operator.test_refusals import ready, suspended
from integration.operator.test_schedule_list import COMPONENT, by_user
from integration.operator.webhooks import broken_patch, denial, webhook
from waiting import eventually

from catchup_dev.cluster import Failure
from catchup_operator.status.conditions import find_condition

pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
FINALIZER = '{"metadata":{"finalizers":["a.example/b"]}}'


@pytest.fixture(autouse=True)
def retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.refusals._REFUSED_MAX_SECONDS", 1.0)
    for module in ("work_queue", "controller", "refusals"):
        monkeypatch.setattr(f"catchup_operator.reconcile.{module}.RETRY_FIRST_SECONDS", 0.2)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("code", "reason"),
    [(409, "Conflict"), (409, "AlreadyExists"), (404, "NotFound"), (401, "Unauthorized"), (418, ""), (500, "")],
)
def test_a_webhooks_denial_is_told_whatever_its_code_and_heals(namespace: Namespace, code: int, reason: str) -> None:
    with webhook(namespace, denial(code, reason)) as asked:
        eventually(lambda: is_refused(namespace))
        namespace.apply("ada")
        told = eventually(lambda: ready(namespace))
        assert (told["status"], told["reason"]) == ("False", "CronJobRefused")
        assert 'webhook "w.example.com" denied the request: not today' in told["message"]
        assert "CREATE" in asked.asked
    namespace.ready()


@pytest.mark.usefixtures("operator")
def test_a_webhooks_denial_of_an_edit_with_the_code_of_a_conflict_is_told(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    with webhook(namespace, denial(409, "Conflict")) as asked:
        eventually(lambda: is_refused(namespace))
        namespace.apply("ada", calendarSync={"every": "1h"})
        told = eventually(lambda: (found := ready(namespace))["status"] == "False" and found)
        assert told["reason"] == "CronJobRefused"
        assert "UPDATE" in asked.asked
    namespace.ready()


@pytest.mark.usefixtures("operator")
def test_a_policys_denial_is_told_whatever_its_reason(namespace: Namespace) -> None:
    cause = policy(namespace, reason="RequestEntityTooLarge")  # 413; Forbidden and Invalid are the others
    namespace.apply("ada")
    told = eventually(lambda: ready(namespace))
    assert (told["status"], told["reason"]) == ("False", "CronJobRefused")
    assert "no CronJobs on Sundays" in told["message"]
    namespace.cluster.kubectl("delete", *cause)
    namespace.ready()


@pytest.mark.usefixtures("operator")
def test_an_error_that_goes_on_is_told_with_the_servers_words_and_heals(namespace: Namespace) -> None:
    with webhook(namespace, broken_patch()) as asked:
        eventually(lambda: is_refused(namespace))
        namespace.apply("ada")
        told = eventually(lambda: ready(namespace))
        assert (told["status"], told["reason"]) == ("False", "CronJobFailed")
        assert "fails again and again" in told["message"]
        assert "/spec/nowhere" in told["message"]
        assert len(asked.asked) >= 5
    namespace.ready()


@pytest.mark.usefixtures("operator")
def test_a_pool_of_which_the_list_is_refused_says_so_and_serves_once_it_may(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.list_writer._REFUSED_SECONDS", 1.0)
    namespace.kubectl("create", "quota", "none", "--hard=count/configmaps=1")  # that of the cluster's certificate
    eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
    namespace.apply_pool("people", members="UserSchedules")

    def told() -> dict[str, Any]:
        return dict(find_condition(namespace.get("schedulepools", "people").get("status") or {}, "Ready"))

    refused = eventually(told)
    assert (refused["status"], refused["reason"]) == ("False", "ListRefused")
    assert "exceeded quota: none" in refused["message"]
    assert not namespace.items("cronjobs")
    namespace.kubectl("delete", "quota", "none")
    namespace.ready_pool("people")


@pytest.mark.usefixtures("operator")
def test_members_of_whom_no_pod_can_be_told_say_so_until_one_can_and_the_others_are_not_written(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.list_writer._REFUSED_SECONDS", 1.0)
    namespace.apply_pool("people", members="UserSchedules")
    for name in ("ada", "bob"):
        namespace.apply(name, pool="people")
    namespace.ready_pool("people")
    eventually(lambda: by_user(namespace).keys() == {"ada", "bob"})
    cause = policy(namespace, "UPDATE", of=("", "configmaps"))
    listed = namespace.items("configmaps", COMPONENT)[0]["metadata"]["name"]
    eventually(lambda: denies(namespace, "label", "configmap", listed, "no CronJobs on Sundays"))
    before = namespace.ready("ada")["metadata"]["resourceVersion"]
    namespace.apply("carol", pool="people")
    namespace.apply("bob", pool="people", timeZone="Europe/Paris")
    for name in ("carol", "bob"):
        told = eventually(lambda name=name: (found := ready(namespace, name)).get("status") == "False" and found)  # type: ignore[misc]
        assert told["reason"] == "ListRefused"
        assert "no CronJobs on Sundays" in told["message"]
    assert by_user(namespace).keys() == {"ada", "bob"}
    namespace.cluster.kubectl("delete", *cause)
    for name in ("carol", "bob"):
        namespace.ready(name)
    assert by_user(namespace)["carol"][0].pool == "people"
    assert namespace.schedule("ada")["metadata"]["resourceVersion"] == before


def test_a_cronjob_that_is_too_large_for_etcd_is_told(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    large = {"name": "LARGE", "value": "x" * 1_700_000}
    template = {**JOB_TEMPLATE, "env": [*JOB_TEMPLATE["env"], large]}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    namespace.apply("ada")
    with operator_process():
        told = eventually(lambda: ready(namespace))
        assert (told["status"], told["reason"]) == ("False", "CronJobRefused")
        assert "request is too large" in told["message"]


@pytest.mark.usefixtures("operator")
def test_a_denial_of_a_deletion_as_if_nothing_were_there_is_no_deletion(namespace: Namespace) -> None:
    namespace.apply_pool("people", members="UserSchedules")
    namespace.ready_pool("people")
    namespace.apply("ada")
    namespace.ready()
    with webhook(namespace, denial(404, "NotFound"), operations=["DELETE"]) as asked:
        eventually(lambda: denies(namespace, "delete"))
        namespace.apply("ada", pool="people")
        told = eventually(lambda: (found := ready(namespace))["status"] == "False" and found)
        assert told["reason"] == "CronJobRefused"
        assert "cannot be deleted, and goes on" in told["message"]
        assert len(suspended(namespace)) == 2
        assert "DELETE" in asked.asked
    eventually(lambda: ready(namespace)["reason"] == "Pooled")
    assert suspended(namespace) == []


@pytest.mark.usefixtures("operator")
def test_a_denial_of_a_suspension_as_if_nothing_were_there_is_no_suspension(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", FINALIZER)
    with webhook(namespace, denial(404, "NotFound"), operations=["UPDATE"]) as asked:
        eventually(lambda: denies(namespace, "label"))
        namespace.kubectl("delete", "us", "ada", "--wait=false")
        told = eventually(lambda: (found := ready(namespace))["status"] == "False" and found)
        assert told["reason"] == "CronJobRefused"
        assert "its CronJobs go on starting runs" in told["message"]
        assert "UPDATE" in asked.asked
    eventually(lambda: ready(namespace)["reason"] == "Terminating")
    assert suspended(namespace) == [True, True]
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def denies(namespace: Namespace, verb: str, kind: str = "cronjob", name: str = "", words: str = "not today") -> bool:
    """Whether the server denies an operation on CronJobs, or on another object, already."""
    arguments: dict[str, list[Any]] = {"delete": [], "label": ["a=b"]}
    try:
        name = name or namespace.items("cronjobs")[0]["metadata"]["name"]
        namespace.kubectl(verb, kind, name, *arguments[verb], "--dry-run=server")
    except Failure as error:
        return words in str(error)
    return False
