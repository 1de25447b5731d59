"""Served namespaces that are deleted, or that a release leaves: by Helm itself and with the chart's rights only."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import pod_templates
from integration.operator.conftest import CHART, Namespace, act_as
from integration.operator.test_conflict import suspended
from integration.operator.test_reconciliation import finish_job
from integration.operator.test_releases import Release
from waiting import eventually

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.config import load_access
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import CONFIGMAPS, LEASE_NAME
from catchup_operator.status.conditions import find_condition

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

PATIENCE = 90.0


class Installed:
    """The chart, installed by Helm. There is no node: a hook's pod ends when the test says so."""

    def __init__(self, program: Path, namespace: Namespace) -> None:
        self._program = program
        self._namespace = namespace
        self.name = "catchup-jobs"

    def run(self, *arguments: str) -> str:
        done = self.start(*arguments)
        output, errors = done.communicate(timeout=PATIENCE)
        assert done.returncode == 0, errors
        return output

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        where = ["--namespace", self._namespace.name, "--kubeconfig", str(self._namespace.cluster.kubeconfig)]
        command = [str(self._program), *arguments, *where]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def serve(self, verb: str, served: list[Namespace], *options: str) -> str:
        names = ",".join(each.name for each in served)
        values = [f"operator.namespaces={{{names}}}", "crds.enabled=false", "generateSecrets=true"]
        return self.run(verb, self.name, str(CHART), *(f"--set={value}" for value in values), *options)

    def rendered(self, served: list[Namespace]) -> list[dict[str, Any]]:
        """Return what an upgrade would bring, as the running cluster has Helm render it."""
        output = self.serve("upgrade", served, "--dry-run=server", "--hide-notes")
        return documents_of("---\n" + output.partition("\nHOOKS:")[2].replace("\nMANIFEST:", ""))

    def hooks(self) -> list[dict[str, Any]]:
        """Return the hooks of the release as it is."""
        return documents_of(self.run("get", "hooks", self.name))


def documents_of(text: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(text) if isinstance(found, dict) and "kind" in found]


def run_hook(
    namespace: Namespace, documents: list[dict[str, Any]], job: str, tmp_path: Path
) -> subprocess.CompletedProcess[str]:
    """Run what a hook's Job runs, with its account and the rights that the release grants that."""
    hooks = [found for found in documents if "helm.sh/hook" in str(found["metadata"])]
    accounts = [hook for hook in hooks if hook["kind"] == "ServiceAccount" or "Role" in hook["kind"]]
    namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(accounts))
    (pod,) = [pod for name, pod in pod_templates(hooks) if name == f"Job/catchup-jobs-{job}"]
    (container,) = pod["spec"]["containers"]
    config = act_as(namespace, pod["spec"]["serviceAccountName"], tmp_path / "hook")
    return catchup_operator(config, *container["args"])


def catchup_operator(config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "catchup-operator")
    env = {**os.environ, **environment, "KUBECONFIG": str(config)}
    return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(helm: Path, namespace: Namespace) -> Iterator[Installed]:
    found = Installed(helm, namespace)
    yield found
    found.start("uninstall", found.name, "--no-hooks", "--ignore-not-found").communicate(timeout=PATIENCE)


@pytest.fixture
def act_as_operator(
    namespace: Namespace, operator_env: dict[str, str], tmp_path: Path
) -> Callable[[list[Namespace]], Release]:
    """Return the operator with the rights of the installed chart."""

    def make(served: list[Namespace]) -> Release:
        operator_env["CATCHUP_NAMESPACES"] = ",".join(each.name for each in served)
        operator_env["KUBECONFIG"] = str(act_as(namespace, "catchup-jobs-operator", tmp_path / "operator-account"))
        return Release(namespace.name, operator_env, tmp_path)

    return make


@contextmanager
def ending(namespace: Namespace) -> Iterator[Callable[[], None]]:
    """Put an object into a namespace that a finalizer holds until the block ends; yields what deletes the namespace."""

    def finalizers(names: str) -> None:
        namespace.kubectl(
            "patch", "configmap", "held", "--type=merge", "-p", f'{{"metadata":{{"finalizers":{names}}}}}'
        )

    namespace.kubectl("create", "configmap", "held")
    finalizers('["example.com/held"]')

    def delete_it() -> None:
        namespace.cluster.kubectl("delete", "namespace", namespace.name, "--wait=false")

    try:
        yield delete_it
    finally:
        finalizers("[]")


def delete(namespace: Namespace) -> None:
    namespace.cluster.kubectl("delete", "namespace", namespace.name, "--timeout=60s")


@pytest.mark.release
def test_a_served_namespace_that_is_deleted_breaks_neither_readiness_nor_upgrade_nor_uninstall(
    installed: Installed,
    act_as_operator: Callable[[list[Namespace]], Release],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    people, friends = another(), another()
    installed.serve("install", [people, friends], "--no-hooks")
    operator = act_as_operator([people, friends])
    with operator.running():
        for each in (people, friends):
            each.apply("ada", userId=each.name)
            each.ready("ada")
        eventually(operator.is_ready, seconds=PATIENCE)
        delete(friends)
        eventually(lambda: f"namespace {friends.name} is gone" in operator.log, seconds=PATIENCE)
        eventually(operator.is_ready, seconds=PATIENCE)
        people.apply("ada", userId=people.name, timeZone="Asia/Tokyo")
        people.ready("ada")
    with operator.running():  # and from the start
        eventually(operator.is_ready, seconds=PATIENCE)
        people.apply("ada", userId=people.name, timeZone="Europe/Paris")
        people.ready("ada")
    notes = installed.serve("upgrade", [people, friends], "--no-hooks")
    assert f"nothing was made in them: {friends.name}." in notes
    uninstall = installed.start("uninstall", installed.name)
    finish_job(namespace, "catchup-jobs-prepare-uninstall", exit_code=0, message="")
    _, errors = uninstall.communicate(timeout=PATIENCE)
    assert uninstall.returncode == 0, errors
    assert namespace.kubectl("get", "deployments", "-o", "name").strip() == ""


@pytest.mark.release
def test_a_namespace_that_is_deleted_and_waits_for_a_finalizer_breaks_no_readiness_and_fills_no_log(
    installed: Installed, act_as_operator: Callable[[list[Namespace]], Release], another: Callable[[], Namespace]
) -> None:
    people, friends = another(), another()
    installed.serve("install", [people, friends], "--no-hooks")
    operator = act_as_operator([people, friends])
    with operator.running(), ending(friends) as delete_it:
        for each in (people, friends):
            each.apply("ada", userId=each.name)
            each.ready("ada")
        eventually(operator.is_ready, seconds=PATIENCE)
        delete_it()
        eventually(lambda: not friends.items("leases"))
        eventually(lambda: f"namespace {friends.name} is gone, or is being deleted" in operator.log)
        eventually(operator.is_ready, seconds=PATIENCE)
        said = operator.log.count(friends.name)
        people.apply("ada", userId=people.name, timeZone="Asia/Tokyo")
        people.ready("ada")
        time.sleep(35)  # longer than the longest pause of a watch or of a task that waits for its Lease
        assert operator.log.count(friends.name) == said
        assert operator.is_ready()


def test_the_server_says_of_whatever_is_made_in_a_namespace_that_is_deleted_that_it_ends(
    namespace: Namespace, another: Callable[[], Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    friends = another()
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))

    async def ask() -> None:
        client = KubeClient(await load_access())
        try:
            assert not await client.is_gone(friends.name)
            delete_it()
            assert await client.is_gone(friends.name)
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": friends.name, "name": "new"}}
            for make in (client.apply, client.create):
                with pytest.raises(ApiError) as raised:
                    await make(CONFIGMAPS, manifest)
                assert raised.value.namespace_ends, raised.value
        finally:
            await client.close()

    with ending(friends) as delete_it:
        asyncio.run(ask())


@pytest.mark.release
def test_a_permission_that_is_missing_in_a_namespace_that_is_there_is_still_a_reason_not_to_be_ready(
    installed: Installed,
    act_as_operator: Callable[[list[Namespace]], Release],
    another: Callable[[], Namespace],
) -> None:
    people, friends = another(), another()
    installed.serve("install", [people, friends], "--no-hooks")
    operator = act_as_operator([people, friends])
    with operator.running():
        eventually(operator.is_ready, seconds=PATIENCE)
        friends.kubectl("delete", "rolebinding", "catchup-jobs-operator")
        missing = f"may not patch cronjobs in namespace {friends.name}"
        eventually(lambda: missing in operator.unready_reasons(), seconds=PATIENCE)


def test_a_namespace_that_leaves_is_left_without_cronjobs_and_the_younger_schedule_of_its_user_is_served(
    installed: Installed,
    act_as_operator: Callable[[list[Namespace]], Release],
    namespace: Namespace,
    another: Callable[[], Namespace],
    *,
    tmp_path: Path,
) -> None:
    people, friends, gone = another(), another(), another()
    installed.serve("install", [people, friends, gone], "--no-hooks")
    assert not [name for name, _ in pod_templates(installed.rendered([people, friends, gone])) if "leave" in name]
    friends.apply("ada", userId=f"ada-{secrets.token_hex(4)}")
    user = friends.schedule()["spec"]["userId"]
    people.apply_younger("ada", userId=user)
    with act_as_operator([people, friends, gone]).running():
        friends.ready()
        eventually(lambda: find_condition(people.schedule()["status"], "Ready")["reason"] == "Conflict")
        assert suspended(people, "ada") == [True, True]
    delete(gone)
    done = run_hook(namespace, installed.rendered([people]), "leave", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deleted 2 CronJobs" in done.stdout
    assert gone.name in done.stderr
    assert friends.items("cronjobs") == []
    left = friends.schedule()["status"]
    told = find_condition(left, "Ready")
    assert (told["status"], told["reason"]) == ("Unknown", "Uninstalled")
    assert "no jobs run until the chart is installed again and serves this namespace" in told["message"]
    assert not [name for kind in ("sync", "digest") for name in left[kind] if name.startswith("nextRun")]
    assert left["digest"]["activeSince"]
    assert "does not say" not in done.stderr
    assert find_condition(people.schedule()["status"], "Ready")["reason"] == "Conflict"
    assert not friends.kubectl("get", "leases", "-o", "name").count(LEASE_NAME)
    assert len(people.items("cronjobs")) == 2
    # The Deployment is gone by now. Had the hook failed after that, the next upgrade would run it again.
    (job,) = [pod for name, pod in pod_templates(installed.rendered([people])) if name == "Job/catchup-jobs-leave"]
    assert f"--namespace={friends.name}" in job["spec"]["containers"][0]["args"]
    installed.serve("upgrade", [people], "--no-hooks")
    assert not [name for name, _ in pod_templates(installed.rendered([people])) if "leave" in name]
    assert namespace.kubectl("get", "deployment", "catchup-jobs-operator", "-o", "jsonpath={.spec.replicas}") == "1"
    # The hook's own goes when Helm has run it.
    assert friends.kubectl("get", "roles", "-o", "name").split() == [
        "role.rbac.authorization.k8s.io/catchup-jobs-leave"
    ]
    with act_as_operator([people]).running():
        # A status from before the conflict may say Ready while the CronJobs are still suspended.
        eventually(lambda: suspended(people, "ada") == [False, False])
        people.ready()


def test_an_upgrade_from_a_chart_whose_configmap_names_no_namespaces_leaves_what_its_deployment_names(
    installed: Installed, namespace: Namespace, another: Callable[[], Namespace]
) -> None:
    people, friends = another(), another()
    installed.serve("install", [people, friends], "--no-hooks")
    patch = '[{"op": "remove", "path": "/data/namespaces"}]'
    namespace.kubectl("patch", "configmap", "catchup-jobs-operator", "--type=json", "-p", patch)
    assert not [name for name, _ in pod_templates(installed.rendered([people, friends])) if "leave" in name]
    (job,) = [pod for name, pod in pod_templates(installed.rendered([people])) if name == "Job/catchup-jobs-leave"]
    namespaces = [each for each in job["spec"]["containers"][0]["args"] if each.startswith("--namespace=")]
    assert namespaces == [f"--namespace={friends.name}"]
