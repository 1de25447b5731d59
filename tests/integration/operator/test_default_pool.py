"""The default pool of the chart on a real API server, and what clients make of it that apply again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import EXISTING, render
from integration.operator.conftest import Namespace
from integration.operator.test_gitops import template
from waiting import eventually

from catchup_dev.console import Failure

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

VALUES: dict[str, Any] = {**EXISTING, "defaultPool": "people"}
KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


def schedule(name: str, **spec: Any) -> str:
    document = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": name},
        "spec": {"userId": name, **spec},
    }
    return yaml.safe_dump(document)


def pool(namespace: Namespace, name: str) -> Any:
    return namespace.schedule(name)["spec"].get("pool")


@pytest.fixture
def policy(helm: Path, namespace: Namespace) -> Iterator[None]:
    """Apply the policy after `early` was made; wait until it is at work."""
    namespace.kubectl("create", "-f", "-", stdin=schedule("early"))
    documents = [d for d in render(helm, namespace, VALUES) if d["kind"] in KINDS]
    assert len(documents) == len(KINDS)
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def is_at_work() -> bool:
        probe = namespace.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=schedule("probe"))
        return bool(json.loads(probe)["spec"].get("pool") == "people")

    eventually(is_at_work)
    yield
    for document in documents:
        namespace.cluster.kubectl("delete", document["kind"], document["metadata"]["name"], "--ignore-not-found")


def test_the_default_is_written_into_what_is_made_and_into_nothing_else(policy: None, namespace: Namespace) -> None:
    for name, spec, expected in (
        ("ada", {}, "people"),
        ("bob", {"pool": ""}, ""),
        ("cy", {"pool": "staff"}, "staff"),
    ):
        namespace.kubectl("create", "-f", "-", stdin=schedule(name, **spec))
        assert pool(namespace, name) == expected
    assert pool(namespace, "early") is None
    namespace.kubectl("patch", "us", "early", "--type=merge", "-p", '{"spec":{"timeZone":"Europe/Berlin"}}')
    assert pool(namespace, "early") is None
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"spec":{"pool":""}}')
    assert pool(namespace, "ada") == ""
    with pytest.raises(Failure) as failure:
        namespace.kubectl("create", "-f", "-", stdin=yaml.safe_dump({**yaml.safe_load(schedule("dee")), "spec": None}))
    assert "spec" in failure.value.log
    assert "expression" not in failure.value.log


@pytest.mark.parametrize("how", [["apply", "--server-side"], ["apply"]], ids=["server-side", "client-side"])
def test_who_applies_a_manifest_without_a_pool_again_changes_nothing_and_sees_no_difference(
    policy: None, namespace: Namespace, how: list[str]
) -> None:
    namespace.kubectl(*how, "-f", "-", stdin=schedule("ada"))
    made = json.loads(namespace.kubectl("get", "us", "ada", "-o", "json", "--show-managed-fields"))
    assert made["spec"]["pool"] == "people"
    applied = [each for each in made["metadata"]["managedFields"] if each["operation"] == "Apply"]
    assert all("f:pool" not in each["fieldsV1"]["f:spec"] for each in applied), "an apply would take it away again"
    namespace.kubectl("diff", *how[1:], "-f", "-", stdin=schedule("ada"))  # exits with 1 where there is a difference
    namespace.kubectl(*how, "-f", "-", stdin=schedule("ada"))
    again = namespace.schedule()
    assert (again["spec"], again["metadata"]["generation"]) == (made["spec"], 1)
    namespace.kubectl(*how, "-f", "-", stdin=schedule("ada", timeZone="Europe/Berlin"))
    assert (pool(namespace, "ada"), namespace.schedule()["spec"]["timeZone"]) == ("people", "Europe/Berlin")


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        (["--kube-version=1.36.0"], "v1"),
        (
            ["--kube-version=1.35.2", "--api-versions=admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"],
            "v1beta1",
        ),
        (["--kube-version=1.35.2"], None),
    ],
)
def test_the_policy_is_of_a_version_that_the_cluster_has_or_is_refused(
    helm: Path, arguments: list[str], version: str | None
) -> None:
    values = "--set=defaultPool=people,database.existingSecret=a,redis.existingSecret=b,encryption.existingSecret=c"
    done = template(helm, values, *arguments)
    if version is None:
        assert "defaultPool needs a MutatingAdmissionPolicy: Kubernetes 1.36" in done.stderr
        return
    made = [d for d in yaml.safe_load_all(done.stdout) if d and d["kind"] in KINDS]
    assert [d["apiVersion"] for d in made] == [f"admissionregistration.k8s.io/{version}"] * 2


def test_only_served_namespaces_have_the_default(helm: Path, namespace: Namespace) -> None:
    for operator, conditions in (
        ({"namespaces": ["a", "b"]}, ['request.namespace in ["a","b"]', "has(object.spec) && !has(object.spec.pool)"]),
        ({"allNamespaces": True}, ["has(object.spec) && !has(object.spec.pool)"]),
    ):
        (made,) = [d for d in render(helm, namespace, {**VALUES, "operator": operator}) if d["kind"] == KINDS[0]]
        assert [each["expression"] for each in made["spec"]["matchConditions"]] == conditions
    assert not [d for d in render(helm, namespace, EXISTING) if d["kind"] in KINDS]
