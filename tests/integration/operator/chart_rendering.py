"""Rendering the chart with Helm, and finding in it what tests look at."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from integration.operator.conftest import CHART, Namespace

from catchup_contract.kinds import Kind
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.template_file import load_template

TRYING_OUT: dict[str, Any] = {"generateSecrets": True}
EXISTING: dict[str, Any] = {
    "database": {"existingSecret": "our-database", "existingSecretKey": "uri"},
    "redis": {"existingSecret": "our-redis"},
    "encryption": {"existingSecret": "our-keys"},
    "google": {"existingSecret": "our-google", "apiEndpoint": "http://google.test/calendar/v3/"},
    "twilio": {"existingSecret": "our-twilio", "from": "+15550100", "apiBaseUrl": "http://twilio.test"},
    "smtp": {"host": "mail.test", "from": "catchup@example.com", "existingSecret": "our-mail"},
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
    "suggestions": {"shards": 4, "schedule": "15 3 * * *", "suspend": True},
    "twilio": {**EXISTING["twilio"], "messagingServiceSid": "MG0", "accountSidKey": "sid", "authTokenKey": "token"},
    "smtp": {**EXISTING["smtp"], "port": 465, "security": "tls"},
    "caBundle": {"configMap": "our-ca", "key": "root.pem"},
    "actionBaseUrl": "https://app.example.com/act",
    "connectUrl": "https://app.example.com/settings?tab=calendar",
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"a": "b"}}],
}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "trying out": TRYING_OUT,
    "existing secrets": EXISTING,
    "everything": EVERYTHING,
    "toolbox": {"toolbox": {"enabled": True}},
    "no suggestions": {"suggestions": {"enabled": False}},
    "all namespaces": {"operator": {"allNamespaces": True}},
}


class Loader(yaml.SafeLoader):
    """Takes `=` for text, as YAML 1.2 does."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


def render(
    helm: Path, namespace: Namespace, values: dict[str, Any], *arguments: str, chart: Path = CHART
) -> list[dict[str, Any]]:
    """Return the objects of `render_text`."""
    text = render_text(helm, namespace, values, *arguments, chart=chart)
    return [document for document in yaml.load_all(text, Loader=Loader) if document]


def render_text(helm: Path, namespace: Namespace, values: dict[str, Any], *arguments: str, chart: Path = CHART) -> str:
    """Render with Secrets that are there, or for trying out with those that the chart makes, which takes a cluster."""
    if values.get("generateSecrets"):
        arguments = (*arguments, "--dry-run=server", "--set=crds.enabled=false")
    else:
        values = {**{name: EXISTING[name] for name in ("database", "redis", "encryption")}, **values}
    done = subprocess.run(
        [str(helm), "template", "catchup-jobs", str(chart), "--namespace", namespace.name, "--values", "-", *arguments],
        input=json.dumps(values),  # PyYAML and Helm do not agree on what needs quotes
        env={**os.environ, "KUBECONFIG": str(namespace.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod_templates(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, {"metadata": {}, "spec": document["spec"]}
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"]
        elif "jobTemplate" in document.get("spec", {}):
            yield name, document["spec"]["jobTemplate"]["spec"]["template"]


def job_template(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The file that the operator reads."""
    (config,) = [d for d in documents if d["kind"] == "ConfigMap" and "job-template.yaml" in d["data"]]
    found: dict[str, Any] = yaml.safe_load(config["data"]["job-template.yaml"])
    return found


def users_cronjob(documents: list[dict[str, Any]], kind: Kind) -> dict[str, Any]:
    """A CronJob that the operator makes from that file for a user."""
    metadata = {"namespace": "people", "name": "ada", "uid": "0", "generation": 1}
    schedule = UserSchedule.from_body({"metadata": metadata, "spec": {"userId": "ada"}})
    return desired_cronjobs(schedule, _loaded(documents), {})[kind]


def _loaded(documents: list[dict[str, Any]]) -> JobTemplate:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "job-template.yaml"
        file.write_text(yaml.safe_dump(job_template(documents)))
        return load_template(file)


def pools_cronjobs(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The CronJobs that the operator makes from that file for a pool."""
    metadata = {"namespace": "people", "name": "people", "uid": "0", "generation": 1}
    pool = SchedulePool.from_body({"metadata": metadata, "spec": {"calendarSync": {"shards": 2}}})
    return [*pool_cronjobs(pool, _loaded(documents), {}).values()]


def suggestions_cronjob(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == "CronJob"]
    return found


def job_container(cronjob: dict[str, Any]) -> dict[str, Any]:
    (found,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def cluster_name(namespace: str, name: str = "catchup-jobs") -> str:
    """The first part of the names of a release's objects of the cluster."""
    return f"{namespace}-{name}-{hashlib.sha256(f'{namespace}/{name}'.encode()).hexdigest()[:6]}"


def secret_references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if "secretKeyRef" in node:
            yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
        for value in node.values():
            yield from secret_references(value)
    elif isinstance(node, list):
        for value in node:
            yield from secret_references(value)
