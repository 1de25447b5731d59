"""A real Prometheus and Alertmanager watch the product: an alert fires, and ends when the cause is mended."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from daytime import daytime_zone
from e2e.test_product import person, schedule
from integration.services import free_port
from scraping import answers
from waiting import eventually

from catchup_dev.binaries import ensure
from catchup_dev.doubles.twilio.messages import AUTH_TOKEN
from catchup_dev.stack import CHART, RELEASE, Stack

pytestmark = [pytest.mark.xdist_group("product"), pytest.mark.release]

RUNBOOKS: Final = Path(__file__).parents[2] / "docs/runbooks"
# Rendering without a cluster needs the names of Secrets that it does not look at.
_VALUES: Final = (
    "metrics.enabled=true",
    "metrics.alerts.enabled=true",
    *(f"{server}.existingSecret=any" for server in ("database", "redis", "encryption")),
)
ALERT: Final = "CatchUpProviderRefusesUs"


@dataclass(frozen=True)
class Monitoring:
    """Prometheus and its Alertmanager, by their addresses."""

    prometheus: str
    alertmanager: str

    def value(self, query: str) -> float | None:
        """Return the only value of an instant query, None where it has none."""
        answer = _json(f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(query)}")
        results = answer["data"]["result"]
        return float(results[0]["value"][1]) if results else None

    def alerts(self) -> dict[str, dict[str, str]]:
        """Return the labels of the alerts that the Alertmanager knows as active, by name."""
        found = _json(f"{self.alertmanager}/api/v2/alerts?active=true")
        return {alert["labels"]["alertname"]: alert["labels"] for alert in found}


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


@contextmanager
def running(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def monitoring(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    """Prometheus scrapes what the chart serves, through the API server, and loads the chart's PrometheusRule."""
    folder = tmp_path_factory.mktemp("monitoring")
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    found = Monitoring(*(f"http://127.0.0.1:{port}" for port in ports.values()))
    (folder / "rules.yaml").write_text(_rules(stack))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(_configuration(stack, folder, ports["alertmanager"])))
    (folder / "alertmanager.yaml").write_text(
        yaml.safe_dump({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    )
    with ExitStack() as opened:
        opened.enter_context(
            running(
                folder / "alertmanager.log",
                "prometheus-alertmanager",
                f"--config.file={folder}/alertmanager.yaml",
                f"--storage.path={folder}/alerts",
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                "--cluster.listen-address=",
            )
        )
        opened.enter_context(
            running(
                folder / "prometheus.log",
                "prometheus",
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/series",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            )
        )
        for address in (found.alertmanager, found.prometheus):
            eventually(lambda address=address: answers(f"{address}/-/ready"))  # type: ignore[misc]
        yield found


def _rules(stack: Stack) -> str:
    """Return the rules that the chart makes, so that they fire without the wait of minutes that spares people."""
    rendered = stack.helm(
        "template",
        RELEASE,
        str(CHART),
        "--show-only=templates/monitoring.yaml",
        *(f"--set={value}" for value in _VALUES),
    )
    (rule,) = (document for document in yaml.safe_load_all(rendered) if document)
    assert rule["kind"] == "PrometheusRule"
    return re.sub(r"for: \d+m", "for: 5s", yaml.safe_dump(rule["spec"]))


def _configuration(stack: Stack, folder: Path, alertmanager: int) -> dict[str, Any]:
    config = yaml.safe_load(stack.cluster.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    inline = cluster.get("certificate-authority-data")
    ca, token = folder / "ca.crt", folder / "token"
    ca.write_bytes(base64.b64decode(inline) if inline else Path(cluster["certificate-authority"]).read_bytes())
    token.touch(mode=0o600)
    token.write_text(user["token"])
    pods = stack.get("pods", "-l", "app.kubernetes.io/component=operator")["items"]
    base = f"/api/v1/namespaces/{stack.namespace}"
    server = cluster["server"].removeprefix("https://")
    paths = {
        "exporter": f"{base}/services/{RELEASE}-metrics:metrics/proxy/metrics",
        "operator": f"{base}/pods/{pods[0]['metadata']['name']}:8080/proxy/metrics",
    }
    return {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(folder / "rules.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [
            {
                "job_name": name,
                "scheme": "https",
                "tls_config": {"ca_file": str(ca)},
                "authorization": {"credentials_file": str(token)},
                "metrics_path": path,
                "static_configs": [{"targets": [server], "labels": {"namespace": stack.namespace}}],
            }
            for name, path in paths.items()
        ],
    }


def set_token(stack: Stack, token: str) -> None:
    patch = json.dumps({"stringData": {"auth-token": token}})
    stack.kubectl("patch", "secret", "twilio", "--type=merge", "-p", patch)


def test_a_wrong_token_of_twilio_fires_an_alert_that_ends_once_it_is_mended(
    stack: Stack, monitoring: Monitoring
) -> None:
    assert eventually(lambda: monitoring.value('up{job="exporter"} + on () up{job="operator"}') == 2)
    zone = daytime_zone()
    person(stack, "iris", zone=zone)
    entry = {
        "id": "iris",
        "name": "Iris",
        "timeZone": zone,
        "digest": {"day": "Daily", "time": "07:30"},
        "channels": {"sms": {"phone": "+447700900789", "consentAt": "2026-09-01T08:00:00Z"}},
        "contacts": [{"id": "noor", "name": "Noor", "frequency": "weekly", "createdAt": "2025-01-10T10:00:00Z"}],
    }
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    schedule(stack, "iris", timeZone=zone, digest={"day": "Daily", "time": "07:30"})
    assert stack.follow("iris", stack.trigger("iris"))["lastResult"] == "Succeeded"
    stack.catchup_jobs("suggestions", "--user", "iris")
    assert ALERT not in monitoring.alerts()

    set_token(stack, "wrong")
    try:
        failed = stack.follow("iris", stack.trigger("iris", "digest"), "digest")
        assert (failed["lastResult"], failed["lastReason"]) == ("Failed", "Misconfigured")
        assert eventually(lambda: monitoring.alerts().get(ALERT))["kind"] == "digest"
    finally:
        set_token(stack, AUTH_TOKEN)
    sent = stack.follow("iris", stack.trigger("iris", "digest"), "digest")
    assert (sent["lastResult"], sent["counts"]["smsSent"]) == ("Succeeded", 1)
    eventually(lambda: ALERT not in monitoring.alerts())
    assert monitoring.value('catchup_run_duration_seconds_count{kind="digest", reason="misconfigured"}') == 1


def commands() -> Iterator[tuple[str, str]]:
    for page in sorted(RUNBOOKS.glob("*.md")):
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                yield page.stem, line


@pytest.fixture
def enrolled(stack: Stack) -> Iterator[None]:
    """Somebody whom the pool of the runbooks knows."""
    entry = {"id": "jules", "name": "Jules", "timeZone": "Europe/Paris", "pool": "people"}
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    yield
    stack.catchup_jobs("user", "delete", "jules", "--yes")


@pytest.mark.usefixtures("enrolled")
def test_every_command_of_the_runbooks_runs_as_it_stands(stack: Stack) -> None:
    folder = ensure(["kubectl"])["kubectl"].parent
    env = {**os.environ, "KUBECONFIG": str(stack.cluster.kubeconfig), "PATH": f"{folder}:{os.environ['PATH']}"}
    seen: dict[str, int] = {}
    for page, command in commands():
        if command in seen:
            continue
        done = subprocess.run(shlex.split(command), env=env, capture_output=True, text=True, check=False, timeout=180)
        seen[command] = done.returncode
        # A list exits with 1 where it has failures to show.
        accepted = {0, 1} if " list" in command else {0}
        assert done.returncode in accepted, (page, command, done.stderr[-500:])
    assert len(seen) > 20
