"""Each value of the chart changes what is rendered, or goes with another one without which it waits or is refused.

docs/operations.md tells the second kind ("Values that go with another").
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from integration.operator.chart_rendering import TRYING_OUT, render_text
from integration.operator.conftest import CHART, Namespace
from integration.operator.test_chart_pods import EVERYWHERE

from catchup_dev.generate import chart

# The tests of the chart share one API server, those of the operator two others.
pytestmark = [pytest.mark.xdist_group("chart"), pytest.mark.release]

# Said of pods: tests/integration/operator/test_chart_pods.py looks for them in each.
OF_PODS = EVERYWHERE.keys()
# Heard in a cluster only, or by Helm itself.
ELSEWHERE = {"enabled", "generateSecrets", "crds.takeOwnership"}

_ON: dict[str, Any] = {"enabled": True}
_EXPORTER: dict[str, Any] = {"metrics": _ON}
_POD_MONITOR: dict[str, Any] = {"podMonitor": _ON}
_TWILIO = {"twilio": {"existingSecret": "a", "from": "12345"}}
# By the path of a value, or of the section that it is in, the longest first: what it goes with.
GOES_WITH: dict[str, dict[str, Any]] = {
    "postgresql": TRYING_OUT,
    "postgresql.networkPolicy": {**TRYING_OUT, "postgresql": {"networkPolicy": _ON}},
    "postgresql.networkPolicy.enabled": TRYING_OUT,
    **dict.fromkeys(("redis.image", "redis.maxmemory", "redis.resources"), TRYING_OUT),
    "redis.networkPolicy": {**TRYING_OUT, "redis": {"networkPolicy": _ON}},
    "redis.networkPolicy.enabled": TRYING_OUT,
    **{f"{name}.existingSecretKey": {name: {"existingSecret": "a"}} for name in ("database", "redis", "encryption")},
    "caBundle.key": {"caBundle": {"configMap": "a"}},
    **{
        f"{name}.networkPolicy.{side}": {name: {"networkPolicy": _ON}}
        for name in ("operator", "jobs")
        for side in ("ingress", "egress")
    },
    **{key: {"google": {"existingSecret": "a"}} for key in ("google.clientIdKey", "google.clientSecretKey")},
    **dict.fromkeys(("twilio.accountSidKey", "twilio.authTokenKey"), _TWILIO),
    **{key: {"twilio": {"existingSecret": "a"}} for key in ("twilio.from", "twilio.messagingServiceSid")},
    "twilio.existingSecret": {"twilio": {"from": "12345"}},
    "smtp": {"smtp": {"host": "mail.test", "from": "a@b.ch"}},
    "smtp.host": {"smtp": {"from": "a@b.ch"}},
    "smtp.from": {"smtp": {"host": "mail.test"}},
    **{
        key: {"smtp": {"host": "mail.test", "from": "a@b.ch", "existingSecret": "a"}}
        for key in ("smtp.usernameKey", "smtp.passwordKey")
    },
    **{
        f"metrics.{name}": _EXPORTER
        for name in (
            "replicas",
            "everySeconds",
            "resources",
            "service",
            "networkPolicy.enabled",
            "serviceMonitor.enabled",
            "alerts.enabled",
            "dashboard.enabled",
        )
    },
    "metrics.serviceAccount": {"metrics": {**_ON, "serviceAccount": {"name": "a"}}},
    "metrics.serviceAccount.name": _EXPORTER,
    "metrics.networkPolicy": {"metrics": {**_ON, "networkPolicy": _ON}},
    **{f"metrics.{name}": {"metrics": {**_ON, name: _ON}} for name in ("serviceMonitor", "alerts", "dashboard")},
    "metrics.podMonitor": {"metrics": _POD_MONITOR},
    "metrics.tokenSecret": {"metrics": {**_POD_MONITOR, "access": "reviewed"}},
    "metrics.tls": {"metrics": {**_POD_MONITOR, "tls": {"existingSecret": "a"}}},
}
# These are heard by themselves.
ALONE = {"metrics.podMonitor.enabled", "metrics.tls.existingSecret"}

# Another value than the default, by path or else by the last part; a switch is turned, a number counted up.
OTHERS: dict[str, Any] = {
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}],
    **{key: [{"name": "b"}] for key in ("imagePullSecrets", "global.imagePullSecrets")},
    **{key: [{"ports": [{"port": 1}]}] for key in ("ingress", "egress")},
    **{key: [{"action": "drop"}] for key in ("relabelings", "metricRelabelings")},
    **{key: {"periodSeconds": 7} for key in ("startupProbe", "readinessProbe", "livenessProbe")},
    "resources": {"requests": {"cpu": "7m"}},
    "operator.namespaces": ["b"],
    "pullPolicy": "Never",
    "digest": f"sha256:{'0' * 64}",
    "operator.logLevel": "debug",
    "jobs.logLevel": "error",
    "schedule": "1 1 1 1 1",
    "strategy": "earliest",
    "contactHours": "01:00-02:00",
    "migration.activeDeadlineSeconds": 90,
    "storage": "7Gi",
    "maxmemory": "7mb",
    "security": "tls",
    "smtp.from": "c@d.ch",
    "smtp.port": 2525,
    "twilio.from": "54321",
    "metrics.access": "reviewed",
    "metrics.networkPolicy.enabled": True,
    **dict.fromkeys(("interval", "scrapeTimeout"), "7s"),
    **dict.fromkeys(
        ("http", "https", "apiEndpoint", "tokenUri", "apiBaseUrl", "endpoint", "actionBaseUrl", "connectUrl"),
        "http://b.test",
    ),
}


def other(value: chart.Value) -> Any:
    last = value.path.rpartition(".")[2]
    if value.path in OTHERS or last in OTHERS:
        return OTHERS.get(value.path, OTHERS.get(last))
    match value.default:
        case bool():
            return not value.default
        case int():
            return value.default + 1
        case dict():
            return {"b": "c"}
    return "b"


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = merged(found[key], value) if both else value
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def companion(path: str) -> dict[str, Any] | None:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if (found := GOES_WITH.get(".".join(parts[:length]))) is not None:
            return None if path in ALONE else found
    return None


def test_each_value_is_heard_or_goes_with_another_one(helm: Path, namespace: Namespace) -> None:
    def rendered(values: dict[str, Any]) -> str:
        """What comes of the values, without the passwords of the moment; empty where they are refused."""
        try:
            options = [] if "generateSecrets" in values else ["--kube-version=1.36.0"]  # which the default pool needs
            options += [] if "crds" in values else ["--set=crds.enabled=false"]  # which are long
            text = render_text(helm, namespace, values, *options)
        except AssertionError:
            return ""
        return "\n---\n".join(each for each in text.split("\n---\n") if "\nkind: Secret\n" not in each)

    @cache
    def before(path: str) -> str:
        return rendered(companion(path) or {})

    plain, with_definitions = rendered({}), rendered({"crds": {}})
    assert plain
    found = [*chart.values((CHART / "values.yaml").read_text())]
    assert len(found) > 200
    for value in found:
        if value.path in ELSEWHERE or value.path.rpartition(".")[2] in OF_PODS:
            continue
        given = nested(value.path, other(value))
        with_it = companion(value.path)
        alone, nothing = rendered(given), {"", with_definitions if "crds" in given else plain}
        if with_it is None:
            assert alone not in nothing, f"{value.path} is not heard"
            continue
        assert alone in nothing, f"{value.path} is heard alone"
        assert rendered(merged(with_it, given)) not in {"", before(value.path)}, f"{value.path} is not heard"
