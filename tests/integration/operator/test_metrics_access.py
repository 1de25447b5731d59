"""Who may read metrics where a real API server is asked: the operator's and the exporter's."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audit
import pytest
import yaml
from integration.operator.chart_rendering import render
from integration.operator.conftest import Namespace, act_as
from integration.operator.test_reconciliation import StartOperator
from integration.services import free_port
from prometheus_client import CollectorRegistry
from waiting import eventually

from catchup_jobs.adapters.exporter.metrics_access import ReviewGate
from catchup_jobs.adapters.exporter.server import serving

pytestmark = pytest.mark.xdist_group("chart")


@pytest.fixture
def rules(helm: Path, namespace: Namespace) -> dict[str, list[dict[str, Any]]]:
    """What accounts may do: by the chart's own ClusterRoles."""
    documents = render(helm, namespace, {"metrics": {"access": "reviewed"}})
    roles = {d["metadata"]["name"]: d["rules"] for d in documents if d["kind"] == "ClusterRole"}
    found = {
        account: rules
        for account, end in (("reader", "-metrics-reader"), ("reviewer", "-metrics-access"))
        for name, rules in roles.items()
        if name.endswith(end)
    }
    return {**found, "stranger": []}


@pytest.fixture
def tokens(namespace: Namespace, rules: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Accounts of the test's namespace, with what each may do."""
    made = {}
    for account, granted in rules.items():
        name = f"{namespace.name}-{account}"
        namespace.kubectl("create", "serviceaccount", account)
        api = "rbac.authorization.k8s.io"
        named = {"apiVersion": f"{api}/v1", "metadata": {"name": name}}
        reference = {"apiGroup": api, "kind": "ClusterRole", "name": name}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace.name}
        objects = [
            {"kind": "ClusterRole", "rules": granted, **named},
            {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject], **named},
        ]
        namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
        made[account] = namespace.kubectl("create", "token", account).strip()
    return made


def status_of(url: str, authorization: str | None = None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def check(ask: Callable[[str | None], int], tokens: dict[str, str]) -> None:
    """Assert what each sort of request is answered."""
    assert ask(None) == 401
    assert ask("Bearer nonsense") == 401
    assert ask(f"Basic {tokens['reader']}") == 401
    assert ask(f"Bearer {tokens['stranger']}") == 403
    eventually(lambda: ask(f"Bearer {tokens['reader']}") == 200)
    assert ask(f"bearer {tokens['reader']}") == 200  # RFC 9110, 11.1: the scheme is case-insensitive


def test_the_operator_asks_who_may_read_its_metrics_and_lets_the_kubelet_probe(
    operator_process: StartOperator, operator_env: dict[str, str], tokens: dict[str, str]
) -> None:
    operator_env |= {"CATCHUP_HEALTH_PORT": str(port := free_port()), "CATCHUP_METRICS_ACCESS": "reviewed"}
    url = f"http://127.0.0.1:{port}"
    with operator_process():
        eventually(lambda: _answers(f"{url}/readyz"))
        check(lambda header: status_of(f"{url}/metrics", header), tokens)


def _answers(url: str) -> bool:
    try:
        return status_of(url) == 200
    except OSError:
        return False


@pytest.fixture
def account(namespace: Namespace, tokens: dict[str, str], tmp_path: Path) -> tuple[str, Path]:
    """The API server's URL, and the folder that a pod of the account `reviewer` would have."""
    config = yaml.safe_load(act_as(namespace, "reviewer", tmp_path / "kubeconfig").read_text())
    cluster = config["clusters"][0]["cluster"]
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(tokens["reviewer"])
    inline = cluster.get("certificate-authority-data")
    (folder / "ca.crt").write_bytes(
        base64.b64decode(inline) if inline else Path(cluster["certificate-authority"]).read_bytes()
    )
    return cluster["server"], folder


def test_the_exporter_asks_the_same_and_uses_all_that_it_was_granted(
    account: tuple[str, Path], tokens: dict[str, str], rules: dict[str, list[dict[str, Any]]], namespace: Namespace
) -> None:
    with serving(CollectorRegistry(), host="127.0.0.1", port=0, gate=ReviewGate(*account)) as port:
        check(lambda header: status_of(f"http://127.0.0.1:{port}/metrics", header), tokens)
        assert status_of(f"http://127.0.0.1:{port}/healthz") == 200
    requests = audit.requests_of(namespace.cluster, namespace.name, "reviewer")
    assert audit.refused(requests) == []
    assert audit.rights_used(requests) == audit.rights_granted([{"rules": rules["reviewer"]}])


def test_without_an_answer_nobody_reads_and_the_decision_is_not_kept(
    account: tuple[str, Path], tokens: dict[str, str]
) -> None:
    server, folder = account
    gate = ReviewGate(server, folder)
    reader = f"Bearer {tokens['reader']}"
    (folder / "token").write_text("expired")
    assert gate(reader) == 503
    assert ReviewGate(f"https://127.0.0.1:{free_port()}", folder)(reader) == 503
    (folder / "token").write_text(tokens["reviewer"])  # the kubelet has replaced it
    eventually(lambda: gate(reader) == 200)


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a proxy at which nobody listens, and the API server's network in `NO_PROXY`."""
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")


def test_the_exporter_reaches_an_api_server_whose_network_is_kept_from_the_proxy(
    account: tuple[str, Path], tokens: dict[str, str], dead_proxy: None
) -> None:
    eventually(lambda: ReviewGate(*account)(f"Bearer {tokens['reader']}") == 200)


def test_the_operator_reaches_an_api_server_whose_network_is_kept_from_the_proxy(
    operator_process: StartOperator, operator_env: dict[str, str], dead_proxy: None
) -> None:
    operator_env["CATCHUP_HEALTH_PORT"] = str(port := free_port())
    with operator_process():
        eventually(lambda: _answers(f"http://127.0.0.1:{port}/readyz"))
