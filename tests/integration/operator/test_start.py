"""The operator's start and reads with an API server that is unreachable, replaced by something else, or not ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import ROOT, Namespace
from integration.operator.test_faults import TORTURE, StartProcess, converged, name_of, proxy, start
from integration.operator.test_health import Ask, ask
from kopf.testing import KopfRunner
from waiting import await_established, eventually

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

__all__ = ["ask", "proxy", "start"]  # fixtures

KINDS, CORE = "/apis/catchup.dev/v1alpha1", "/api/v1"
DEFINITION = ROOT / "crds/userschedules.yaml"
# Those of /apis and of our own kinds meet the operator's own question first, then kopf's.
AT_START = [
    Fault("drop", "GET", "/apis", times=3),
    Fault("status", "GET", "/apis", times=2, code=503),
    Fault("cut", "GET", "/apis", times=2),
    Fault("freeze", "GET", "/apis", times=2),
    Fault("status", "GET", KINDS, times=2, code=500),
    Fault("status", "GET", CORE, times=10, code=503),  # only kopf's, and more often than it tries by itself
    Fault("drop", "GET", CORE, times=10),
    Fault("cut", "GET", CORE, times=2),
    Fault("freeze", "GET", CORE, times=2),
    Fault("status", "GET", CORE, code=404),
    Fault("status", "GET", "userschedules", times=10, code=503),
    Fault("status", "GET", "userschedules", times=10, code=403),
    Fault("status", "GET", "userschedules", times=2, code=401),
    Fault("status", "GET", "userschedules", times=2, code=409),
    Fault("status", "GET", "userschedules", times=2, code=410),
    Fault("cut", "GET", "userschedules", times=2),
    Fault("status", "WATCH", "userschedules", times=2, code=410),
    Fault("status", "WATCH", "userschedules", times=2, code=400),
    Fault("error", "WATCH", "userschedules", times=2, code=500),
    Fault("status", "POST", "selfsubjectaccessreviews", times=3, code=503),
    Fault("lost reply", "POST", "selfsubjectaccessreviews"),
]


def name_of_all(faults: list[Fault]) -> str:
    return name_of(faults[0]) if len(faults) == 1 else "all"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays of the operator in this process; unit tests cover the real ones."""
    monkeypatch.setattr("catchup_operator.kopf_glue.read_retries._LONGEST_SECONDS", 0.2)
    monkeypatch.setattr("catchup_operator.kopf_glue.read_retries._MIN_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr("catchup_operator.kopf_glue.discovery._LONGEST_SECONDS", 0.2)
    monkeypatch.setattr("catchup_operator.kopf_glue.settings._REQUEST_SECONDS", 1)
    monkeypatch.setattr("catchup_operator.kube.transport._REQUEST_TIMEOUT", aiohttp.ClientTimeout(total=1))


# One after the other by way of the same few requests; each by itself with `make torture`.
@pytest.mark.parametrize("faults", [AT_START, *([fault] for fault in AT_START if TORTURE)], ids=name_of_all)
def test_faults_at_the_start_are_waited_out(
    start: Callable[[], KopfRunner],
    proxy: ApiProxy,
    namespace: Namespace,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    *,
    faults: list[Fault],
) -> None:
    monkeypatch.setattr("catchup_operator.kube.watch._WATCH_SILENCE_SECONDS", 90)
    proxy.add(*(replace(fault) for fault in faults))
    namespace.apply("ada")
    with start() as runner:
        eventually(lambda: converged(namespace) and proxy.all_fired())
        eventually(lambda: ask("/readyz") == (200, []))
        assert ask("/healthz") == (200, [])
        namespace.apply("bob")
        namespace.ready("bob")
    assert runner.exit_code == 0


def test_without_an_api_server_the_operator_waits_says_so_and_begins_when_it_is_there(
    operator_process: StartProcess,
    proxy: ApiProxy,
    namespace: Namespace,
    ask: Ask,
    tmp_path: Path,
) -> None:
    namespace.apply("ada")
    proxy.down = True
    with operator_process() as process:
        eventually(lambda: f"the API server at {proxy.url} does not answer" in str(ask("/readyz")[1]))

        def waiting() -> int:
            return (tmp_path / "operator.log").read_text().count("waiting: ")

        time.sleep(5)
        assert waiting() <= 6
        assert ask("/healthz") == (200, [])
        eventually(lambda: waiting() >= 2)
        proxy.down = False
        eventually(lambda: converged(namespace))
        assert process.poll() is None


@pytest.mark.parametrize(
    "faults", [[], [Fault("status", "GET", CORE, times=10**6, code=503)]], ids=["its own", "kopf's"]
)
def test_asked_to_end_while_it_waits_for_the_api_server_the_operator_ends_within_the_grace_period_of_a_pod(
    operator_process: StartProcess, proxy: ApiProxy, ask: Ask, faults: list[Fault]
) -> None:
    proxy.add(*(replace(fault) for fault in faults))
    proxy.down = not faults
    with operator_process() as process:
        eventually(lambda: ask("/readyz")[0] == 503 and all(fault.fired > 1 for fault in proxy.faults))
        process.terminate()
        assert process.wait(timeout=30) == 0


@contextmanager
def without_definition(namespace: Namespace) -> Iterator[Callable[[], None]]:
    """Delete the definition, and with it all UserSchedules, until it is brought back; the next test has it again."""

    def bring_back() -> None:
        namespace.kubectl("apply", "-f", str(DEFINITION))
        await_established(namespace.cluster, "userschedules.catchup.dev")
        eventually(lambda: namespace.items("userschedules") is not None)

    namespace.kubectl("delete", "-f", str(DEFINITION), "--timeout=120s")
    try:
        yield bring_back
    finally:
        bring_back()


def test_without_the_definition_the_operator_waits_says_what_to_do_and_begins_when_it_is_there(
    start: Callable[[], KopfRunner], namespace: Namespace, ask: Ask
) -> None:
    with without_definition(namespace) as bring_back, start():
        eventually(lambda: "has no userschedules; install their definition: kubectl apply" in str(ask("/readyz")[1]))
        assert ask("/healthz") == (200, [])
        bring_back()
        namespace.apply("ada")
        eventually(lambda: converged(namespace))
        eventually(lambda: ask("/readyz") == (200, []))


def test_a_definition_that_is_deleted_and_made_again_is_gone_on_with(
    start: Callable[[], KopfRunner], namespace: Namespace, ask: Ask
) -> None:
    with start():
        namespace.apply("ada")
        namespace.ready()
        with without_definition(namespace) as bring_back:
            missing = "no userschedules; install their definition: kubectl apply -f crds/"
            eventually(lambda: any(missing in reason for reason in ask("/readyz")[1]))
            assert ask("/healthz") == (200, [])
            bring_back()
            namespace.apply("bob")
            eventually(lambda: namespace.ready("bob"))
        eventually(lambda: ask("/readyz") == (200, []))
