"""What other hands add to CronJobs, on a real API server: a user with kubectl, a GitOps controller, an admission."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml
from admission import apply_policy
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_reconciliation import GARBAGE_SECONDS, let_the_operator_see_its_cronjobs
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.kinds import DIGEST, SYNC

pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]


def in_job(**fields: Any) -> dict[str, Any]:
    return {"spec": {"jobTemplate": {"spec": fields}}}


def in_pod(**fields: Any) -> dict[str, Any]:
    return in_job(template={"spec": fields})


# By a strategic merge patch, as `kubectl patch` and `kubectl edit` send it.
PATCHES: dict[str, dict[str, Any]] = {
    "parallel": in_job(parallelism=3, completions=3, completionMode="Indexed"),
    "ttl": in_job(ttlSecondsAfterFinished=60, suspend=True),
    "pod-replacement": in_job(podReplacementPolicy="Failed"),
    "annotations": {"spec": {"jobTemplate": {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}}},
    "host": in_pod(hostNetwork=True, hostPID=True),
    "account": in_pod(serviceAccountName="admin"),
    "defaulted": in_pod(dnsPolicy="Default", schedulerName="mine", nodeSelector={"disk": "ssd"}),
    "taints": in_pod(tolerations=[{"operator": "Exists"}]),
    "command": in_pod(containers=[{"name": "job", "command": ["sh"], "env": [{"name": "X", "value": "y"}]}]),
    "hook": in_pod(containers=[{"name": "job", "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}]),
    "sidecar": in_pod(containers=[{"name": "sidecar", "image": "x"}], initContainers=[{"name": "first", "image": "x"}]),
    "volume": in_pod(volumes=[{"name": "more", "emptyDir": {}}], securityContext={"fsGroup": 7}),
    "both": {"spec": {"schedule": "1 1 1 1 *", **in_job(parallelism=2)["spec"]}},
}  # fmt: skip


def patch(namespace: Namespace, cronjob: str, document: Any, *arguments: str) -> None:
    namespace.kubectl("patch", "cronjob", cronjob, "-p", json.dumps(document), *arguments)


def apply_as(namespace: Namespace, cronjob: str, manager: str, document: dict[str, Any]) -> None:
    manifest = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": cronjob}, **document}
    arguments = ("--server-side", f"--field-manager={manager}", "--force-conflicts", "-f", "-")
    namespace.kubectl("apply", *arguments, stdin=yaml.safe_dump(manifest))


def strip_managers_and_add(namespace: Namespace, cronjob: str) -> None:
    patch(namespace, cronjob, {"metadata": {"managedFields": [{}]}, **in_job(parallelism=2)}, "--type=merge")


def replace(namespace: Namespace, cronjob: str) -> None:
    found = namespace.get("cronjobs", cronjob)
    pod = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"] = [{"name": "theirs", "image": "x"}, {**pod["containers"][0], "workingDir": "/"}]
    del found["metadata"]["managedFields"]
    del found["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]
    namespace.kubectl("replace", "-f", "-", stdin=json.dumps(found))


OTHERS: dict[str, Callable[[Namespace, str], None]] = {
    "gitops": lambda ns, name: apply_as(ns, name, "argocd-controller", in_pod(hostNetwork=True, dnsPolicy="Default")),
    "in-our-name": lambda ns, name: patch(ns, name, PATCHES["host"], "--field-manager=catchup-operator"),
    "applied-in-our-name": lambda ns, name: apply_as(
        ns, name, "catchup-operator", {"spec": {"schedule": "1 1 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "job", "image": "x"}]}}}}}}
    ),
    "json": lambda ns, name: patch(
        ns,
        name,
        [{"op": "add", "path": "/spec/jobTemplate/spec/template/spec/containers/0/command", "value": ["sh"]}],
        "--type=json",
    ),
    "stripped": strip_managers_and_add,
    "replaced": replace,
}  # fmt: skip


def harm(namespace: Namespace) -> dict[str, tuple[str, dict[str, Any]]]:
    """Let every harm befall the sync of a user of its own; return its CronJob's name and its spec before."""
    befalls: dict[str, Callable[[Namespace, str], None]] = {
        name: lambda ns, cronjob, document=document: patch(ns, cronjob, document)  # type: ignore[misc]
        for name, document in PATCHES.items()
    }
    befalls |= OTHERS
    before = {}
    for name, befall in befalls.items():
        (cronjob,) = namespace.items("cronjobs", f"catchup.dev/user-schedule={name},catchup.dev/job=sync")
        cronjob_name = cronjob["metadata"]["name"]
        before[name] = (cronjob_name, cronjob["spec"])
        befall(namespace, cronjob_name)
        assert namespace.get("cronjobs", cronjob_name)["metadata"]["generation"] > 1, f"{name} changed nothing"
    return before


def restored(namespace: Namespace, before: dict[str, tuple[str, dict[str, Any]]]) -> bool:
    """Whether each user's CronJob is as before, and its status of that generation. Raises where not."""
    cronjobs = {item["metadata"]["name"]: item for item in namespace.items("cronjobs")}
    statuses = {item["metadata"]["name"]: item["status"]["sync"] for item in namespace.items("userschedules")}
    wrong = [
        user
        for user, (name, spec) in before.items()
        if cronjobs[name]["spec"] != spec
        or statuses[user]["cronJobGeneration"] != cronjobs[name]["metadata"]["generation"]
    ]
    assert not wrong
    return True


@pytest.mark.parametrize("running", [True, False], ids=["before its eyes", "while it was down"])
def test_a_cronjobs_spec_ends_as_its_manifest_whoever_added_what(
    operator_process: StartOperator, namespace: Namespace, running: bool
) -> None:
    users = [*PATCHES, *OTHERS]
    for user in users:
        namespace.apply(user)
    with operator_process():
        for user in users:
            namespace.ready(user)
        if running:
            before = harm(namespace)
            eventually(lambda: restored(namespace, before), seconds=60)
    if not running:
        before = harm(namespace)
        with operator_process():
            eventually(lambda: restored(namespace, before), seconds=60)
    writes = namespace.writes()
    with operator_process():
        namespace.apply("new")
        namespace.ready("new")
        time.sleep(2)
    assert namespace.writes() - writes == 3, "something still differs"


def test_a_repair_of_what_was_added_is_three_writes_and_names_who_added_it(
    operator_process: StartOperator, namespace: Namespace, tmp_path: Any
) -> None:
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
        name, spec = namespace.cronjob()["metadata"]["name"], namespace.cronjob()["spec"]
        before = namespace.writes()
        patch(namespace, name, PATCHES["sidecar"])
        eventually(lambda: restored(namespace, {"ada": (name, spec)}))
        time.sleep(2)
    assert namespace.writes() - before == 1 + 3  # the patch; the managers, the CronJob, the status
    assert f"kubectl-patch edited CronJob {name}" in (tmp_path / "operator.log").read_text()


def test_labels_and_annotations_of_others_stay_through_a_repair_and_an_edit(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    name, spec = namespace.cronjob()["metadata"]["name"], namespace.cronjob()["spec"]
    namespace.kubectl("annotate", "cronjob", name, "team/note=hello")
    namespace.kubectl("label", "cronjob", name, "team=people")
    patch(namespace, name, PATCHES["both"])
    eventually(lambda: restored(namespace, {"ada": (name, spec)}))
    namespace.apply("ada", calendarSync={"every": "1h"})
    namespace.ready()
    found = namespace.get("cronjobs", name)
    assert found["metadata"]["annotations"]["team/note"] == "hello"
    assert found["metadata"]["labels"]["team"] == "people"
    assert "parallelism" not in found["spec"]["jobTemplate"]["spec"]


@pytest.mark.parametrize("running", [True, False], ids=["before its eyes", "while it was down"])
def test_an_owner_that_somebody_adds_is_taken_off_so_that_the_cronjob_goes_with_its_user_schedule(
    operator_process: StartOperator, namespace: Namespace, running: bool
) -> None:
    added = namespace.make_owner("more")

    def add() -> None:
        for item in namespace.items("cronjobs"):
            name = item["metadata"]["name"]
            if item["metadata"]["labels"]["catchup.dev/job"] == "sync":
                patch(namespace, name, {"metadata": {"ownerReferences": [added]}})
            else:
                apply_as(namespace, name, "argocd-controller", {"metadata": {"name": name, "ownerReferences": [added]}})
        assert [len(owners) for owners in owners_of(namespace)] == [2, 2], "nobody was added"

    namespace.apply("ada")
    with operator_process():
        uid = namespace.ready()["metadata"]["uid"]
        if running:
            let_the_operator_see_its_cronjobs(namespace)
            add()
            eventually(lambda: owners_of(namespace) == [[uid], [uid]])
    if not running:
        add()
        with operator_process():
            eventually(lambda: owners_of(namespace) == [[uid], [uid]])
    namespace.kubectl("delete", "us", "ada")
    eventually(lambda: namespace.items("cronjobs") == [], seconds=GARBAGE_SECONDS)


def owners_of(namespace: Namespace) -> list[list[str]]:
    return [[owner["uid"] for owner in item["metadata"]["ownerReferences"]] for item in namespace.items("cronjobs")]


def mutate(namespace: Namespace) -> None:
    """Let an admission policy add fields to every CronJob of the namespace, and give one a new value."""
    rule = {
        "apiGroups": ["batch"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["cronjobs"],
    }
    added = (
        'Object{spec: Object.spec{jobTemplate: Object.spec.jobTemplate{spec: Object.spec.jobTemplate.spec{'
        "parallelism: 1, template: Object.spec.jobTemplate.spec.template{"
        "spec: Object.spec.jobTemplate.spec.template.spec{hostUsers: false, dnsPolicy: \"Default\"}}}}}}"
    )  # fmt: skip
    specs: dict[str, dict[str, Any]] = {
        "MutatingAdmissionPolicy": {
            "matchConstraints": {"resourceRules": [rule]},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": added}}],
        },
        "MutatingAdmissionPolicyBinding": {
            "policyName": namespace.name,
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}},
        },
    }
    apply_policy(namespace.cluster, namespace.name, specs)

    def mutated() -> bool:
        probe = ("create", "cronjob", "probe", "--image=x", "--schedule=1 1 1 1 *", "--dry-run=server", "-o", "json")
        made = json.loads(namespace.kubectl(*probe))
        return bool(made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "Default")

    eventually(mutated, seconds=30)


def test_what_an_admission_adds_is_no_drift_and_no_fight(operator_process: StartOperator, namespace: Namespace) -> None:
    mutate(namespace)
    try:
        before = namespace.writes()
        namespace.apply("ada")
        with operator_process():
            namespace.ready()
            time.sleep(3)
            assert namespace.writes() - before == 3
            name, spec = namespace.cronjob()["metadata"]["name"], namespace.cronjob()["spec"]
            assert spec["jobTemplate"]["spec"]["template"]["spec"]["hostUsers"] is False
            patch(namespace, name, PATCHES["sidecar"])
            eventually(lambda: restored(namespace, {"ada": (name, spec)}))
            namespace.apply("ada", calendarSync={"every": "1h"})
            namespace.ready()
            time.sleep(3)
            assert namespace.writes() - before == 3 + 4 + 2
        with operator_process():
            namespace.apply("bob")
            namespace.ready("bob")
            time.sleep(3)
        assert namespace.writes() - before == 3 + 4 + 2 + 3
        assert namespace.get("cronjobs", name)["spec"]["jobTemplate"]["spec"]["parallelism"] == 1
        assert namespace.schedule()["status"][DIGEST.name]["cronJobGeneration"] == 1
        assert namespace.schedule()["status"][SYNC.name]["cronJobGeneration"] > 1
    finally:
        for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            namespace.cluster.kubectl("delete", kind, namespace.name)
