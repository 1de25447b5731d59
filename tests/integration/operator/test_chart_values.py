"""Values that the chart refuses, and names that look like numbers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.chart_rendering import EXISTING, job_template, render, render_text
from integration.operator.conftest import CHART, Namespace

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC, Kind
from catchup_dev.cluster import Cluster
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings import Settings
from catchup_operator.options import InvalidOptionError, Options

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

SECRETS = {name: EXISTING[name] for name in ("database", "redis", "encryption")}


def template(helm: Path, values: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(helm), "template", "catchup-jobs", str(CHART), "--values", "-", *arguments],
        input=yaml.safe_dump({**SECRETS, **values}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"suggestions": {"shards": 0}}, "/suggestions/shards"),
        ({"smtp": {"host": "mail.test"}}, "smtp.from must be the sender's address"),
        ({"smtp": {"security": "ssl"}}, "'starttls', 'tls', 'none'"),
        ({"operator": {"namespaces": ["people"], "allNamespaces": True}}, "exclude each other"),
        ({"operator": {"digestSpreadMinutes": 241}}, "maximum: got 241, want 240"),
        ({"twilio": {"authToken": "x"}}, "additional properties 'authToken' not allowed"),
        ({"jobs": {"extraEnv": [{"name": "A", "value": 5}]}}, "/jobs/extraEnv/0/value': got number, want string"),
        ({"jobs": {"extraEnv": [{"value": "x"}]}}, "missing property 'name'"),
        ({"jobs": {"extraEnv": [{"name": "A", "vaule": "x"}]}}, "additional properties 'vaule' not allowed"),
        ({"operator": {"extraEnv": [{"name": "A", "value": True}]}}, "/operator/extraEnv/0/value"),
        ({"jobs": {"podAnnotations": {"a": True}}}, "/jobs/podAnnotations/a': got boolean, want string"),
        ({"jobs": {"podLabels": {"a": 1}}}, "/jobs/podLabels/a"),
        ({"jobs": {"nodeSelector": {"zone": 1}}}, "/jobs/nodeSelector/zone"),
        ({"jobs": {"tolerations": ["gpu"]}}, "/jobs/tolerations/0"),
        ({"jobs": {"tolerations": [{"effect": "NoScheduling"}]}}, "/jobs/tolerations/0/effect"),
        ({"jobs": {"resources": {"limits": {"memory": "1GB"}}}}, "/jobs/resources/limits/memory"),
        ({"jobs": {"resources": {"limit": {}}}}, "additional properties 'limit' not allowed"),
        ({"jobs": {"sync": {"activeDeadlineSeconds": 10}}}, "minimum: got 10, want 60"),
        ({"jobs": {"extraVolumes": [{"emptyDir": {}}]}}, "missing property 'name'"),
        ({"jobs": {"extraVolumeMounts": [{"name": "a"}]}}, "missing property 'mountPath'"),
        ({"jobs": {"hostAliases": [{"hostnames": ["a"]}]}}, "missing property 'ip'"),
        ({"jobs": {"dnsPolicy": "Cluster"}}, "/jobs/dnsPolicy"),
        ({"operator": {"namespaces": [2024]}}, "/operator/namespaces/0': got number, want string"),
        ({"operator": {"namespaces": ["People"]}}, "/operator/namespaces/0"),
        ({"operator": {"livenessProbe": {"periodSeconds": 0}}}, "/operator/livenessProbe/periodSeconds"),
        ({"operator": {"image": {"repository": ""}}}, "/operator/image/repository"),
        ({"operator": {"image": {"tag": "a:b"}}}, "/operator/image/tag"),
        ({"suggestions": {"schedule": "whenever"}}, "/suggestions/schedule"),
        ({"suggestions": {"schedule": "0 0 * *"}}, "/suggestions/schedule"),
        ({"planning": {"contactHours": "22:00-08:00"}}, "planning.contactHours must be hours of one day"),
        ({"redis": {"existingSecret": "a", "existingSecretKey": ""}}, "/redis/existingSecretKey"),
        ({"redis": {"existingSecret": "Our Redis"}}, "/redis/existingSecret"),
        ({"redis": {"maxmemory": "lots"}}, "/redis/maxmemory"),
        ({"postgresql": {"storage": "big"}}, "/postgresql/storage"),
        ({"caBundle": {"configMap": "a", "secret": "b"}}, "caBundle.configMap and caBundle.secret exclude each other"),
        ({"global": {"tolerations": ["gpu"]}}, "/global/tolerations/0"),
        ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0"),
        ({"fullnameOverride": "Jobs"}, "/fullnameOverride"),
        ({"defaultPool": "Our Pool"}, "/defaultPool"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(helm: Path, values: dict[str, Any], says: str) -> None:
    done = template(helm, values)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize("given", ["--set=operator.rollPerSecond=0.5", "--set=operator.namespaces={people,friends}"])
def test_what_set_makes_of_a_value_is_taken(helm: Path, given: str) -> None:
    done = template(helm, {}, given)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", ["--set=operator.namespaces={2024}", "--set=operator.rollPerSecond=0.0005"])
def test_what_set_makes_of_a_wrong_value_is_refused(helm: Path, given: str) -> None:
    done = template(helm, {}, given)
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr


# Each a value of the chart, the variable that it becomes, and whether it is right.
CASES: list[tuple[str, Any, Env | str, bool]] = [
    *(("operator.rollPerSecond", value, "CATCHUP_ROLL_PER_SECOND", True) for value in (0.001, 0.3, 10, 9999)),
    *(("operator.rollPerSecond", value, "CATCHUP_ROLL_PER_SECOND", False) for value in (0, 0.0005, 0.0001, -1, 10000)),
    *(("operator.memberWritesPerSecond", value, "CATCHUP_MEMBER_WRITES_PER_SECOND", bool(value)) for value in (0.5, 0)),
    *(("operator.digestSpreadMinutes", value, "CATCHUP_DIGEST_SPREAD_MINUTES", True) for value in (0, 240)),
    *(("operator.digestSpreadMinutes", value, "CATCHUP_DIGEST_SPREAD_MINUTES", False) for value in (-1, 241)),
    *(("operator.logLevel", value, "CATCHUP_LOG_LEVEL", value == "debug") for value in ("debug", "trace")),
    *(("jobs.logLevel", value, Env.LOG_LEVEL, value != "trace") for value in ("info", "error", "trace")),
    *(("planning.strategy", value, Env.PLANNING_STRATEGY, value == "earliest") for value in ("earliest", "best")),
    *(("planning.contactHours", value, Env.CONTACT_HOURS, True) for value in ("00:00-23:59", "09:00-09:01")),
    *(
        ("planning.contactHours", value, Env.CONTACT_HOURS, False)
        for value in ("9:00-17:00", "09:00-24:00", "22:00-08:00", "09:00-09:00", "always")
    ),
    *(("google.projectQuota", value, Env.GOOGLE_PROJECT_QUOTA, value > 0) for value in (1, 20_000_000, 0, -1)),
    *(("google.userQuota", value, Env.GOOGLE_USER_QUOTA, value > 0) for value in (1, 600, 0)),
    *(
        ("tracing.endpoint", value, Env.OTLP_ENDPOINT, value.startswith("http"))
        for value in ("http://collector.observability:4318", "https://collector.test", "collector:4318")
    ),
    *(("twilio.from", value, Env.TWILIO_FROM, True) for value in ("+15550100000", "12345", "CatchUp", "Catch-Up 1")),
    *(
        ("twilio.from", value, Env.TWILIO_FROM, False)
        for value in ("+1", "Catch Up Together", "+1 555 0100 000 000", "Ünicode")
    ),
    *(
        ("twilio.apiBaseUrl", value, Env.TWILIO_API_BASE_URL, value == "https://t.test")
        for value in ("https://t.test", "t.test")
    ),
    *(("actionBaseUrl", value, Env.ACTION_BASE_URL, True) for value in ("https://a.test/act", "http://a.test")),
    *(
        ("actionBaseUrl", value, Env.ACTION_BASE_URL, False)
        for value in (
            "a.test/act",
            "https://a.test/?a=b",
            "https://a.test/#b",
            f"https://a.test/{'a' * 100}",
            "https://a b",
        )
    ),
    *(("connectUrl", value, Env.CONNECT_URL, value[0] == "h") for value in ("https://a.test/?tab=x", "a.test/x")),
    *(("suggestions.shards", value, Env.SUGGESTION_SHARDS, value > 0) for value in (0, 1, 1000)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_chart_refuses_what_a_pod_would_refuse_and_takes_what_it_takes(
    helm: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, Any, Env | str, bool]
) -> None:
    path, value, variable, right = case
    values: Any = value
    for part in reversed(path.split(".")):
        values = {part: values}
    assert (template(helm, values).returncode == 0) is right
    monkeypatch.setenv(variable, str(value))
    if isinstance(variable, Env):
        accepted = _accepts(Settings.load, MisconfiguredError)
    else:
        accepted = _accepts(lambda: Options.from_env({variable: str(value)}), InvalidOptionError)
    assert accepted is right


def _accepts(read: Any, refusal: type[Exception]) -> bool:
    try:
        read()
    except refusal:
        return False
    return True


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
}


@pytest.mark.parametrize("trying_out", [False, True], ids=["existing secrets", "trying out"])
def test_names_that_look_like_numbers_stay_text_everywhere(helm: Path, numeric: Namespace, trying_out: bool) -> None:
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
