"""The probes: liveness and readiness of the operator."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import Namespace
from integration.operator.test_faults import proxy, start
from integration.operator.test_permissions import Revoke, StartOperator, revoke, role, start_operator
from integration.services import free_port
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_operator.ops.permissions import PERMISSIONS

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

__all__ = ["proxy", "revoke", "role", "start", "start_operator"]  # fixtures

Ask = Callable[[str], tuple[int, list[str]]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Probe the operator as the kubelet does; return the HTTP status and the reasons."""
    port = free_port()
    monkeypatch.setenv("CATCHUP_HEALTH_PORT", str(port))
    monkeypatch.setattr("catchup_operator.ops.health._CHECK_SECONDS", 0.5)

    def ask(path: str) -> tuple[int, list[str]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                status, body = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        document: dict[str, Any] = json.loads(body)
        assert document["ok"] is (status == 200)
        return status, document["reasons"]

    return ask


def test_the_operator_is_ready_not_ready_without_the_api_server_and_ready_again(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, ask: Ask
) -> None:
    with start():
        eventually(lambda: ask("/readyz") == (200, []))
        proxy.down = True
        reasons = eventually(lambda: ask("/readyz")[1])
        assert any("API server" in reason or "watch" in reason for reason in reasons), reasons
        assert ask("/healthz") == (200, [])  # a new start would not help
        proxy.down = False
        eventually(lambda: ask("/readyz") == (200, []))
        namespace.apply("ada")
        namespace.ready()


def test_the_operator_is_not_ready_while_any_of_its_permissions_is_missing_and_says_which(
    start_operator: StartOperator, revoke: Revoke, namespace: Namespace, ask: Ask
) -> None:
    with start_operator():
        eventually(lambda: ask("/readyz") == (200, []))
        for resource, verb in ((resource, verb) for resource, verbs in PERMISSIONS.items() for verb in verbs):
            restore = revoke(resource, verb)
            missing = f"may not {verb} {resource} in namespace {namespace.name}"
            eventually(lambda missing=missing: missing in ask("/readyz")[1])  # type: ignore[misc]
            assert ask("/healthz") == (200, [])
            restore()
            eventually(lambda: ask("/readyz") == (200, []))


@pytest.mark.release
def test_an_operator_that_hears_nothing_for_long_is_to_be_started_anew_but_not_one_that_hears_refusals(
    start: Callable[[], KopfRunner], proxy: ApiProxy, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.ops.health._SILENCE_MAX_SECONDS", 4)
    monkeypatch.setattr("catchup_operator.kube.watch._BACKOFF_MAX_SECONDS", 1.0)
    with start():
        eventually(lambda: ask("/readyz") == (200, []))
        proxy.down = True
        time.sleep(8)  # within which the watches break, and are tried again and again
        assert proxy.requests["GET", "jobs"] > 2
        assert ask("/healthz") == (200, [])
        # Nothing ends the silence of a watch that hangs.
        monkeypatch.setattr("catchup_operator.kube.watch._WATCH_SILENCE_SECONDS", 10)
        proxy.add(Fault("freeze", "WATCH", "jobs"))
        proxy.down = False
        reasons = eventually(lambda: ask("/healthz")[1])
        assert proxy.all_fired()
        assert reasons == ["a watch is dead: no word from the API server"]
        eventually(lambda: ask("/healthz") == (200, []))
