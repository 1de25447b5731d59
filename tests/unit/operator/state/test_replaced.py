from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from unit.operator.factories import TEMPLATE, schedule

from catchup_contract.kinds import SYNC
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.state.replaced import replaced, summary

FULL = replace(
    TEMPLATE,
    env=(
        {"name": "PASSWORD", "value": "hush"},
        {"name": "EMPTY", "value": ""},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ),
    resources={"limits": {"cpu": "1000m", "memory": "0.5Gi", "example.com/gpu": 1}, "requests": {"cpu": 0.1}},
    pod={
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "hostNetwork": False,
        "hostUsers": None,
        "nodeSelector": {},
        "initContainers": [{"name": "first", "image": "x", "command": ["sh", "-c"], "args": []}],
    },
    volumes=({"name": "more", "emptyDir": {}},),
)
MANIFEST = desired_cronjobs(schedule(), FULL, {})[SYNC]
Change = Callable[[dict[str, Any]], Any]


def pod(cronjob: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def job(cronjob: dict[str, Any]) -> dict[str, Any]:
    return next(container for container in pod(cronjob)["containers"] if container["name"] == "job")


def variable(cronjob: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in job(cronjob)["env"] if entry["name"] == name)


def answer(*changes: Change) -> dict[str, Any]:
    """Return what a server answers: what is applied, with its defaults, in its own words, and changed."""
    found: dict[str, Any] = json.loads(json.dumps(MANIFEST))
    found["metadata"] |= {"uid": "cj-1", "generation": 1}
    job(found)["imagePullPolicy"] = "IfNotPresent"
    job(found)["resources"] = {
        "limits": {"cpu": "1", "memory": "512Mi", "example.com/gpu": "1"},
        "requests": {"cpu": "100m"},
    }
    del variable(found, "EMPTY")["value"]
    variable(found, "NODE")["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    del (
        pod(found)["hostNetwork"],
        pod(found)["hostUsers"],
        pod(found)["nodeSelector"],
        pod(found)["initContainers"][0]["args"],
    )
    pod(found)["schedulerName"] = "default-scheduler"
    for change in changes:
        change(found)
    return found


def add(cronjob: dict[str, Any]) -> None:
    """Add what admissions add, before what is there where that is possible."""
    cronjob["metadata"]["labels"]["team"] = "people"
    cronjob["spec"]["jobTemplate"]["spec"]["parallelism"] = 1
    job(cronjob)["env"].insert(0, {"name": "PROXY", "value": "http://proxy"})
    job(cronjob)["volumeMounts"].insert(0, {"name": "tmp", "mountPath": "/more"})
    job(cronjob)["command"] = ["tini"]
    pod(cronjob)["containers"].insert(0, {"name": "sidecar", "image": "x"})
    pod(cronjob)["tolerations"].insert(0, {"operator": "Exists"})
    pod(cronjob)["hostUsers"] = False
    pod(cronjob)["volumes"].append({"name": "theirs", "emptyDir": {}})


@pytest.mark.parametrize("changes", [(), (add,)], ids=["defaults", "additions"])
def test_what_the_server_sets_by_default_and_an_admission_adds_replaces_nothing(changes: tuple[Change, ...]) -> None:
    assert replaced(MANIFEST, answer(*changes)) == []


ARGS = ["sync", "--user", "ada"]
POD = "spec.jobTemplate.spec.template.spec"
JOB = f"{POD}.containers[job]"
REPLACED: dict[str, tuple[Change, str]] = {
    "schedule": (
        lambda cj: cj["spec"].update(schedule="1 1 1 1 *"),
        f'spec.schedule is "1 1 1 1 *", not "{MANIFEST["spec"]["schedule"]}"',
    ),
    "concurrency": (
        lambda cj: cj["spec"].update(concurrencyPolicy="Forbid"),
        'spec.concurrencyPolicy is "Forbid", not "Allow"',
    ),
    "suspend": (lambda cj: cj["spec"].update(suspend=True), "spec.suspend is true, not false"),
    "image": (lambda cj: job(cj).update(image="mirror/x"), f'{JOB}.image is "mirror/x", not "catchup-jobs:test"'),
    "args": (lambda cj: job(cj).update(args=["x"]), f'{JOB}.args is ["x"], not ["sync","--user","ada"]'),
    "a longer list of arguments": (
        lambda cj: job(cj).update(args=[*ARGS, "--full"]),
        f'{JOB}.args is ["sync","--user","ada","--full"], not ["sync","--user","ada"]',
    ),
    "command": (
        lambda cj: pod(cj)["initContainers"][0].update(command=["x"]),
        f'{POD}.initContainers[first].command is ["x"], not ["sh","-c"]',
    ),
    "a quantity": (
        lambda cj: job(cj)["resources"]["limits"].update(memory="1Gi"),
        f'{JOB}.resources.limits.memory is "1Gi", not "0.5Gi"',
    ),
    "a token": (
        lambda cj: pod(cj).pop("automountServiceAccountToken"),
        f"{POD}.automountServiceAccountToken is missing",
    ),
    "the node's network": (lambda cj: pod(cj).update(hostNetwork=True), f"{POD}.hostNetwork is true, not false"),
    "a kind of volume": (
        lambda cj: pod(cj)["volumes"][1].update(emptyDir=None, hostPath={"path": "/"}),
        f"{POD}.volumes[more].emptyDir is missing",
    ),
    "a toleration": (
        lambda cj: pod(cj)["tolerations"][1].update(operator="Equal"),
        f"{POD}.tolerations[0].key is missing",  # of the one that was added before it
    ),
    "a container": (lambda cj: pod(cj).update(containers=[{"name": "x"}]), f"{JOB} is missing"),
    "a variable": (
        lambda cj: variable(cj, "PASSWORD").update(value="other"),
        f"{JOB}.env[PASSWORD].value has another value",
    ),
    "a variable's source": (
        lambda cj: variable(cj, "NODE").update(valueFrom=None, value="x"),
        f"{JOB}.env[NODE].valueFrom is missing",
    ),
    "a label of ours": (
        lambda cj: cj["metadata"]["labels"].pop("catchup.dev/job"),
        "metadata.labels.catchup.dev/job is missing",
    ),
    "the owner": (lambda cj: cj["metadata"].pop("ownerReferences"), "metadata.ownerReferences is missing"),
}


@pytest.mark.parametrize("what", REPLACED)
def test_a_value_that_an_admission_replaces_or_removes_is_named(what: str) -> None:
    change, told = REPLACED[what]
    found = replaced(MANIFEST, answer(add, change))
    assert [str(each) for each in found] == [told]
    assert [each.is_mark for each in found] == [told.startswith("metadata.")]
    assert "hush" not in summary(found)


def test_of_many_that_are_replaced_a_few_are_named() -> None:
    found = replaced(MANIFEST, answer(*(change for change, _ in list(REPLACED.values())[:5])))
    assert summary(found).startswith("spec.schedule is ")
    assert summary(found).endswith(" and 2 more")
    long = answer(lambda cj: cj["spec"].update(schedule="1," * 500))
    assert len(summary(replaced(MANIFEST, long))) < 300
