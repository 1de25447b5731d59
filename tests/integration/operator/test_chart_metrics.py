"""The chart's objects for Prometheus and Grafana: none by default, and what they name is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from integration.operator.chart_rendering import cluster_name
from integration.operator.conftest import CHART, ROOT, Namespace
from waiting import eventually

from catchup_dev.binaries import ensure
from catchup_dev.console import Failure

pytestmark = pytest.mark.xdist_group("chart")

DEFINITIONS: Final = ROOT / "tests/prometheus-operator/definitions.yaml"
SECRETS: Final = "--set=database.existingSecret=d,redis.existingSecret=r,encryption.existingSecret=k"
SWITCHES: Final = ("enabled", "serviceMonitor.enabled", "podMonitor.enabled", "alerts.enabled", "dashboard.enabled")


def rendered(*options: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects of the chart, by kind and name."""
    command = [
        str(ensure(["helm"])["helm"]),
        "template",
        "catchup-jobs",
        str(CHART),
        "--namespace=catchup",
        SECRETS,
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = (document for document in yaml.safe_load_all(done.stdout) if document)
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.fixture(scope="module")
def everything() -> dict[tuple[str, str], dict[str, Any]]:
    switches = [f"--set=metrics.{switch}=true" for switch in SWITCHES]
    return rendered(*switches, "--set=metrics.replicas=2", "--set=metrics.alerts.runbookUrl=https://wiki.test/")


def test_nothing_of_it_is_there_by_default(everything: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert everything.keys() - rendered().keys() == {
        ("Deployment", "catchup-jobs-metrics"),
        ("PodDisruptionBudget", "catchup-jobs-metrics"),
        ("Service", "catchup-jobs-metrics"),
        ("ServiceMonitor", "catchup-jobs-metrics"),
        ("PodMonitor", "catchup-jobs-operator"),
        ("PrometheusRule", "catchup-jobs"),
        ("ConfigMap", "catchup-jobs-dashboard"),
    }


def test_several_exporters_prefer_different_nodes_and_are_evicted_one_by_one(
    everything: dict[tuple[str, str], dict[str, Any]],
) -> None:
    template = everything["Deployment", "catchup-jobs-metrics"]["spec"]["template"]
    budget = everything["PodDisruptionBudget", "catchup-jobs-metrics"]["spec"]
    assert budget["maxUnavailable"] == 1
    (apart,) = template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    for selector in (budget["selector"], apart["podAffinityTerm"]["labelSelector"]):
        assert selector["matchLabels"].items() <= template["metadata"]["labels"].items()
    alone = rendered("--set=metrics.enabled=true")
    assert ("PodDisruptionBudget", "catchup-jobs-metrics") not in alone
    assert "affinity" not in alone["Deployment", "catchup-jobs-metrics"]["spec"]["template"]["spec"]
    own = rendered("--set=metrics.enabled=true,metrics.replicas=2", '--set-json=jobs.affinity={"nodeAffinity":{}}')
    assert own["Deployment", "catchup-jobs-metrics"]["spec"]["template"]["spec"]["affinity"] == {"nodeAffinity": {}}


def test_monitors_select_the_pods_and_ports_that_serve_metrics(
    everything: dict[tuple[str, str], dict[str, Any]],
) -> None:
    service = everything["Service", "catchup-jobs-metrics"]
    monitor = everything["ServiceMonitor", "catchup-jobs-metrics"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
    pods = everything["PodMonitor", "catchup-jobs-operator"]["spec"]
    operator = everything["Deployment", "catchup-jobs-operator"]["spec"]["template"]
    assert pods["selector"]["matchLabels"].items() <= operator["metadata"]["labels"].items()
    names = {port["name"] for port in operator["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in pods["podMetricsEndpoints"]} <= names


@pytest.fixture
def prometheus_operator(namespace: Namespace) -> None:
    """Have the definitions of the Prometheus operator on the API server."""
    namespace.cluster.kubectl("apply", "--server-side", "-f", str(DEFINITIONS))
    namespace.cluster.kubectl("wait", "--for=condition=Established", "-f", str(DEFINITIONS))


@pytest.mark.parametrize(
    "values",
    [
        "access=open",
        "access=reviewed,metrics.tokenSecret=scraper",
        "tls.existingSecret=tls",
        "tls.existingSecret=tls,metrics.tls.insecureSkipVerify=true",
    ],
)
def test_the_prometheus_operator_accepts_the_monitors_and_rules(
    prometheus_operator: None, namespace: Namespace, values: str
) -> None:
    switches = [f"--set=metrics.{switch}=true" for switch in SWITCHES]
    found = rendered(*switches, f"--set=metrics.{values}")
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        (document,) = (each for (of, _), each in found.items() if of == kind)
        document["metadata"]["namespace"] = namespace.name
        create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
        assert "created" in eventually(lambda: namespace.kubectl(*create, stdin=yaml.safe_dump(document)))  # noqa: B023
        wrong = {**document, "spec": {**document["spec"], "endpoint": []}}
        with pytest.raises(Failure) as failure:
            namespace.kubectl(*create, stdin=yaml.safe_dump(wrong))
        assert 'unknown field "spec.endpoint"' in failure.value.log


def test_the_exporter_runs_as_often_as_asked_and_holds_no_token(
    everything: dict[tuple[str, str], dict[str, Any]],
) -> None:
    spec = everything["Deployment", "catchup-jobs-metrics"]["spec"]
    assert spec["replicas"] == 2
    assert spec["template"]["spec"]["automountServiceAccountToken"] is False


def test_prometheus_accepts_the_rules_as_the_chart_makes_them(
    everything: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(everything["PrometheusRule", "catchup-jobs"]["spec"]))
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runbook_url: https://wiki.test/CatchUpOperatorDown.md" in rules.read_text()


def alerts(*options: str) -> dict[str, dict[str, Any]]:
    spec = rendered("--set=metrics.enabled=true,metrics.alerts.enabled=true", *options)[
        "PrometheusRule", "catchup-jobs"
    ]["spec"]
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


def test_stale_suggestions_are_by_the_schedule_of_their_runs_and_nobodys_while_there_are_none() -> None:
    by_default = alerts()
    assert list(by_default.values()) == [
        rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]
    stale = alerts("--set=metrics.alerts.suggestionsStaleHours=48")["CatchUpSuggestionsStale"]
    assert "> 172800" in stale["expr"]
    assert "none has succeeded for 48 hours" in stale["annotations"]["description"]
    for option in ("suggestions.enabled=false", "suggestions.suspend=true"):
        assert by_default.keys() - alerts(f"--set={option}").keys() == {"CatchUpSuggestionsStale"}


def test_the_rules_name_the_runbooks_where_the_value_says_whatever_signs_it_has() -> None:
    for url in ("https://wiki.test/view?page=a#b&c={", "'", "x:", "&anchor", "%"):
        for name, rule in alerts(f"--set-json=metrics.alerts.runbookUrl={json.dumps(url)}").items():
            assert rule["annotations"]["runbook_url"] == f"{url}{name}.md"


def test_reviewed_access_gives_both_pods_what_they_ask_with_and_prometheus_a_role_to_bind() -> None:
    switches = [f"--set=metrics.{switch}=true" for switch in SWITCHES]
    found = rendered(*switches, "--set=metrics.access=reviewed,metrics.tokenSecret=scraper")
    role = found["ClusterRole", f"{cluster_name('catchup')}-metrics-access"]
    assert {(*rule["resources"], *rule["verbs"]) for rule in role["rules"]} == {
        ("tokenreviews", "create"),
        ("subjectaccessreviews", "create"),
    }
    bound = {
        subject["name"]
        for subject in found["ClusterRoleBinding", f"{cluster_name('catchup')}-metrics-access"]["subjects"]
    }
    pods = {
        name: found["Deployment", f"catchup-jobs-{name}"]["spec"]["template"]["spec"]
        for name in ("operator", "metrics")
    }
    assert {pod["serviceAccountName"] for pod in pods.values()} == bound
    env = {entry["name"]: entry.get("value") for entry in pods["operator"]["containers"][0]["env"]}
    assert env["CATCHUP_METRICS_ACCESS"] == "reviewed"
    assert pods["metrics"]["containers"][0]["args"][-2:] == ["--access", "reviewed"]
    reader = found["ClusterRole", f"{cluster_name('catchup')}-metrics-reader"]
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    (endpoint,) = found["ServiceMonitor", "catchup-jobs-metrics"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "scraper", "key": "token"}


TLS: Final = (*(f"--set=metrics.{switch}=true" for switch in SWITCHES), "--set=metrics.tls.existingSecret=tls")


def endpoints(found: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    (service,) = found["ServiceMonitor", "catchup-jobs-metrics"]["spec"]["endpoints"]
    (pod,) = found["PodMonitor", "catchup-jobs-operator"]["spec"]["podMetricsEndpoints"]
    return [service, pod]


def test_a_certificate_is_served_by_both_pods_and_verified_by_both_monitors() -> None:
    found = rendered(*TLS, "--set=operator.networkPolicy.enabled=true")
    for endpoint in endpoints(found):
        assert (endpoint["scheme"], endpoint["port"]) == ("https", "metrics")
        assert endpoint["tlsConfig"] == {
            "ca": {"secret": {"name": "tls", "key": "ca.crt"}},
            "serverName": "catchup-jobs-metrics.catchup.svc",
        }
    mounted = {}
    for name in ("operator", "metrics"):
        pod = found["Deployment", f"catchup-jobs-{name}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (volume,) = (each["secret"] for each in pod["volumes"] if each["name"] == "metrics-tls")
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "metrics-tls")
        # The kubelet does not renew what is mounted by a subPath.
        assert mount == {"name": "metrics-tls", "mountPath": "/etc/catchup-metrics-tls", "readOnly": True}
        assert volume["secretName"] == "tls"
        mounted[name] = container, volume.get("optional", False)
    operator, is_optional = mounted["operator"]
    assert is_optional, "the operator is to start without the Secret of its metrics"
    env = {entry["name"]: entry.get("value") for entry in operator["env"]}
    assert env["CATCHUP_METRICS_TLS"] == "/etc/catchup-metrics-tls"
    assert {"name": "metrics", "containerPort": int(env["CATCHUP_METRICS_PORT"])} in operator["ports"]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    assert {operator[probe]["httpGet"]["port"] for probe in probes} == {"health"}
    (ingress,) = found["NetworkPolicy", "catchup-jobs-operator"]["spec"]["ingress"]
    assert ingress["ports"] == [{"port": "health"}, {"port": "metrics"}]
    exporter, is_optional = mounted["metrics"]
    assert not is_optional
    assert exporter["args"][-2:] == ["--tls", "/etc/catchup-metrics-tls"]
    assert {exporter[probe]["httpGet"]["scheme"] for probe in probes[1:]} == {"HTTPS"}


@pytest.mark.parametrize(
    ("options", "config"),
    [
        (("tls.insecureSkipVerify=true",), {"insecureSkipVerify": True}),
        (
            ("tls.caSecret=roots", "tls.caKey=root.pem", "tls.serverName=metrics.test"),
            {"ca": {"secret": {"name": "roots", "key": "root.pem"}}, "serverName": "metrics.test"},
        ),
    ],
)
def test_how_prometheus_trusts_the_certificate_is_chosen(options: tuple[str, ...], config: dict[str, Any]) -> None:
    found = rendered(*TLS, *(f"--set=metrics.{option}" for option in options))
    assert [endpoint["tlsConfig"] for endpoint in endpoints(found)] == [config, config]


ELSEWHERE: Final[dict[str, Any]] = {
    "namespace": "monitoring",
    "labels": {"release": "prometheus"},
    "annotations": {"owner": "platform"},
}
SCRAPED: Final[dict[str, Any]] = {
    "interval": "1m",
    "scrapeTimeout": "20s",
    "honorLabels": True,
    "relabelings": [{"action": "labeldrop", "regex": "pod"}],
    "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}],
}


def test_what_a_platform_says_of_its_monitoring_reaches_every_object_of_it(
    namespace: Namespace, prometheus_operator: None
) -> None:
    metrics: dict[str, Any] = {
        "enabled": True,
        "service": {"labels": {"tier": "metrics"}, "annotations": {"prometheus.io/scrape": "true"}},
        **{name: {"enabled": True, **ELSEWHERE, **SCRAPED} for name in ("serviceMonitor", "podMonitor")},
        **{name: {"enabled": True, **ELSEWHERE} for name in ("alerts", "dashboard")},
    }
    found = rendered(f"--set-json=metrics={json.dumps(metrics)}")
    objects = [
        found[key]
        for key in (
            ("ServiceMonitor", "catchup-jobs-metrics"),
            ("PodMonitor", "catchup-jobs-operator"),
            ("PrometheusRule", "catchup-jobs"),
            ("ConfigMap", "catchup-jobs-dashboard"),
        )
    ]
    for document in objects:
        assert document["metadata"]["namespace"] == "monitoring"
        assert document["metadata"]["labels"].items() >= {"release": "prometheus"}.items()
        assert document["metadata"]["annotations"] == {"owner": "platform"}
    for monitor, endpoint in zip(objects, endpoints(found), strict=False):
        assert endpoint.items() >= SCRAPED.items()
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["catchup"]}
        monitor["metadata"]["namespace"] = namespace.name
        create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
        assert "created" in eventually(lambda: namespace.kubectl(*create, stdin=yaml.safe_dump(monitor)))  # noqa: B023
    service = found["Service", "catchup-jobs-metrics"]["metadata"]
    assert service["labels"]["tier"] == "metrics"
    assert service["annotations"] == {"prometheus.io/scrape": "true"}


def test_a_monitor_without_the_service_that_it_selects_is_refused() -> None:
    command = [
        str(ensure(["helm"])["helm"]),
        "template",
        "x",
        str(CHART),
        SECRETS,
        "--set=metrics.serviceMonitor.enabled=true",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "metrics.enabled" in done.stderr


def test_a_real_api_server_takes_the_exporter_with_restricted_pods(
    everything: dict[tuple[str, str], dict[str, Any]], namespace: Namespace
) -> None:
    label = "pod-security.kubernetes.io/warn=restricted"
    namespace.cluster.kubectl("label", "namespace", namespace.name, label)
    objects = [everything[kind, "catchup-jobs-metrics"] for kind in ("Deployment", "Service")]
    for item in objects:
        item["metadata"].pop("namespace", None)
    document = "\n---\n".join(map(json.dumps, objects))
    output = namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=document)
    assert "Warning" not in output


def test_the_dashboard_asks_only_for_what_the_rules_and_the_products_serve(
    everything: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    """Each query is one that Prometheus parses: it checks the queries as recording rules."""
    dashboard = json.loads(everything["ConfigMap", "catchup-jobs-dashboard"]["data"]["catchup-jobs.json"])
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    rules = tmp_path / "panels.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def lost(given: Any, read: Any, place: str = "") -> list[str]:
    """Return the places of a document that a reading of it does not have."""
    if isinstance(given, dict):
        return [
            found
            for name, value in given.items()
            for found in (lost(value, read[name], f"{place}.{name}") if name in (read or {}) else [f"{place}.{name}"])
        ]
    if isinstance(given, list):
        pairs = zip(given, read, strict=True)
        return [found for number, (one, other) in enumerate(pairs) for found in lost(one, other, f"{place}[{number}]")]
    return [] if given == read else [place]


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    register_default_plugins()
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())

    def read(document: dict[str, Any]) -> Any:
        return json.loads(JSONEncoder().encode(Dashboard.from_json(document)))

    assert lost(dashboard, read(dashboard)) == []
    dashboard["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    dashboard["panels"][1]["targets"][0]["exprs"] = "up"
    assert lost(dashboard, read(dashboard)) == [
        ".panels[1].targets[0].exprs",
        ".panels[1].fieldConfig.defaults.units",
    ]
