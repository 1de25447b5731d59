"""The operator's metrics, against what a real API server counts and stores."""

from __future__ import annotations

import json
import urllib.request

import pytest
from integration.operator.conftest import Namespace
from integration.operator.test_reconciliation import StartOperator
from prometheus_client.parser import text_string_to_metric_families as text_format
from scraping import scraped
from waiting import eventually

pytestmark = pytest.mark.xdist_group("operator")


def ready(reason: str, status: str = "True") -> str:
    return f"catchup_operator_schedules{{placement=dedicated,ready={status},reason={reason}}}"


def test_schedules_are_counted_by_what_their_status_says_and_no_longer_when_they_are_gone(
    operator_process: StartOperator, namespace: Namespace, url: str
) -> None:
    namespace.apply("ada")
    with operator_process():
        namespace.ready("ada")
        namespace.apply("grace", suspend=True)
        namespace.apply_younger("ada-again", userId="ada")
        eventually(
            lambda: (scraped(url).get(ready("Conflict", "False")), scraped(url).get(ready("Suspended"))) == (1, 1)
        )
        assert scraped(url)[ready("Reconciled")] == 1
        assert scraped(url)["catchup_operator_namespaces{lease=held}"] == 1
        namespace.kubectl("delete", "userschedule", "ada-again", "grace")
        eventually(
            lambda: (scraped(url).get(ready("Conflict", "False")), scraped(url).get(ready("Suspended"))) == (None, None)
        )
        assert scraped(url)[ready("Reconciled")] == 1


def test_requests_are_counted_as_the_api_server_counts_them(
    operator_process: StartOperator, namespace: Namespace, url: str
) -> None:
    before = namespace.writes()
    with operator_process():
        eventually(lambda: scraped(url)["catchup_operator_ready"] == 1)
        namespace.apply("ada")
        namespace.ready("ada")
        eventually(lambda: namespace.writes() - before == 3)
        found = scraped(url)
    writes = {
        f"catchup_operator_api_requests_total{{code={code},resource={resource},verb=patch}}": number
        for resource, code, number in (("cronjobs", 201, 2), ("userschedules/status", 200, 1))
    }
    assert {name: found.get(name) for name in writes} == writes
    assert found["catchup_operator_reconcile_total{result=success,task=reconcile}"] >= 1
    # kopf's own watch is counted too.
    assert any("resource=userschedules,verb=watch" in name for name in found)
    assert found["process_resident_memory_bytes"] > 0


def test_a_repair_is_counted_and_the_namespace_of_a_person_is_in_no_label(
    operator_process: StartOperator, namespace: Namespace, url: str
) -> None:
    with operator_process():
        namespace.apply("ada")
        namespace.ready("ada")
        name = namespace.cronjob()["metadata"]["name"]
        namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", json.dumps({"spec": {"suspend": True}}))
        eventually(lambda: scraped(url)["catchup_operator_drift_repairs_total"] >= 1)
        found = scraped(url)
    assert found["catchup_operator_contested_cronjobs"] == 0
    assert found["catchup_operator_workqueue_depth"] >= 0
    assert not [sample for sample in found if namespace.name in sample or "ada" in sample.split("{")[-1].split(",")]


def test_prometheus_text_format_is_served_to_whoever_asks_for_nothing_else(
    operator_process: StartOperator, url: str
) -> None:
    with operator_process():
        eventually(lambda: scraped(url)["catchup_operator_ready"] == 1)
        with urllib.request.urlopen(url, timeout=5) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=")
            names = {family.name for family in text_format(reply.read().decode())}
    assert {"catchup_operator_build_info", "catchup_operator_watch_silent_seconds"} <= names
