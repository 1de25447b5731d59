"""What the hooks delete, and what they refuse to take for done, on a real API server with the chart's rights only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from admission import apply_policy
from integration.operator.chart_rendering import cluster_name
from integration.operator.conftest import CHART, Namespace, act_as
from integration.operator.test_left_namespaces import Installed, catchup_operator, delete, run_hook
from waiting import eventually

from catchup_dev.console import Failure
from catchup_operator.kube.resources import LEASE_NAME
from catchup_operator.manifests.list_configmaps import CONFIGMAPS, INDEX
from catchup_operator.ops import stopping
from catchup_operator.ops.stopping import Operator, StillRunningError
from catchup_operator.ops.uninstall import prepare_uninstall

# The tests of the chart share one API server, those of the operator two others.
pytestmark = [pytest.mark.xdist_group("chart"), pytest.mark.release]


@pytest.fixture
def release(helm: Path, namespace: Namespace) -> Iterator[Installed]:
    found = Installed(helm, namespace)
    yield found
    found.start("uninstall", found.name, "--no-hooks", "--ignore-not-found").communicate(timeout=90)


def make(namespace: Namespace, *documents: dict[str, object]) -> None:
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


def cronjob(name: str = "ada-sync") -> dict[str, object]:
    """A CronJob as far as the hooks look at it."""
    labels = {"app.kubernetes.io/managed-by": "catchup-operator", "catchup.dev/job": "sync"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "job", "image": "none"}]}
    spec = {"schedule": "0 0 30 2 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "labels": labels}, "spec": spec}


def lease(holder: str) -> dict[str, object]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 180}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE_NAME}, "spec": spec}


def list_of_schedules(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def names(namespace: Namespace, kinds: str = "cronjobs,leases,configmaps") -> set[str]:
    found = set(namespace.kubectl("get", kinds, "-o", "name").split())
    return found - {"configmap/kube-root-ca.crt"}


def test_a_permission_that_is_missing_in_a_namespace_that_is_there_fails_the_hook_and_names_it(
    release: Installed, namespace: Namespace, another: Callable[[], Namespace], tmp_path: Path
) -> None:
    people, friends, gone = another(), another(), another()
    release.serve("install", [people, friends, gone], "--no-hooks")
    for each in (people, friends):
        make(each, cronjob(), lease(f"{namespace.name}/catchup-jobs"))
    delete(gone)
    friends.kubectl("delete", "rolebinding", "catchup-jobs-prepare-uninstall")
    done = run_hook(namespace, release.hooks(), "prepare-uninstall", tmp_path)
    assert done.returncode == 75, done.stderr
    assert f"left out {gone.name}, which is gone" in done.stderr
    assert "CronJobs may go on where a permission is missing or a deletion is refused" in done.stderr
    assert f"{friends.name}: " in done.stderr
    assert "cannot list resource" in done.stderr
    assert names(people) == set()  # the others are left
    assert "cronjob.batch/ada-sync" in names(friends)
    release.serve("upgrade", [people, friends, gone], "--no-hooks")  # which grants it again
    done = run_hook(namespace, release.hooks(), "prepare-uninstall", tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(friends) == set()


@pytest.fixture
def keep(namespace: Namespace) -> Iterator[Callable[[Namespace, str], None]]:
    """Let a policy deny the deletion of CronJobs of which the names begin with a prefix, by a code of its own."""
    made: list[str] = []

    def forbid(where: Namespace, prefix: str) -> None:
        rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["cronjobs"]}
        expression = f"!oldObject.metadata.name.startsWith('{prefix}')"
        denial = {"expression": expression, "message": "these are audited", "reason": "Invalid"}
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": where.name}}}
        specs: dict[str, dict[str, Any]] = {
            "ValidatingAdmissionPolicy": {"matchConstraints": {"resourceRules": [rule]}, "validations": [denial]},
            "ValidatingAdmissionPolicyBinding": {
                "policyName": where.name,
                "validationActions": ["Deny"],
                "matchResources": here,
            },
        }
        made.extend(apply_policy(where.cluster, where.name, specs))

        def is_denied() -> bool:
            try:
                where.kubectl("delete", "cronjobs", "--all", "--dry-run=server")
            except Failure as error:
                return "these are audited" in str(error)
            return False

        eventually(is_denied)

    yield forbid
    for each in made:
        namespace.cluster.kubectl("delete", "--ignore-not-found", each)


def test_cronjobs_whose_deletion_a_policy_denies_are_named_and_keep_no_others(
    release: Installed,
    namespace: Namespace,
    another: Callable[[], Namespace],
    keep: Callable[[Namespace, str], None],
    tmp_path: Path,
) -> None:
    people, friends = another(), another()
    release.serve("install", [people, friends], "--no-hooks")
    identity = lease(f"{namespace.name}/catchup-jobs")
    kept = [f"b-{number}" for number in range(7)]
    make(people, *map(cronjob, ("a-sync", *kept, "c-sync")), identity)
    make(friends, cronjob(), identity)
    keep(people, "b-")
    done = run_hook(namespace, release.hooks(), "prepare-uninstall", tmp_path)
    assert done.returncode == 75, done.stderr
    assert "deleted 3 CronJobs" in done.stdout
    assert f"{people.name}: CronJobs b-0, b-1, b-2, b-3, b-4 and 2 more: " in done.stderr
    assert "these are audited" in done.stderr
    assert names(people, "cronjobs") == {f"cronjob.batch/{name}" for name in kept}
    assert names(people, "leases") == {f"lease.coordination.k8s.io/{LEASE_NAME}"}  # no other release may take it
    assert names(friends) == set()
    people.cluster.kubectl("delete", "validatingadmissionpolicybinding", people.name)

    def ends() -> bool:
        return run_hook(namespace, release.hooks(), "prepare-uninstall", tmp_path).returncode == 0

    eventually(ends)  # the server forgets the policy a moment later
    assert names(people) == set()


def test_an_uninstall_from_all_namespaces_leaves_no_lease_and_no_list_in_one_without_cronjobs(
    release: Installed, namespace: Namespace, another: Callable[[], Namespace], tmp_path: Path
) -> None:
    values = ("operator.allNamespaces=true", "crds.enabled=false", "generateSecrets=true")
    release.run("install", release.name, str(CHART), *(f"--set={value}" for value in values), "--no-hooks")
    with_cronjob, pooled, only_list, foreign = (another() for _ in range(4))
    ours = lease(f"{namespace.name}/catchup-jobs")
    make(with_cronjob, cronjob(), ours)
    make(pooled, ours, *map(list_of_schedules, CONFIGMAPS))
    make(only_list, list_of_schedules(INDEX))
    make(foreign, lease("another/release"))
    done = run_hook(namespace, release.hooks(), "prepare-uninstall", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [names(each) for each in (with_cronjob, pooled, only_list)] == [set()] * 3
    assert names(foreign) == {f"lease.coordination.k8s.io/{LEASE_NAME}"}


@pytest.mark.parametrize("everywhere", [True, False], ids=["from all namespaces", "from a named one"])
def test_a_namespace_is_left_also_where_the_release_of_before_granted_less(
    release: Installed, namespace: Namespace, another: Callable[[], Namespace], *, everywhere: bool, tmp_path: Path
) -> None:
    people, left = another(), another()
    if everywhere:
        values = ("operator.allNamespaces=true", "crds.enabled=false", "generateSecrets=true")
        release.run("install", release.name, str(CHART), *(f"--set={value}" for value in values), "--no-hooks")
        role = f"clusterrole/{cluster_name(namespace.name)}-prepare-uninstall"
    else:
        release.serve("install", [people, left], "--no-hooks")
        role = "role/catchup-jobs-prepare-uninstall"
    nothing = '{"rules": [{"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["list"]}]}'
    left.kubectl("patch", role, "--type=merge", "-p", nothing)
    make(left, cronjob(), lease(f"{namespace.name}/catchup-jobs"), *map(list_of_schedules, CONFIGMAPS))
    documents = release.rendered([people])
    brought = [d for d in documents if "Role" in d["kind"] and d["metadata"]["name"].endswith("-leave")]
    assert len(brought) == 2
    for each in brought:
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"  # none of an uninstall
    try:
        done = run_hook(namespace, documents, "leave", tmp_path)
        assert done.returncode == 0, done.stderr
        assert names(left) == set()
    finally:
        namespace.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(brought))


def test_the_forecast_leaves_out_a_served_namespace_that_is_gone(
    release: Installed, namespace: Namespace, another: Callable[[], Namespace], tmp_path: Path
) -> None:
    people, gone = another(), another()
    release.serve("install", [people, gone], "--no-hooks")
    people.apply("ada", userId=people.name)
    delete(gone)
    account = act_as(namespace, "catchup-jobs-operator", tmp_path / "operator")
    served = f"{gone.name},{people.name}"
    done = catchup_operator(account, "forecast", "--output", "json", CATCHUP_NAMESPACES=served)
    assert done.returncode == 0, done.stderr
    assert f"note: left out {gone.name}, which is gone" in done.stderr
    assert sum(json.loads(done.stdout)["syncPods"]) == 48
    people.kubectl("delete", "rolebinding", "catchup-jobs-operator")
    done = catchup_operator(account, "forecast", CATCHUP_NAMESPACES=served)
    assert done.returncode == 75  # what is there is never left out


def test_a_rollback_to_a_namespace_that_is_gone_fails_and_an_upgrade_with_the_values_of_then_does_not(
    release: Installed, another: Callable[[], Namespace], tmp_path: Path
) -> None:
    people, gone = another(), another()
    release.serve("install", [people, gone], "--no-hooks")
    release.serve("upgrade", [people], "--no-hooks")
    delete(gone)
    rollback = release.start("rollback", release.name, "1", "--no-hooks")
    _, errors = rollback.communicate(timeout=90)
    assert rollback.returncode != 0
    assert f'namespaces "{gone.name}" not found' in errors
    values = tmp_path / "values.yaml"
    values.write_text(release.run("get", "values", release.name, "--revision", "1", "--output", "yaml"))
    release.run("upgrade", release.name, str(CHART), "--reset-values", f"--values={values}", "--no-hooks")
    assert "role.rbac.authorization.k8s.io/catchup-jobs-operator" in names(people, "roles")


@pytest.fixture
def dead_node(namespace: Namespace) -> Iterator[str]:
    """A Node without a kubelet."""
    name = f"dead-{namespace.name}"
    make(namespace, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield name
    namespace.cluster.kubectl("delete", "node", name)


def place(namespace: Namespace, node: str) -> str:
    """Put the operator's pod on a node; return its name."""
    selector = "app.kubernetes.io/component=operator"

    def made() -> str:
        return namespace.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}").strip()

    pod = eventually(made)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    namespace.cluster.request("POST", f"/api/v1/namespaces/{namespace.name}/pods/{pod}/binding", binding)
    return pod


def test_a_pod_on_a_dead_node_holds_up_the_hook_until_its_leases_have_run_out_and_no_longer(
    release: Installed, namespace: Namespace, dead_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))
    monkeypatch.setattr(stopping, "LEASE_SECONDS", 8)  # in place of three minutes
    release.serve("install", [namespace], "--no-hooks")
    pod = place(namespace, dead_node)
    identity = f"{namespace.name}/catchup-jobs"
    make(namespace, cronjob(), lease(identity))
    operator = Operator(namespace.name, "catchup-jobs-operator")
    before = time.monotonic()
    left = asyncio.run(prepare_uninstall(operator, [namespace.name], release=identity))
    assert time.monotonic() - before >= 8
    (note,) = left.stay
    assert f"pod {namespace.name}/{pod} on node {dead_node} has not ended" in note
    assert left.deleted == 1
    # The Deployment is gone all the same: an upgrade makes a new one, which does not go with the pod.
    assert "deployment.apps/catchup-jobs-operator" not in names(namespace, "deployments")
    assert f"pod/{pod}" in names(namespace, "pods")


def test_a_pod_that_goes_on_renewing_its_lease_fails_the_hook_which_names_pod_and_node(
    release: Installed, namespace: Namespace, dead_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))
    monkeypatch.setattr(stopping, "_STOP_SECONDS", 2)
    monkeypatch.setattr(stopping, "_GRACE_SECONDS", 1)
    release.serve("install", [namespace], "--no-hooks")
    pod = place(namespace, dead_node)
    identity = f"{namespace.name}/catchup-jobs"
    make(namespace, cronjob(), lease(identity))
    operator = Operator(namespace.name, "catchup-jobs-operator", "app.kubernetes.io/component=operator")

    async def renew() -> None:
        for number in range(10**6):
            patch = json.dumps({"spec": {"leaseDurationSeconds": 180 + number}})
            await asyncio.to_thread(namespace.kubectl, "patch", "lease", LEASE_NAME, "--type=merge", "-p", patch)
            await asyncio.sleep(1)

    async def both() -> None:
        renewing = asyncio.create_task(renew())
        try:
            await prepare_uninstall(operator, [namespace.name], release=identity)
        finally:
            renewing.cancel()

    with pytest.raises(StillRunningError, match=f"pod {namespace.name}/{pod} on node {dead_node}"):
        asyncio.run(both())
    assert "cronjob.batch/ada-sync" in names(namespace)
