"""`/metrics` over TLS: a real Prometheus scrapes the operator and the exporter by its token, also after a renewal."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from integration.operator.test_metrics_access import account, rules, tokens
from integration.operator.test_reconciliation import StartOperator
from integration.redis_kinds import Authority
from integration.services import free_port
from prometheus_client import CollectorRegistry
from scraping import answers
from waiting import eventually

from catchup_contract.serving_certificate import ServingCertificate
from catchup_jobs.adapters.exporter.metrics_access import ReviewGate
from catchup_jobs.adapters.exporter.server import serving

__all__ = ["account", "rules", "tokens"]
pytestmark = pytest.mark.xdist_group("chart")

# What a test of a scrape with its settings is: the job, and what differs from the monitors of the chart.
SCRAPES: Final[dict[str, dict[str, Any]]] = {
    "as the chart's monitors": {},
    "plain HTTP": {"scheme": "http"},
    "another name": {"tls_config": {"server_name": "example.test"}},
    "no token": {"authorization": None},
}


@dataclass
class Mounted:
    """A folder with a certificate, as the kubelet mounts a Secret."""

    folder: Path
    authorities: Path
    versions: int = 0

    def renew(self) -> str:
        """Put a certificate for `localhost` by a new authority into place; return it."""
        self.versions += 1
        version = self.folder / f"..{self.versions}"
        made = self.folder.parent / f"authority-{self.versions}"
        for folder in (version, made):
            folder.mkdir(parents=True)
        authority = Authority.make(made)
        authority.certificate.rename(version / "tls.crt")
        authority.key.rename(version / "tls.key")
        with self.authorities.open("a") as trusted:
            trusted.write(authority.ca.read_text())
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        return (version / "tls.crt").read_text()


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "tls", tmp_path / "authorities.crt")


@contextmanager
def prometheus(folder: Path, ports: dict[str, int], mounted: Mounted, token: str) -> Iterator[str]:
    """Scrape each port in each way; yield Prometheus's address."""
    (folder / "token").write_text(token)
    usual = {
        "scheme": "https",
        "tls_config": {"ca_file": str(mounted.authorities), "server_name": "localhost"},
        "authorization": {"credentials_file": str(folder / "token")},
    }
    jobs = []
    for name, settings in SCRAPES.items():
        merged = usual | settings
        if "tls_config" in settings:
            merged["tls_config"] = usual["tls_config"] | settings["tls_config"]
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}} for pod, port in ports.items()]
        kept = {
            key: value for key, value in merged.items() if value and (key, merged["scheme"]) != ("tls_config", "http")
        }
        jobs.append({"job_name": name, "static_configs": targets, **kept})
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    port = free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/series"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/-/ready"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def up(address: str, *, since: float) -> dict[tuple[str, str], int] | None:
    """Return by job and pod whether its last scrape succeeded; None until all were scraped since then."""
    query = urllib.parse.quote(f"up and (timestamp(up) > {since})")
    with urllib.request.urlopen(f"{address}/api/v1/query?query={query}", timeout=10) as reply:
        results = json.load(reply)["data"]["result"]
    found = {(each["metric"]["job"], each["metric"]["pod"]): int(each["value"][1]) for each in results}
    return found if len(found) == 2 * len(SCRAPES) else None


@pytest.mark.release
def test_prometheus_scrapes_both_by_its_token_and_after_a_renewal_and_nobody_by_plain_http(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    account: tuple[str, Path],
    tokens: dict[str, str],
    mounted: Mounted,
) -> None:
    health, metrics = free_port(), free_port()
    operator_env |= {
        "CATCHUP_HEALTH_PORT": str(health),
        "CATCHUP_METRICS_PORT": str(metrics),
        "CATCHUP_METRICS_TLS": str(mounted.folder),
        "CATCHUP_METRICS_ACCESS": "reviewed",
    }
    first = mounted.renew()
    wanted = {(job, pod): int(job == "as the chart's monitors") for job in SCRAPES for pod in ("operator", "exporter")}
    gate, certificate = ReviewGate(*account), ServingCertificate(mounted.folder)
    with (
        operator_process(),
        serving(CollectorRegistry(), host="127.0.0.1", port=0, gate=gate, certificate=certificate) as exporter,
        prometheus(
            mounted.folder.parent, {"operator": metrics, "exporter": exporter}, mounted, tokens["reader"]
        ) as address,
    ):
        eventually(lambda: up(address, since=0) == wanted)
        assert shown(metrics) == shown(exporter) == first
        second = mounted.renew()
        eventually(lambda: (shown(metrics), shown(exporter)) == (second, second))
        renewed = time.time()
        assert eventually(lambda: up(address, since=renewed)) == wanted

        assert answers(f"http://127.0.0.1:{health}/readyz")
        assert not answers(f"http://127.0.0.1:{health}/metrics")
        for port in (metrics, exporter):
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            with pytest.raises((OSError, http.client.HTTPException)):
                _ask(plain, "/metrics")
            plain.close()
        # As the kubelet probes, which verifies nothing.
        kubelet = http.client.HTTPSConnection("127.0.0.1", exporter, context=trusting_anybody())
        assert _ask(kubelet, "/healthz") == 200
        kubelet.close()


def trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shown(port: int) -> str:
    """Return the certificate that a port shows."""
    return ssl.get_server_certificate(("127.0.0.1", port))


def _ask(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    reply = connection.getresponse()
    reply.read()
    return reply.status


def test_the_operator_works_without_its_certificate_and_serves_metrics_once_it_is_there(
    operator_process: StartOperator, operator_env: dict[str, str], mounted: Mounted
) -> None:
    health, metrics = free_port(), free_port()
    operator_env |= {
        "CATCHUP_HEALTH_PORT": str(health),
        "CATCHUP_METRICS_PORT": str(metrics),
        "CATCHUP_METRICS_TLS": str(mounted.folder),
    }
    with operator_process():
        eventually(lambda: answers(f"http://127.0.0.1:{health}/readyz"))
        with pytest.raises(OSError, match=r"(?i)ssl|reset|closed"):
            shown(metrics)
        first = mounted.renew()
        assert eventually(lambda: shown(metrics)) == first
