"""What an admission refuses beside a new CronJob: its suspension and its deletion go on being tried, and are told."""

from __future__ import annotations

from typing import Any

import pytest
from integration.operator.conftest import Namespace
from integration.operator.test_reconciliation import policy
from waiting import eventually

from catchup_dev.cluster import Failure
from catchup_operator.status.conditions import find_condition


@pytest.fixture(autouse=True)
def retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.refusals._REFUSED_MAX_SECONDS", 1.0)


def refused_by_policy(namespace: Namespace, operation: str) -> list[str]:
    """Forbid an operation on CronJobs; return, once the server obeys, what must be deleted to allow it again."""
    objects = policy(namespace, operation)
    name = namespace.items("cronjobs")[0]["metadata"]["name"]
    probe = ["label", "cronjob", name, "a=b"] if operation == "UPDATE" else ["delete", "cronjob", name]

    def is_refused() -> bool:
        try:
            namespace.kubectl(*probe, "--dry-run=server")
        except Failure as error:
            return "no CronJobs on Sundays" in str(error)
        return False

    eventually(is_refused)
    return objects


def ready(namespace: Namespace, name: str = "ada") -> dict[str, Any]:
    return dict(find_condition(namespace.schedule(name).get("status") or {}, "Ready"))


def suspended(namespace: Namespace) -> list[bool]:
    return [item["spec"]["suspend"] for item in namespace.items("cronjobs", "catchup.dev/user-schedule=ada")]


@pytest.mark.usefixtures("operator")
def test_a_suspension_that_a_policy_refuses_is_told_and_tried_until_it_is_done(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready("ada")
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
    cause = refused_by_policy(namespace, "UPDATE")
    namespace.kubectl("delete", "us", "ada", "--wait=false")
    told = eventually(lambda: (found := ready(namespace))["reason"] == "CronJobRefused" and found)
    assert "its CronJobs go on starting runs" in told["message"]
    assert "no CronJobs on Sundays" in told["message"]
    assert suspended(namespace) == [False, False]
    namespace.apply_younger("younger", userId="ada")  # not served while the older one is
    eventually(lambda: ready(namespace, "younger").get("reason") == "Conflict")
    namespace.cluster.kubectl("delete", *cause)
    eventually(lambda: ready(namespace)["reason"] == "Terminating")
    assert suspended(namespace) == [True, True]
    namespace.ready("younger")
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


@pytest.mark.usefixtures("operator")
def test_a_cronjob_of_that_name_that_somebody_else_made_meanwhile_is_left_alone(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready("ada")
    name = namespace.cronjob()["metadata"]["name"]
    stored = namespace.schedule()["status"]
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
    # As if the CronJob had been replaced a moment before the operator suspends it.
    patch = '{"status":{"sync":{"cronJobUID":"00000000-0000-4000-8000-000000000000"}}}'
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", patch)
    namespace.kubectl("delete", "us", "ada", "--wait=false")
    eventually(lambda: ready(namespace)["reason"] == "Terminating")
    assert namespace.get("cronjobs", name)["spec"]["suspend"] is False
    assert namespace.get("cronjobs", stored["digest"]["cronJobName"])["spec"]["suspend"] is True
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


@pytest.mark.usefixtures("operator")
def test_jobs_that_a_policy_does_not_let_be_resumed_are_not_said_to_be_switched_off_by_the_spec(
    namespace: Namespace,
) -> None:
    def health(name: str) -> dict[str, Any]:
        return dict(find_condition(namespace.schedule()["status"], name))

    namespace.apply("ada", suspend=True)
    namespace.ready("ada")
    assert health("SyncHealthy")["reason"] == "Suspended"
    cause = refused_by_policy(namespace, "UPDATE")
    namespace.apply("ada", suspend=False, digest={"enabled": False})
    eventually(lambda: ready(namespace)["reason"] == "CronJobRefused")
    assert suspended(namespace) == [True, True]
    assert (health("SyncHealthy")["status"], health("SyncHealthy")["reason"]) == ("Unknown", "NotResumed")
    assert "does not switch the sync off any more" in health("SyncHealthy")["message"]
    assert health("DigestHealthy")["reason"] == "Suspended"
    namespace.cluster.kubectl("delete", *cause)
    namespace.ready("ada")
    assert health("SyncHealthy")["reason"] == "NoRunYet"
    assert health("DigestHealthy")["reason"] == "Disabled"


@pytest.mark.usefixtures("operator")
def test_a_deletion_that_a_policy_refuses_is_told_and_tried_until_it_is_done(namespace: Namespace) -> None:
    namespace.apply_pool("people", members="UserSchedules")
    namespace.ready_pool("people")
    namespace.apply("ada")
    namespace.ready("ada")
    cause = refused_by_policy(namespace, "DELETE")
    namespace.apply("ada", pool="people")
    told = eventually(lambda: (found := ready(namespace))["reason"] == "CronJobRefused" and found)
    assert "cannot be deleted, and goes on" in told["message"]
    assert "no CronJobs on Sundays" in told["message"]
    assert len(suspended(namespace)) == 2
    namespace.cluster.kubectl("delete", *cause)
    eventually(lambda: ready(namespace)["reason"] == "Pooled")
    assert suspended(namespace) == []
