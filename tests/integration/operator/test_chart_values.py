"""Values that the chart refuses, and names that look like numbers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import (
    EXISTING,
    TRYING_OUT,
    Loader,
    job_template,
    pod_templates,
    render,
    render_text,
)
from integration.operator.conftest import CHART, Namespace
from integration.operator.test_chart_metrics import prometheus_operator

from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC, Kind
from catchup_dev.cluster import Cluster

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

__all__ = ["prometheus_operator"]  # a fixture

SECRETS = {name: EXISTING[name] for name in ("database", "redis", "encryption")}


def template(
    helm: Path, values: dict[str, Any], *arguments: str, release: str = "catchup-jobs"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(helm), "template", release, str(CHART), "--values", "-", *arguments],
        input=yaml.safe_dump({**SECRETS, **values}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"smtp": {"host": "mail.test"}}, "smtp.from must be the sender's address"),
        ({"twilio": {"existingSecret": "a"}}, "set twilio.from or twilio.messagingServiceSid with it"),
        ({"twilio": {"from": "12345"}}, "twilio.existingSecret and a sender go together"),
        ({"operator": {"namespaces": ["people"], "allNamespaces": True}}, "exclude each other"),
        ({"twilio": {"authToken": "x"}}, "additional properties 'authToken' not allowed"),
        ({"jobs": {"extraEnv": [{"name": "A", "value": 5}]}}, "/jobs/extraEnv/0/value': got number, want string"),
        ({"operator": {"extraEnv": [{"name": "A", "value": True}]}}, "/operator/extraEnv/0/value"),
        ({"jobs": {"podAnnotations": {"a": True}}}, "/jobs/podAnnotations/a': got boolean, want string"),
        ({"operator": {"namespaces": [2024]}}, "/operator/namespaces/0': got number, want string"),
        ({"planning": {"contactHours": "22:00-08:00"}}, "planning.contactHours must be hours of one day"),
        ({"redis": {"existingSecret": "a", "existingSecretKey": ""}}, "/redis/existingSecretKey"),
        ({"caBundle": {"configMap": "a", "secret": "b"}}, "caBundle.configMap and caBundle.secret exclude each other"),
        ({"smtp": {"from": "a@b.ch"}}, "smtp.from and smtp.existingSecret go with smtp.host"),
        ({"smtp": {"existingSecret": "a"}}, "smtp.from and smtp.existingSecret go with smtp.host"),
        ({"caBundle": {"key": "a"}}, "caBundle.key goes with caBundle.configMap or caBundle.secret"),
        ({"metrics": {"tls": {"caSecret": "a"}}}, "metrics.tls.caSecret goes with metrics.tls.existingSecret"),
        ({"metrics": {"tls": {"caKey": "a"}}}, "metrics.tls.caKey goes with metrics.tls.existingSecret"),
        ({"metrics": {"tls": {"serverName": "a"}}}, "metrics.tls.serverName goes with metrics.tls.existingSecret"),
        ({"metrics": {"tls": {"insecureSkipVerify": True}}}, "metrics.tls.insecureSkipVerify goes with"),
        (
            {"metrics": {"tls": {"existingSecret": "a", "caSecret": "b", "insecureSkipVerify": True}}},
            "lets Prometheus trust any certificate: take it away, or metrics.tls.caSecret",
        ),
        ({"metrics": {"tokenSecret": "a"}}, "metrics.tokenSecret goes with metrics.access=reviewed"),
        (
            {"metrics": {"enabled": True, "serviceAccount": {"annotations": {"a": "b"}}}},
            "go with an account that the chart makes",
        ),
        (
            {"metrics": {"enabled": True, "serviceAccount": {"name": "a", "create": False, "labels": {"a": "b"}}}},
            "go with an account that the chart makes",
        ),
        (
            {"operator": {"serviceAccount": {"create": False, "annotations": {"a": "b"}}}},
            "operator.serviceAccount.annotations and labels go with operator.serviceAccount.create",
        ),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, "metrics.serviceMonitor needs metrics.enabled"),
        ({"metrics": {"alerts": {"enabled": True}}}, "metrics.alerts needs metrics.enabled"),
        ({"metrics": {"dashboard": {"enabled": True}}}, "metrics.dashboard needs metrics.enabled"),
        ({"global": {"tolerations": ["gpu"]}}, "/global/tolerations/0"),
        ({"operator": None}, "at '': missing property 'operator'"),
        ({"crds": {"keep": None}}, "at '/crds': missing property 'keep'"),
        ({"migration": {"backoffLimit": None}}, "at '/migration': missing property 'backoffLimit'"),
        ({"jobs": {"sync": {"activeDeadlineSeconds": None}}}, "at '/jobs/sync': missing property"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(helm: Path, values: dict[str, Any], says: str) -> None:
    done = template(helm, values)
    assert done.returncode != 0
    assert says in done.stderr


EVERY_KIND: dict[str, Any] = {
    "metrics": {
        **{
            name: {"enabled": True} for name in ("serviceMonitor", "podMonitor", "alerts", "dashboard", "networkPolicy")
        },
        "enabled": True,
    },
    **{name: {"networkPolicy": {"enabled": True}} for name in ("operator", "jobs")},
    "toolbox": {"enabled": True},
    "admissionPolicy": {"enabled": True},
}
# Kubernetes' own, with a default of the chart's: without it, Kubernetes' own holds.
OF_KUBERNETES = {
    "resources",
    "podSecurityContext",
    "securityContext",
    "startupProbe",
    "readinessProbe",
    "livenessProbe",
}


def _nothing(default: Any, schema: dict[str, Any]) -> Any:
    """Return `null` for each value below that need not be there."""
    found = {}
    for name, value in default.items():
        if isinstance(value, dict) and name in schema.get("required", []):
            found[name] = _nothing(value, schema["properties"][name])
        elif name not in {*schema.get("required", []), *OF_KUBERNETES} and not value:
            found[name] = None
    return found


def test_what_is_empty_by_default_may_be_null(helm: Path) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = {**_nothing(defaults, schema), **{name: SECRETS[name] for name in SECRETS}}
    assert values["commonLabels"] is None
    assert values["jobs"]["extraEnv"] is None
    for key, value in EVERY_KIND.items():
        for name, inner in value.items():
            values[key][name] = {**values[key].get(name, {}), **inner} if isinstance(inner, dict) else inner
    nothing, usual = template(helm, values), template(helm, EVERY_KIND)
    assert nothing.returncode == 0, nothing.stderr
    assert nothing.stdout == usual.stdout


def test_kubernetes_own_settings_may_be_null(helm: Path) -> None:
    places = ("global", "operator", "jobs")
    nothing: dict[str, Any] = {name: {"podSecurityContext": None, "securityContext": None} for name in places}
    for name in ("operator", "jobs"):
        nothing[name] = {**nothing[name], **EVERY_KIND[name], "resources": None}
    nothing["operator"]["startupProbe"] = None
    nothing["operator"]["readinessProbe"] = dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold"))
    done = template(helm, {**EVERY_KIND, **nothing})
    assert done.returncode == 0, done.stderr
    (pod,) = [pod for name, pod in pod_templates(_documents(done.stdout)) if name == "Deployment/catchup-jobs-operator"]
    (container,) = pod["spec"]["containers"]
    assert not {"securityContext", "resources"} & container.keys()
    assert container["startupProbe"] == {"httpGet": {"path": "/healthz", "port": "health"}}
    assert container["livenessProbe"]["periodSeconds"] == 20


def _documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.load_all(text, Loader=Loader) if document]


@pytest.mark.parametrize("given", ["--set=operator.rollPerSecond=0.5", "--set=operator.namespaces={people,friends}"])
def test_what_set_makes_of_a_value_is_taken(helm: Path, given: str) -> None:
    done = template(helm, {}, given)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", ["--set=operator.namespaces={2024}", "--set=operator.rollPerSecond=0.0005"])
def test_what_set_makes_of_a_wrong_value_is_refused(helm: Path, given: str) -> None:
    done = template(helm, {}, given)
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr


def test_a_release_with_a_dot_in_its_name_is_told_what_to_set_where_it_makes_a_service(helm: Path) -> None:
    exporter = {"metrics": {"enabled": True}}
    assert template(helm, {}, release="catchup.v2").returncode == 0
    assert template(helm, {**exporter, "fullnameOverride": "catchup-v2"}, release="catchup.v2").returncode == 0
    done = template(helm, exporter, release="catchup.v2")
    assert done.returncode != 0
    assert "the Service catchup.v2-catchup-jobs-metrics cannot have a dot in its name" in done.stderr
    assert "set fullnameOverride" in done.stderr


def test_redis_gives_its_data_less_than_its_container_may_have(helm: Path, namespace: Namespace) -> None:
    def limited(maxmemory: str, memory: str | int | None) -> str:
        limits = {"limits": {"memory": memory}} if memory else {"limits": None}
        return render_text(helm, namespace, {**TRYING_OUT, "redis": {"maxmemory": maxmemory, "resources": limits}})

    for maxmemory, memory in (
        ("127mb", "128Mi"),
        ("128m", "128Mi"),
        ("1gb", "1.5Gi"),
        ("95m", "100000000"),
        ("95m", 100000000),
        ("9g", None),
    ):
        assert f'"{maxmemory}"' in limited(maxmemory, memory)
    for maxmemory, memory in (("128mb", "128Mi"), ("128MB", "128M"), ("1gb", "1G"), ("100000000", 100000000)):
        with pytest.raises(AssertionError, match=rf"redis\.maxmemory \({maxmemory}\) must be below"):
            limited(maxmemory, memory)


@pytest.mark.parametrize("kind", [SYNC, DIGEST, SUGGESTIONS], ids=str)
def test_deadlines_and_histories_are_those_of_the_contract_unless_others_are_chosen(kind: Kind) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = values["suggestions"] if kind is SUGGESTIONS else values["jobs"][kind.name]
    assert found["activeDeadlineSeconds"] == kind.deadlines.active
    assert found["successfulJobsHistoryLimit"] == kind.history.successful
    assert found["failedJobsHistoryLimit"] == kind.history.failed


@pytest.fixture(scope="module")
def numeric(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace whose name is a number."""
    found = Namespace(cluster, "2024")
    cluster.kubectl("create", "namespace", found.name)
    found.kubectl("create", "serviceaccount", "19")  # looked up when the pod of the chart's test is made
    yield found
    cluster.kubectl("delete", "namespace", found.name, "--wait=false")


# What one of YAML 1.1 and 1.2 reads as something else: the operator's parser is another than Helm's.
TEXTS = [
    "1e3",
    "0o7",
    "017",
    "0x1F",
    "0b1",
    "1_000",
    ".5",
    "-.inf",
    "12:30:45",
    "2024-01-01",
    "yes",
    "off",
    "~",
    "=",
    "",
]
NUMBERS: dict[str, Any] = {
    "fullnameOverride": "1e3",
    "nameOverride": "12",
    "commonLabels": {"cost-center": "42", "real": "true"},
    "commonAnnotations": {"year": "2024", "nothing": "null"},
    "imagePullSecrets": [{"name": "77"}],
    "database": {"existingSecret": "1", "existingSecretKey": "2"},
    "redis": {"existingSecret": "3", "existingSecretKey": "0x1"},
    "encryption": {"existingSecret": "4", "existingSecretKey": "1.5"},
    "google": {"existingSecret": "5", "clientIdKey": "6", "clientSecretKey": "7"},
    "twilio": {"existingSecret": "8", "accountSidKey": "9", "authTokenKey": "10", "from": "12345"},
    "smtp": {
        "host": "127.1",
        "from": "1@example.com",
        "existingSecret": "11",
        "usernameKey": "12",
        "passwordKey": "13",
    },
    "caBundle": {"configMap": "14", "key": "15"},
    "operator": {
        "serviceAccount": {"name": "16"},
        "namespaces": ["2024"],
        "image": {"repository": "17", "tag": "18"},
        "nodeSelector": {"zone": "1"},
        "networkPolicy": {"enabled": True},
    },
    "jobs": {
        "serviceAccountName": "19",
        "priorityClasses": {"low": "20"},
        "image": {"repository": "21", "tag": "22"},
        "networkPolicy": {"enabled": True},
        "podLabels": {"a": "1"},
        "extraEnv": [{"name": f"TEXT_{index}", "value": text} for index, text in enumerate(TEXTS)],
        "podAnnotations": {"b": "false"},
    },
    "toolbox": {"enabled": True},
    "metrics": {
        "enabled": True,
        "access": "reviewed",
        "tokenSecret": "23",
        "replicas": 2,
        "tls": {"existingSecret": "24", "caSecret": "25", "caKey": "26", "serverName": "27"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "28"}},
        "podMonitor": {"enabled": True, "labels": {"release": "29"}},
        "alerts": {"enabled": True, "labels": {"release": "30"}, "runbookUrl": "31"},
        "dashboard": {"enabled": True, "labels": {"grafana": "32"}},
    },
}


@pytest.mark.parametrize("trying_out", [False, True], ids=["existing secrets", "trying out"])
def test_names_that_look_like_numbers_stay_text_everywhere(
    helm: Path, numeric: Namespace, prometheus_operator: None, trying_out: bool
) -> None:
    values = NUMBERS
    if trying_out:
        # On older servers the name of a Service begins with a letter.
        names = ("database", "redis", "encryption")
        values = {k: v for k, v in NUMBERS.items() if k not in names} | {
            "fullnameOverride": "e3",
            "generateSecrets": True,
        }
    values = {**values, "crds": {"enabled": False}}
    text = render_text(helm, numeric, values)
    out = numeric.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    documents = render(helm, numeric, values)
    assert len(out.splitlines()) == len(documents) > 10
    entries = {entry["name"]: entry for entry in job_template(documents)["env"]}
    assert entries["CATCHUP_TWILIO_FROM"]["value"] == "12345"
    assert [entries[f"TEXT_{index}"]["value"] for index in range(len(TEXTS))] == TEXTS
