"""Admissions that replace what the operator applies, on a real API server: told, tried seldom, and never fought."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from admission import apply_policy
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_reconciliation import GARBAGE_SECONDS
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_operator.status.conditions import find_condition

pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]

CONTAINER = "/spec/jobTemplate/spec/template/spec/containers/0"
# By the name of a UserSchedule: what becomes of its CronJobs (JSONPatch in CEL), and what its status says of it.
REPLACED = {
    "schedule": (
        'JSONPatch{op: "replace", path: "/spec/schedule", value: "1 1 1 1 *"}',
        'spec.schedule is "1 1 1 1 *"',
    ),
    "concurrency": (
        'JSONPatch{op: "replace", path: "/spec/concurrencyPolicy", value: "Forbid"}',
        'spec.concurrencyPolicy is "Forbid", not "Allow"',
    ),
    "suspend": ('JSONPatch{op: "replace", path: "/spec/suspend", value: true}', "spec.suspend is true, not false"),
    "image": (
        f'JSONPatch{{op: "replace", path: "{CONTAINER}/image", value: "mirror/x"}}',
        'containers[job].image is "mirror/x", not "catchup-jobs:test"',
    ),
    "command": (f'JSONPatch{{op: "replace", path: "{CONTAINER}/args", value: ["sh"]}}', 'args is ["sh"], not ["'),
    "label": (
        'JSONPatch{op: "remove", path: "/metadata/labels/catchup.dev~1job"}',
        "metadata.labels.catchup.dev/job is missing",
    ),
}
ADDED = f'JSONPatch{{op: "add", path: "{CONTAINER}/command", value: ["tini"]}}'
GOES_ON = 'JSONPatch{op: "replace", path: "/spec/suspend", value: false}'
KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


def admission(namespace: Namespace) -> None:
    """Let an admission policy replace what `REPLACED` says, and add to the CronJobs of `added`."""
    patches = {
        **{name: patch for name, (patch, _) in REPLACED.items()},
        "added": ADDED,
        "probe": REPLACED["schedule"][0],
        "held": GOES_ON,
    }
    expression = "[]"
    for name, patch in patches.items():
        expression = f'object.metadata.name.startsWith("{name}") ? [{patch}] : ({expression})'
    rule = {
        "apiGroups": ["batch"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["cronjobs"],
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    specs: dict[str, dict[str, Any]] = {
        KINDS[0]: {
            "matchConstraints": {"resourceRules": [rule]},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
        KINDS[1]: {"policyName": namespace.name, "matchResources": here},
    }
    apply_policy(namespace.cluster, namespace.name, specs)
    eventually(lambda: replaces(namespace), seconds=30)


def replaces(namespace: Namespace) -> bool:
    probe = ("create", "cronjob", "probe", "--image=x", "--schedule=2 2 2 2 *", "--dry-run=server", "-o", "json")
    return bool(json.loads(namespace.kubectl(*probe))["spec"]["schedule"] == "1 1 1 1 *")


def no_admission(namespace: Namespace) -> None:
    for kind in reversed(KINDS):
        namespace.cluster.kubectl("delete", kind, namespace.name, "--ignore-not-found")
    eventually(lambda: not replaces(namespace), seconds=30)


@pytest.fixture
def replacing(namespace: Namespace) -> Iterator[None]:
    admission(namespace)
    yield
    no_admission(namespace)


def ready(namespace: Namespace, name: str) -> dict[str, Any]:
    return dict(find_condition(namespace.schedule(name).get("status") or {}, "Ready"))


def told(namespace: Namespace, name: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = ready(namespace, name)
        return found if found.get("reason") == "CronJobMutated" else None

    return eventually(probe)


@pytest.mark.usefixtures("replacing")
def test_what_an_admission_replaces_is_told_without_a_fight_also_after_a_restart_and_what_it_adds_is_not(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    for name in (*REPLACED, "added"):
        namespace.apply(name)
    with operator_process():
        for name, (_, says) in REPLACED.items():
            found = told(namespace, name)
            assert found["status"] == "False"
            assert says in found["message"], name
            assert find_condition(namespace.schedule(name)["status"], "Stalled")["reason"] == "CronJobMutated"
        namespace.ready("added")
        time.sleep(3)
        before = namespace.writes()
        time.sleep(6)
        assert namespace.writes() == before, "it fights"
        events = [
            event["involvedObject"]["name"]
            for event in namespace.items("events")
            if event["reason"] == "CronJobMutated"
        ]
        assert sorted(events) == sorted(REPLACED)
        assert namespace.schedule("suspend")["status"]["sync"]["cronJobUID"]  # its runs are recorded all the same
    before, statuses = namespace.writes(), {name: namespace.schedule(name)["status"] for name in REPLACED}
    with operator_process():
        namespace.apply("new")
        namespace.ready("new")
        time.sleep(3)
        # Each CronJob is applied once, and no status is written; the new one costs three.
        assert namespace.writes() - before <= 2 * len(REPLACED) + 3
        assert {name: namespace.schedule(name)["status"] for name in REPLACED} == statuses
    no_admission(namespace)
    with operator_process():
        for name in REPLACED:
            namespace.ready(name)
    assert not [item for item in namespace.items("cronjobs") if item["spec"]["suspend"]]


@pytest.fixture
def retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.refusals._REFUSED_MAX_SECONDS", 1.0)
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)


@pytest.mark.usefixtures("retry_soon")
def test_an_admission_that_comes_and_goes_is_found_at_an_edit_and_a_repair_and_heals_by_itself(
    operator: KopfRunner, namespace: Namespace
) -> None:
    for name in ("image", "suspend", "held"):
        namespace.apply(name)
        namespace.ready(name)
    namespace.kubectl("patch", "us", "held", "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
    admission(namespace)
    try:
        namespace.apply("image", calendarSync={"every": "1h"})
        told(namespace, "image")
        (cronjob,) = namespace.items("cronjobs", "catchup.dev/user-schedule=suspend,catchup.dev/job=sync")
        namespace.kubectl("label", "cronjob", cronjob["metadata"]["name"], "a=b")  # the admission suspends it
        told(namespace, "suspend")
        namespace.kubectl("delete", "us", "held", "--wait=false")
        found = eventually(lambda: (found := ready(namespace, "held"))["reason"] == "CronJobRefused" and found)
        assert "go on starting runs" in found["message"]
    finally:
        no_admission(namespace)
    for name in ("image", "suspend"):
        namespace.ready(name)
        assert ready(namespace, name)["reason"] == "Reconciled"
    eventually(lambda: ready(namespace, "held")["reason"] == "Terminating")
    namespace.kubectl("patch", "us", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    eventually(lambda: not namespace.items("cronjobs", "catchup.dev/user-schedule=held"), seconds=GARBAGE_SECONDS)
    assert not [item for item in namespace.items("cronjobs") if item["spec"]["suspend"]]
