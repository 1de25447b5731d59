"""Each permission of the operator revoked in turn: it names the missing one, and continues once it is granted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import audit
import pytest
import yaml
from integration.operator.chart_rendering import render
from integration.operator.conftest import Namespace, act_as
from integration.operator.test_pools import COUNTS, RARE, tick
from integration.operator.test_pools import summary as pool_summary
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from integration.operator.test_schedule_list import by_user
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome
from catchup_contract.summary import Count
from catchup_operator.manifests.names import cronjob_name
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.conditions import find_condition

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")


@pytest.fixture
def role(helm: Path, namespace: Namespace, operator_env: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """Apply the chart's own Role; the operator's kubeconfig is that of its service account."""
    wanted = [d for d in render(helm, namespace, {}) if d["metadata"]["name"] == "catchup-jobs-operator"]
    rbac = [d for d in wanted if d["kind"] in {"ServiceAccount", "Role", "RoleBinding"}]
    for document in rbac:
        document["metadata"]["namespace"] = namespace.name
        if document["kind"] == "Role":  # so that each can be revoked by itself
            document["rules"] = [
                {**rule, "resources": [resource], **names}
                for rule in document["rules"]
                for resource in rule["resources"]
                for names in [{"resourceNames": [name]} for name in rule.get("resourceNames", ())] or [{}]
            ]
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rbac))
    operator_env["KUBECONFIG"] = str(act_as(namespace, "catchup-jobs-operator", tmp_path / "kubeconfig"))
    found: dict[str, Any] = next(document for document in rbac if document["kind"] == "Role")
    return found


def test_the_forecast_needs_no_namespace_in_the_operators_own_pod(
    role: dict[str, Any], operator_env: dict[str, str], namespace: Namespace
) -> None:
    namespace.apply("ada")
    program = str(Path(sys.executable).parent / "catchup-operator")
    command = [program, "forecast", "--output", "json"]
    done = subprocess.run(command, env={**os.environ, **operator_env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["syncPods"]) == 48


@pytest.fixture
def revoke(role: dict[str, Any], namespace: Namespace) -> Callable[..., Callable[[], None]]:
    """Remove verbs on a resource from the Role; return a function that restores them."""

    def restore() -> None:
        namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(role))

    def revoke(resource: str, *verbs: str) -> Callable[[], None]:
        less = yaml.safe_load(yaml.safe_dump(role))
        for rule in less["rules"]:
            if [*resource.split(":")] == [*rule["resources"], *rule.get("resourceNames", ())]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs] or ["nothing"]
        namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(less))
        eventually(lambda: not may(namespace, verbs[0], resource))
        return restore

    return revoke


def may(namespace: Namespace, verb: str, resource: str) -> bool:
    """Whether the API server grants the operator's service account a permission."""
    groups = {
        "cronjobs": "batch",
        "jobs": "batch",
        "pods": "",
        "events": "",
        "configmaps": "",
        "leases": "coordination.k8s.io",
    }
    kind, _, name = resource.partition(":")
    kind, _, subresource = kind.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace.name}:catchup-jobs-operator",
            "resourceAttributes": {
                "namespace": namespace.name,
                "verb": verb,
                "group": groups.get(kind, "catchup.dev"),
                "resource": kind,
                "subresource": subresource,
                "name": name,
            },
        },
    }
    answer = namespace.kubectl("create", "-f", "-", "-o", "json", stdin=yaml.safe_dump(review))
    return bool(yaml.safe_load(answer)["status"]["allowed"])


@pytest.fixture
def start_operator(
    role: dict[str, Any], operator_env: dict[str, str], namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], KopfRunner]:
    """The operator in this process with only the permissions of its Role, and with short retry delays."""
    monkeypatch.setattr("catchup_operator.reconcile.refusals._UNNOTICED_RETRY_SECONDS", 1.0)
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 1.0)
    for name, value in operator_env.items():
        monkeypatch.setenv(name, value)
    assert all(may(namespace, verb, "cronjobs") for verb in ("list", "watch", "create", "patch"))
    assert not may(namespace, "delete", "jobs")
    arguments = ["run", "--standalone", "--namespace", namespace.name, "-m", "catchup_operator.handlers"]
    return lambda: KopfRunner(arguments, timeout=120)


Revoke = Callable[..., Callable[[], None]]
StartOperator = Callable[[], KopfRunner]


def events(namespace: Namespace, reason: str) -> list[dict[str, Any]]:
    return [event for event in namespace.items("events") if event["reason"] == reason]


@pytest.mark.parametrize("verb", ["create", "patch"])
def test_without_the_permission_to_write_cronjobs_the_status_and_one_event_say_so(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, verb: str
) -> None:
    restore = revoke("cronjobs", verb)
    with start_operator():
        namespace.apply("ada")
        ready = eventually(lambda: find_condition(namespace.schedule().get("status") or {}, "Ready"))
        assert (ready["status"], ready["reason"]) == ("False", "PermissionMissing")
        assert f"the operator may not {verb} cronjobs in this namespace" in ready["message"]
        (event,) = eventually(lambda: events(namespace, "PermissionMissing"))
        assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "ada")
        time.sleep(3)  # it tried again meanwhile
        restore()
        namespace.ready()
        assert len(events(namespace, "PermissionMissing")) == 1
        assert [event["type"] for event in eventually(lambda: events(namespace, "Reconciled"))] == ["Normal"]


def test_without_the_permission_to_write_the_status_the_cronjobs_are_made_and_the_status_follows(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    restore = revoke("userschedules/status", "patch")
    with start_operator():
        namespace.apply("ada")
        eventually(lambda: len(namespace.items("cronjobs")) == 2)
        eventually(lambda: 'cannot patch resource "userschedules/status"' in caplog.text)
        assert "status" not in namespace.schedule()
        restore()
        found = eventually(lambda: (s := namespace.schedule().get("status")) and s)
        assert find_condition(found, "Ready")["status"] == "True"


def test_the_charts_role_suffices_for_a_pool_and_the_list_of_its_members(
    start_operator: StartOperator, namespace: Namespace
) -> None:
    with start_operator():
        namespace.apply("ada")
        namespace.apply_pool("people", **RARE)
        namespace.ready_pool()
        eventually(lambda: by_user(namespace).keys() == {"ada"})


@pytest.mark.parametrize("permission", [("jobs", "list", "watch"), ("pods", "list")], ids=" ".join)
def test_without_the_permission_to_see_runs_their_results_are_told_once_it_is_back(
    start_operator: StartOperator,
    revoke: Revoke,
    namespace: Namespace,
    caplog: pytest.LogCaptureFixture,
    permission: tuple[str, ...],
) -> None:
    restore = revoke(*permission)  # before the start: a watch that runs is not ended by it
    with start_operator():
        namespace.apply("ada")
        namespace.ready()
        run_by_hand(namespace, "now")
        finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: f'cannot list resource "{permission[0]}"' in caplog.text)
        assert "lastResult" not in namespace.schedule()["status"]["sync"]
        restore()
        sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
        assert (sync["lastResult"], sync["counts"]["eventsAdded"]) == ("Succeeded", 7)


def test_without_the_permission_to_see_cronjobs_harm_is_healed_once_it_is_back(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    restore = revoke("cronjobs", "list", "watch")
    with start_operator():
        namespace.apply("ada")
        namespace.ready()
        namespace.kubectl("delete", "cronjobs", "--all")
        eventually(lambda: 'cannot list resource "cronjobs"' in caplog.text)
        restore()
        eventually(lambda: len(namespace.items("cronjobs")) == 2)


def test_without_the_permission_to_post_events_all_else_goes_on(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    revoke("events", "create")
    namespace.kubectl("create", "quota", "none", "--hard=count/cronjobs.batch=0")
    eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
    with start_operator():
        namespace.apply("ada")
        eventually(
            lambda: find_condition(namespace.schedule().get("status") or {}, "Ready").get("reason") == "CronJobRefused"
        )
        eventually(lambda: 'cannot create resource "events"' in caplog.text)  # logged after the status
        namespace.kubectl("delete", "quota", "none")
        namespace.apply("ada", priority="high")
        namespace.ready()


def test_without_the_permission_to_see_resources_the_operator_goes_on_when_it_is_back(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    restore = revoke("userschedules", "list", "watch", "get")
    with start_operator():
        namespace.apply("ada")
        eventually(lambda: 'cannot list resource "userschedules"' in caplog.text)
        assert namespace.items("cronjobs") == []
        restore()
        eventually(
            lambda: find_condition(namespace.schedule().get("status") or {}, "Ready").get("status") == "True",
            seconds=60,
        )


def test_the_operator_uses_each_permission_of_its_role_and_asks_for_no_other(
    role: dict[str, Any], start_operator: StartOperator, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.state.waiting_jobs._FIRST_LOOK", timedelta(0))
    monkeypatch.setattr("catchup_operator.reconcile.refusals._REFUSED_MAX_SECONDS", 1.0)
    monkeypatch.setattr("catchup_operator.reconcile.served_namespaces.CHECK_SECONDS", 1.0)
    monkeypatch.setattr("catchup_operator.state.namespace_lease.RENEW_SECONDS", 1)
    namespace.apply("ada")
    name = cronjob_name(UserSchedule.from_body(namespace.schedule()), SYNC)
    namespace.kubectl("create", "cronjob", name, "--image=theirs", "--schedule=1 1 1 1 *")
    with start_operator():
        eventually(lambda: events(namespace, "CronJobRefused"))  # which it reads to see whose it is
        namespace.kubectl("delete", "cronjob", name)
        namespace.ready()
        run_by_hand(namespace, "now")
        finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: namespace.schedule()["status"]["sync"].get("lastResult") == "Succeeded")
        namespace.kubectl("create", "quota", "none", "--hard=count/pods=0")
        eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
        run_by_hand(namespace, "blocked")
        eventually(lambda: find_condition(namespace.schedule()["status"], "SyncHealthy")["reason"] == "FailedCreate")
        namespace.kubectl("delete", "quota", "none")
        namespace.apply_pool("people", members="UserSchedules", calendarSync={"tick": "10m"}, digest={"tick": "10m"})
        namespace.ready_pool()
        tick(namespace, COUNTS, message=pool_summary(members={Count.MEMBERS: 1}))
        eventually(lambda: namespace.get("schedulepools", "people")["status"].get("members"))
        namespace.apply("ada", pool="people")  # whose own CronJobs are deleted
        eventually(lambda: namespace.items("cronjobs", "catchup.dev/user-schedule") == [])
        taken = namespace.get("leases", "catchup-operator")["spec"]["renewTime"]
        eventually(lambda: namespace.get("leases", "catchup-operator")["spec"]["renewTime"] != taken)
    requests = audit.requests_of(namespace.cluster, namespace.name, "catchup-jobs-operator")
    assert audit.refused(requests) == []
    assert audit.rights_used(requests) == audit.rights_granted([role])
