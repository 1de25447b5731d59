"""The ValidatingAdmissionPolicy of the chart on a real API server, against the operator's own account."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import EVERYTHING, pools_cronjobs, render, users_cronjob
from integration.operator.conftest import Namespace
from waiting import eventually

from catchup_contract.kinds import DIGEST, SYNC
from catchup_dev.console import Failure

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

VALUES: dict[str, Any] = {
    **EVERYTHING,
    "admissionPolicy": {"enabled": True},
    "jobs": {
        **EVERYTHING["jobs"],
        "extraInitContainers": [
            {
                "name": "proxy",
                "image": "cloud-proxy:1",
                "securityContext": {"allowPrivilegeEscalation": False},
            }
        ],
    },
}
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.fixture
def policy(helm: Path, namespace: Namespace) -> Iterator[list[dict[str, Any]]]:
    documents = render(helm, namespace, VALUES)
    wanted = [d for d in documents if d["kind"] in {*KINDS, "ServiceAccount", "Role", "RoleBinding"}]
    stream = yaml.safe_dump_all(d for d in wanted if "helm.sh/hook" not in d["metadata"].get("annotations", {}))
    namespace.kubectl("apply", "-f", "-", stdin=stream)
    yield documents
    for kind in KINDS:
        namespace.cluster.kubectl("delete", kind, f"{namespace.name}-people-jobs-operator", "--ignore-not-found")


@pytest.fixture
def create(namespace: Namespace, policy: list[dict[str, Any]]) -> Callable[[dict[str, Any]], str]:
    """Create a CronJob as the operator's account, without keeping it; return what the API server says."""
    del policy
    account = f"system:serviceaccount:{namespace.name}:people-jobs-operator"

    def make(cronjob: dict[str, Any]) -> str:
        try:
            return namespace.kubectl(
                "create", "--dry-run=server", f"--as={account}", "-f", "-", stdin=yaml.safe_dump(cronjob)
            )
        except Failure as failure:
            return failure.log

    return make


def good(documents: list[dict[str, Any]], namespace: Namespace, kind: Any = SYNC) -> dict[str, Any]:
    cronjob = copy.deepcopy(users_cronjob(documents, kind))
    cronjob["metadata"]["namespace"] = namespace.name
    return cronjob


def test_what_the_operator_makes_is_admitted(
    create: Callable[[dict[str, Any]], str], policy: list[dict[str, Any]], namespace: Namespace
) -> None:
    for kind in (SYNC, DIGEST):
        assert "created" in create(good(policy, namespace, kind))
    for cronjob in pools_cronjobs(policy):
        cronjob["metadata"]["namespace"] = namespace.name
        assert "created" in create(cronjob)


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["containers"][0]
    return found


def _no_owner(_: dict[str, Any]) -> None:
    """Done by the test: the owner is no part of the pod."""


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another image": (lambda spec: _container(spec).update(image="evil"), "of the jobs' image"),
    "a second container": (
        lambda spec: spec["containers"].append({"name": "x", "image": _container(spec)["image"]}),
        "has one container",
    ),
    "another init container": (
        lambda spec: spec["initContainers"].append({"name": "x", "image": "evil"}),
        "no init containers but those",
    ),
    "another service account": (lambda spec: spec.update(serviceAccountName="admin"), "runs as the service account"),
    "a token": (lambda spec: spec.update(automountServiceAccountToken=True), "without its token"),
    "the node's network": (lambda spec: spec.update(hostNetwork=True), "nothing of its node"),
    "the node's processes": (lambda spec: spec.update(hostPID=True), "nothing of its node"),
    "a privileged container": (
        lambda spec: _container(spec)["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
        "no privileges",
    ),
    "a capability": (
        lambda spec: _container(spec)["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
        "no privileges",
    ),
    "a volume of the node": (
        lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "mounts nothing of its node",
    ),
    "a Secret as a volume": (
        lambda spec: spec["volumes"].append({"name": "x", "secret": {"secretName": "theirs"}}),
        "no Secret that the jobs do not need",
    ),
    "a token as a volume": (
        lambda spec: spec["volumes"].append(
            {"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
        ),
        "no token",
    ),
    "a Secret as a variable": (
        lambda spec: _container(spec)["env"].append(
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "x"}}}
        ),
        "reads no Secret",
    ),
    "all of a Secret as variables": (
        lambda spec: _container(spec).update(envFrom=[{"secretRef": {"name": "theirs"}}]),
        "reads no Secret",
    ),
    "no owner": (_no_owner, "belongs to a UserSchedule"),
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_refused_with_the_reason(
    create: Callable[[dict[str, Any]], str], policy: list[dict[str, Any]], namespace: Namespace, what: str
) -> None:
    change, says = WRONG[what]
    cronjob = good(policy, namespace)
    change(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    if what == "no owner":
        del cronjob["metadata"]["ownerReferences"]
    # The API server takes some seconds to enforce a new policy.
    assert eventually(lambda: says if says in create(cronjob) else None)


def test_others_are_not_affected(policy: list[dict[str, Any]], namespace: Namespace) -> None:
    cronjob = good(policy, namespace)
    _container(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"])["image"] = "ours"
    assert "created" in namespace.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(cronjob))
