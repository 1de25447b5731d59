"""The chart, rendered by Helm and judged by a real API server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import ROOT, Namespace

from catchup_dev.binaries import ensure
from catchup_dev.cluster import Cluster
from catchup_dev.console import Console
from catchup_operator.desired import desired
from catchup_operator.resource import UserSchedule
from catchup_operator.template import JobTemplate

CHART = ROOT / "helm/catchup-jobs"
EXISTING: dict[str, Any] = {
    "database": {"existingSecret": "our-database", "existingSecretKey": "uri"},
    "redis": {"existingSecret": "our-redis"},
    "encryption": {"existingSecret": "our-keys"},
    "google": {"existingSecret": "our-google", "apiEndpoint": "http://google.test/calendar/v3/"},
}
SCHEDULING: dict[str, Any] = {
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
    "podLabels": {"team": "people"},
    "podAnnotations": {"note": "a: b # c"},
    "extraEnv": [{"name": "EXTRA", "value": '$(NOT) "quoted"'}],
}
EVERYTHING: dict[str, Any] = {
    **EXISTING,
    "fullnameOverride": "people-jobs",
    "commonLabels": {"cost-center": "42"},
    "imagePullSecrets": [{"name": "pull"}],
    "operator": {**SCHEDULING, "image": {"digest": f"sha256:{'0' * 64}"}},
    "jobs": {**SCHEDULING, "image": {"tag": "next"}},
    "toolbox": {"enabled": True},
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"a": "b"}}],
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "no values": {},
    "existing secrets": EXISTING,
    "everything": EVERYTHING,
    "toolbox": {"toolbox": {"enabled": True}},
}


@pytest.fixture(scope="module")
def helm(cluster: Cluster) -> Path:
    return ensure(["helm"], Console())["helm"]


@pytest.fixture
def restricted(namespace: Namespace) -> Namespace:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


def render(helm: Path, namespace: Namespace, values: dict[str, Any], *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(helm), "template", "catchup-jobs", str(CHART), "--namespace", namespace.name, "--values", "-", *arguments],
        input=yaml.safe_dump(values),
        env={**os.environ, "KUBECONFIG": str(namespace.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def pod_templates(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, {"metadata": {}, "spec": document["spec"]}
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"]


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_every_object_is_accepted_by_the_api_server(helm: Path, namespace: Namespace, values: dict[str, Any]) -> None:
    documents = render(helm, namespace, values)
    stream = yaml.safe_dump_all(document for document in documents if document["kind"] != "CustomResourceDefinition")
    out = namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=stream)
    assert len(out.splitlines()) == len(documents) - 1


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_every_pod_is_admitted_under_restricted_pod_security(
    helm: Path, restricted: Namespace, values: dict[str, Any], tmp_path: Path
) -> None:
    documents = render(helm, restricted, values)
    (config,) = [d for d in documents if d["kind"] == "ConfigMap" and "job-template.yaml" in d["data"]]
    file = tmp_path / "job-template.yaml"
    file.write_text(config["data"]["job-template.yaml"])
    template = JobTemplate.load(file)
    metadata = {"namespace": restricted.name, "name": "ada", "uid": "0", "generation": 1}
    schedule = UserSchedule.from_body({"metadata": metadata, "spec": {"userId": "ada"}})
    cronjobs = [
        (c["metadata"]["name"], c["spec"]["jobTemplate"]["spec"]["template"]) for c in desired(schedule, template)
    ]
    pods = [*pod_templates(documents), *cronjobs]
    assert len(pods) >= 4
    for name, pod in pods:
        spec = {
            **pod["spec"],
            "volumes": [v for v in pod["spec"].get("volumes", []) if "persistentVolumeClaim" not in v],
        }
        claimed = {mount["name"] for mount in spec["containers"][0].get("volumeMounts", [])}
        spec["volumes"] += [{"name": n, "emptyDir": {}} for n in claimed - {v["name"] for v in spec["volumes"]}]
        spec["serviceAccountName"] = "default"
        spec.pop("priorityClassName", None)
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
        out = restricted.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
        assert "created" in out, name


def secret_references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if "secretKeyRef" in node:
            yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
        for value in node.values():
            yield from secret_references(value)
    elif isinstance(node, list):
        for value in node:
            yield from secret_references(value)


def test_without_values_every_secret_that_a_pod_names_is_made_by_the_chart(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {"toolbox": {"enabled": True}})
    made = {(d["metadata"]["name"], key) for d in documents if d["kind"] == "Secret" for key in d["data"]}
    (config,) = [d for d in documents if d["kind"] == "ConfigMap"]
    named = set(secret_references(documents)) | set(
        secret_references(yaml.safe_load(config["data"]["job-template.yaml"]))
    )
    assert named
    assert named <= made


def test_with_existing_secrets_the_chart_makes_none_and_brings_no_database(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, EXISTING)
    assert {d["kind"] for d in documents}.isdisjoint({"Secret", "StatefulSet"})
    names = {name for name, _ in secret_references(documents)}
    assert names == {"our-database", "our-redis", "our-keys", "our-google"}


def test_the_operator_may_do_only_what_it_does(helm: Path, namespace: Namespace) -> None:
    documents = render(helm, namespace, {"operator": {"namespaces": ["people", "friends"]}})
    roles = [d for d in documents if d["kind"] == "Role" and d["metadata"]["name"] == "catchup-jobs-operator"]
    assert [role["metadata"]["namespace"] for role in roles] == ["people", "friends"]
    assert not [d for d in documents if d["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    verbs = {resource: set(rule["verbs"]) for rule in roles[0]["rules"] for resource in rule["resources"]}
    assert verbs == {
        "userschedules": {"get", "list", "watch"},
        "userschedules/status": {"patch"},
        "cronjobs": {"get", "list", "watch", "create", "patch"},
        "jobs": {"list", "watch"},
        "pods": {"list"},
        "events": {"create"},
    }


def test_a_definition_that_is_not_the_releases_is_refused_with_what_to_do(helm: Path, namespace: Namespace) -> None:
    done = subprocess.run(
        [str(helm), "install", "x", str(CHART), "--namespace", namespace.name, "--dry-run=server"],
        env={**os.environ, "KUBECONFIG": str(namespace.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "applied by hand); install with --set crds.enabled=false" in done.stderr
