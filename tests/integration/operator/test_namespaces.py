"""One operator for several namespaces, and for all."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import pod_templates, render
from integration.operator.conftest import Namespace, act_as
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_conflict import conflict, suspended
from integration.operator.test_pools import RARE
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from integration.operator.test_schedule_list import COMPONENT, by_user
from integration.services import free_port
from scraping import answers
from waiting import eventually

from catchup_contract.outcomes import Outcome

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]


@pytest.mark.parametrize("mode", ["several", "all"])
def test_each_served_namespace_is_reconciled_repaired_and_told_of_its_runs(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    mode: str,
) -> None:
    served = [namespace, another()]
    operator_env["CATCHUP_NAMESPACES"] = ",".join(each.name for each in served) if mode == "several" else ""
    served[0].apply("ada")
    with operator_process():
        served[0].ready("ada")
        served[1].apply("bob")
        served[1].ready("bob")
        for each in served:
            each.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
        for each in served:
            eventually(lambda each=each: len(each.items("cronjobs")) == 2)  # type: ignore[misc]
        run_by_hand(served[1], "now")
        finish_job(served[1], "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: served[1].schedule("bob")["status"]["sync"].get("lastResult") == "Succeeded")


@pytest.mark.parametrize("mode", ["several", "all"])
def test_the_same_user_in_two_served_namespaces_is_a_conflict_too(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    mode: str,
) -> None:
    other = another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}" if mode == "several" else ""
    # A unique name: an operator for all namespaces also serves those of other tests.
    user = f"ada-{secrets.token_hex(4)}"
    namespace.apply("ada", userId=user)
    other.apply_younger("ada", userId=user)
    with operator_process():
        namespace.ready("ada")
        found = eventually(lambda: conflict(other, "ada"))
        assert f"{namespace.name}/ada" in found["message"]
        assert suspended(other, "ada") == [True, True]
        namespace.kubectl("delete", "us", "ada")
        other.ready("ada")
        assert suspended(other, "ada") == [False, False]


def test_the_watches_of_many_namespaces_leave_connections_for_the_work(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    served = [namespace, *(another() for _ in range(8))]  # three watches each
    operator_env["CATCHUP_NAMESPACES"] = ",".join(each.name for each in served)
    with operator_process():
        for each in served:
            each.apply("ada", userId=each.name)
        for each in served:
            each.ready("ada")
            each.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
        for each in served:
            eventually(lambda each=each: len(each.items("cronjobs")) == 2)  # type: ignore[misc]


def test_a_namespace_that_is_not_served_is_not_touched(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    other, third = another(), another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}"
    third.apply("ada")
    with operator_process():
        other.apply("ada")
        other.ready("ada")
        assert third.items("cronjobs") == []
        assert "status" not in third.schedule("ada")


def test_a_namespace_made_later_is_served_where_all_are(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    operator_env["CATCHUP_NAMESPACES"] = ""
    namespace.apply("ada")
    with operator_process():
        namespace.ready("ada")
        later = another()
        later.apply("bob")
        later.ready("bob")


def test_of_a_served_namespace_that_is_deleted_the_log_has_one_line(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    tmp_path: Path,
) -> None:
    other = another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}"
    users = ["ada", "bob", "carol"]
    log = tmp_path / "operator.log"
    with operator_process():
        for user in users:
            other.apply(user)
        for user in users:
            other.ready(user)
        eventually(lambda: len(other.items("cronjobs")) == 2 * len(users))
        before = len(log.read_text())
        for user in users:
            other.kubectl("patch", "us", user, "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
        other.cluster.kubectl("delete", "namespace", other.name, "--wait=false")
        eventually(lambda: not other.items("cronjobs"))
        eventually(lambda: f"namespace {other.name} is gone, or is being deleted" in log.read_text())
        time.sleep(5)
        for user in users:
            other.kubectl("patch", "us", user, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    lines = [line for line in log.read_text()[before:].splitlines() if other.name in line]
    assert len(lines) == 1, lines


Values = dict[str, Any]
MODES: dict[str, Callable[[list[str]], Values]] = {
    "its own": lambda _: {},
    "several": lambda served: {"operator": {"namespaces": served}},
    "all": lambda _: {"operator": {"allNamespaces": True}},
}


def install_permissions(namespace: Namespace, documents: list[dict[str, Any]]) -> None:
    """Apply the service accounts of the chart with their Roles."""
    wanted = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    found = [document for document in documents if document["kind"] in wanted]
    for document in found:
        if not document["kind"].startswith("Cluster"):
            document["metadata"].setdefault("namespace", namespace.name)
    namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(found))


def may(namespace: Namespace, account: str, *question: str) -> bool:
    """Whether a service account of the namespace may do something, e.g. `get secrets -n people`."""
    who = f"--as=system:serviceaccount:{namespace.name}:{account}"
    return namespace.cluster.kubectl("auth", "can-i", *question, who, accept=(0, 1)).strip() == "yes"


@pytest.mark.parametrize("mode", MODES)
def test_with_no_more_than_the_charts_permissions_the_chosen_namespaces_are_served_and_can_be_left(
    helm: Path,
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    *,
    tmp_path: Path,
    mode: str,
) -> None:
    other, foreign = another(), another()
    served = [namespace] if mode == "its own" else [namespace, other]
    documents = render(helm, namespace, MODES[mode]([each.name for each in served]))
    install_permissions(namespace, documents)
    (pod,) = [pod for name, pod in pod_templates(documents) if name == "Deployment/catchup-jobs-operator"]
    env = {entry["name"]: entry.get("value") or "" for entry in pod["spec"]["containers"][0]["env"]}
    operator_env["CATCHUP_NAMESPACES"] = env["CATCHUP_NAMESPACES"]
    account = pod["spec"]["serviceAccountName"]
    operator_env["KUBECONFIG"] = str(act_as(namespace, account, tmp_path / "operator"))
    operator_env["CATCHUP_HEALTH_PORT"] = str(free_port())
    user = f"ada-{secrets.token_hex(4)}"
    with operator_process():
        for number, each in enumerate((namespace, other)):
            each.apply("ada", userId=f"{user}-{number}")
            each.apply_pool(f"people-{number}", **RARE)
        for number, each in enumerate(served):
            each.ready("ada")
            each.ready_pool(f"people-{number}")
            each.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
        for each in served:
            eventually(lambda each=each: len(each.items("cronjobs")) == 4)  # type: ignore[misc]
            eventually(lambda each=each: len(by_user(each)) >= len(served))  # type: ignore[misc]
        ready = f"http://127.0.0.1:{operator_env['CATCHUP_HEALTH_PORT']}/readyz"
        eventually(lambda: answers(ready))
        if mode == "its own":
            assert other.items("cronjobs") == []
    everywhere = mode == "all"
    assert may(namespace, account, "patch", "cronjobs.batch", "-n", foreign.name) is everywhere
    assert not any(may(namespace, account, *q) for q in (("get", "secrets"), ("delete", "jobs.batch", "-A")))
    # And before the release goes:
    (hook,) = [pod for name, pod in pod_templates(documents) if name == "Job/catchup-jobs-prepare-uninstall"]
    operator_env["KUBECONFIG"] = str(act_as(namespace, hook["spec"]["serviceAccountName"], tmp_path / "hook"))
    (container,) = hook["spec"]["containers"]
    program = str(Path(sys.executable).parent / "catchup-operator")
    environment = {**os.environ, **operator_env}
    done = subprocess.run([program, *container["args"]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for each in served:
        assert each.items("cronjobs") == []
        assert each.items("configmaps", COMPONENT) == []
        assert each.schedule()["metadata"]["name"] == "ada"
