"""Whatever fault a request meets, the final state is that of a run without the fault.

A sample of the faults here; all with `make torture` (or CATCHUP_TORTURE=1).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_foreign_fields import apply_as
from integration.operator.test_reconciliation import finish_job, run_by_hand, same, summary
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.outcomes import Outcome
from catchup_operator.reconcile.cronjobs import CronJobApplier
from catchup_operator.reconcile.reconciler import Reconciler
from catchup_operator.status.conditions import find_condition

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

StartProcess = Callable[[], AbstractContextManager[OperatorProcess]]
TORTURE = "CATCHUP_TORTURE" in os.environ
# Backoff after faults takes time, and so does a busy machine.


@pytest.fixture
def proxy(namespace: Namespace, operator_env: dict[str, str], tmp_path: Path) -> Iterator[ApiProxy]:
    """The proxy between the operator and the API server; users and controllers connect directly."""
    pki = namespace.cluster.layout.pki
    config = namespace.cluster.kubeconfig
    (server,) = [line.split()[-1] for line in config.read_text().splitlines() if "server:" in line]
    with ApiProxy(server, pki / "apiserver.crt", pki / "apiserver.key").running() as found:
        operator_env["KUBECONFIG"] = str(found.kubeconfig(config, tmp_path / "through-the-proxy"))
        yield found


@pytest.fixture
def start(
    proxy: ApiProxy, operator_env: dict[str, str], namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], KopfRunner]:
    """The operator in this process, behind the proxy, with limits of seconds instead of minutes."""
    monkeypatch.setattr("catchup_operator.kube.watch._WATCH_SILENCE_SECONDS", 3)
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 1.0)
    for name, value in operator_env.items():
        monkeypatch.setenv(name, value)
    arguments = ["run", "--standalone", "--namespace", namespace.name, "-m", "catchup_operator.handlers"]
    return lambda: KopfRunner(arguments, timeout=120)


def end_state(namespace: Namespace) -> dict[str, Any]:
    """What must be the same with and without a fault: not uids, versions and times."""
    status = namespace.schedule()["status"]
    told = {
        job: {key: status[job][key] for key in ("display", "cronJobName", "schedule")} for job in ("sync", "digest")
    }
    conditions = [(each["type"], each["status"], each["reason"]) for each in status["conditions"]]
    return {"cronjobs": [same(item) for item in namespace.items("cronjobs")], "told": told, "conditions": conditions}


def converged(namespace: Namespace) -> bool:
    """Whether resource, CronJobs and status are consistent."""
    found = namespace.schedule()
    status = found.get("status") or {}
    if (
        find_condition(status, "Ready").get("status") != "True"
        or status["observedGeneration"] != found["metadata"]["generation"]
    ):
        return False
    made = {item["metadata"]["name"]: item["metadata"]["uid"] for item in namespace.items("cronjobs")}
    return made == {status[job]["cronJobName"]: status[job]["cronJobUID"] for job in ("sync", "digest")}


CRONJOBS, STATUS = "cronjobs", "userschedules/status"
FAULTS = [
    Fault("lost reply", "PATCH", CRONJOBS, times=2),
    Fault("lost reply", "PATCH", STATUS),  # once: what has arrived is not written again
    Fault("drop", "PATCH", CRONJOBS, times=3),
    Fault("cut", "PATCH", STATUS),
    Fault("duplicate", "PATCH", STATUS),
    Fault("status", "PATCH", CRONJOBS, times=3, code=409),
    Fault("status", "PATCH", STATUS, times=3, code=429),
    Fault("status", "PATCH", CRONJOBS, times=3, code=500),
]
if TORTURE:
    FAULTS += [
        Fault("drop", "PATCH", STATUS, times=3),
        # Of the status once: these writes arrive, and what has arrived is not written again.
        Fault("cut", "PATCH", CRONJOBS, times=2),
        Fault("duplicate", "PATCH", CRONJOBS, times=2),
        Fault("status", "PATCH", STATUS, times=3, code=409),
        Fault("status", "PATCH", CRONJOBS, times=3, code=429),
        Fault("status", "PATCH", STATUS, times=3, code=500),
        Fault("delay", "PATCH", CRONJOBS, times=2, seconds=2),
        Fault("cut", "GET", CRONJOBS),
        Fault("status", "GET", "userschedules", times=2, code=500),
    ]
WATCHES: list[tuple[Any, str]] = [("expire", "cronjobs"), ("freeze", "jobs"), ("drop", "cronjobs")]
if TORTURE:
    WATCHES = [(kind, resource) for kind in ("expire", "cut", "drop", "freeze") for resource in ("cronjobs", "jobs")]


def name_of(fault: Fault) -> str:
    return f"{fault.kind} {fault.code if fault.kind == 'status' else ''} {fault.verb} {fault.resource}"


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_ends_in_the_same_state(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, fault: Fault
) -> None:
    fault.fired = 0
    proxy.add(fault)
    with start():
        namespace.apply("ada", timeZone="Asia/Beirut")
        eventually(lambda: converged(namespace) and proxy.all_fired())
        through_faults = end_state(namespace)
        proxy.faults.clear()
        namespace.kubectl("delete", "cronjobs", "--all")
        eventually(lambda: len(namespace.items("cronjobs")) == 2 and converged(namespace))
        assert end_state(namespace) == through_faults


def change_and_see_it_noticed(namespace: Namespace, resource: str) -> None:
    """Cause an event of the watch: delete the CronJobs, or finish a Job."""
    if resource == "cronjobs":
        namespace.kubectl("delete", "cronjobs", "--all")
        eventually(lambda: len(namespace.items("cronjobs")) == 2 and converged(namespace))
    else:
        run_by_hand(namespace, "now")
        finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: namespace.schedule()["status"]["sync"].get("lastResult"))


@pytest.mark.parametrize(("kind", "resource"), WATCHES)
def test_a_watch_that_breaks_or_hangs_or_is_told_410_loses_nothing(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, kind: Any, resource: str
) -> None:
    proxy.add(Fault(kind, "WATCH", resource))
    with start():
        namespace.apply("ada")
        namespace.ready()
        eventually(proxy.all_fired)
        change_and_see_it_noticed(namespace, resource)


@pytest.mark.parametrize("kind", ["expire", "cut", "drop", "freeze", "error"] if TORTURE else ["expire", "freeze"])
def test_a_watch_of_the_resources_that_breaks_or_hangs_misses_no_resource(
    start: Callable[[], KopfRunner],
    proxy: ApiProxy,
    namespace: Namespace,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
) -> None:
    monkeypatch.setattr("catchup_operator.kopf_glue.settings._WATCH_SILENCE_SECONDS", 3)
    proxy.add(Fault(kind, "WATCH", "userschedules"))
    with start():
        eventually(proxy.all_fired)
        namespace.apply("ada")
        eventually(lambda: converged(namespace))


def test_a_list_that_the_server_forgets_halfway_is_read_again_and_misses_no_resource(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.kopf_glue.settings.PAGE", 2)
    names = ["ada", "bob", "cem", "dan", "eve"]
    for name in names:
        namespace.apply(name)
    before = namespace.writes()
    proxy.add(Fault("status", "GET", "userschedules", spare=1, code=410))
    with start():
        for name in names:
            namespace.ready(name)
    assert proxy.all_fired()
    assert namespace.writes() - before == 3 * len(names)


def test_a_repair_whose_status_was_refused_is_told_in_the_status_all_the_same(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with start():
        eventually(lambda: converged(namespace))
        proxy.add(Fault("status", "PATCH", STATUS, code=409))
        namespace.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
        eventually(proxy.all_fired)
        eventually(lambda: len(namespace.items("cronjobs")) == 2 and converged(namespace))


def test_a_cronjob_that_the_operator_wrote_before_its_status_was_refused_is_nobody_elses_edit(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    namespace.apply("ada")
    with start(), caplog.at_level("INFO"):
        eventually(lambda: converged(namespace))
        proxy.add(Fault("status", "PATCH", STATUS, times=3, code=500))
        namespace.apply("ada", calendarSync={"every": "1h"})
        eventually(proxy.all_fired)
        eventually(lambda: converged(namespace))
    assert namespace.cronjob()["metadata"]["generation"] == 2
    assert not [record.getMessage() for record in caplog.records if "taking over" in record.getMessage()]


def test_an_event_that_a_watch_swallowed_is_made_good_by_the_next_list(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.kopf_glue.read_retries._RELIST_SECONDS", 1.0)
    proxy.add(Fault("swallow", "WATCH", "userschedules"))
    with start():
        eventually(lambda: proxy.all_fired() and proxy.requests["WATCH", "userschedules"])
        namespace.apply("ada")
        namespace.apply("bob")  # with which the watch is beyond ada
        namespace.ready("bob")
        assert "status" not in namespace.schedule("ada")
        proxy.down = True
        namespace.kubectl("label", "us", "bob", "team=people")  # a word of the watch, at which it is cut
        time.sleep(1)
        proxy.down = False
        eventually(lambda: find_condition(namespace.schedule("ada").get("status") or {}, "Ready"))
        assert len(namespace.items("cronjobs")) == 4


@pytest.mark.parametrize("resource", ["cronjobs", "jobs"])
def test_what_a_watch_that_seems_well_never_tells_is_found_by_the_list_of_every_ten_minutes(
    start: Callable[[], KopfRunner],
    proxy: ApiProxy,
    namespace: Namespace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    resource: str,
) -> None:
    monkeypatch.setattr("catchup_operator.kube.watch._RELIST_SECONDS", 6.0)
    monkeypatch.setattr("catchup_operator.kube.watch._WATCH_SECONDS", 2)
    monkeypatch.setattr("catchup_operator.kube.watch._WATCH_SILENCE_SECONDS", 90)
    proxy.add(Fault("deaf", "WATCH", resource, times=10**6))
    with start():
        namespace.apply("ada")
        namespace.ready()
        eventually(lambda: proxy.faults[0].fired)
        lists = proxy.requests["GET", resource]
        change_and_see_it_noticed(namespace, resource)
        assert proxy.requests["GET", resource] > lists
        assert "watching" not in caplog.text  # nothing but the time called for it


def test_a_storm_of_refusals_is_met_with_backoff_and_not_with_a_hot_loop(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace
) -> None:
    proxy.add(Fault("status", "PATCH", "cronjobs", times=10**6, code=429))
    with start():
        namespace.apply("ada")
        time.sleep(12)
        assert proxy.faults[0].fired <= 12
        eventually(lambda: proxy.faults[0].fired >= 2)
        proxy.faults.clear()
        eventually(lambda: converged(namespace))


@pytest.fixture
def short_contests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repairs follow one another within seconds."""
    monkeypatch.setattr("catchup_operator.state.contests.REPAIR_DELAY_SECONDS", 0.1)
    monkeypatch.setattr("catchup_operator.state.contests.PEACE_SECONDS", 20.0)
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 2.0)


def assert_contest_is_told(namespace: Namespace, cronjob: str, words: str) -> None:
    """`Ready` and one Event say what changes the CronJob again and again."""
    ready = eventually(
        lambda: (c := find_condition(namespace.schedule()["status"], "Ready"))["reason"] == "Contested" and c
    )
    assert ready["status"] == "False"
    assert f"CronJob {cronjob} is changed again and again: {words};" in ready["message"]
    assert len([event for event in namespace.items("events") if event["reason"] == "Contested"]) == 1


@pytest.mark.usefixtures("short_contests")
def test_a_fight_over_a_cronjob_is_no_storm_and_ends_as_wanted_when_the_other_gives_up(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace
) -> None:
    with start():
        namespace.apply("ada")
        namespace.ready()
        name = namespace.cronjob()["metadata"]["name"]

        def as_wanted() -> bool:
            return not namespace.get("cronjobs", name)["spec"]["suspend"]

        repaired_after = []
        for _ in range(10):
            began = time.monotonic()
            namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
            eventually(as_wanted)
            repaired_after.append(time.monotonic() - began)
        # Five repairs after 0.1 s each, then after 0.2, 0.4, 0.8, 1.6 and 3.2 s. It may lag by one, and a resync may be
        # earlier.
        assert max(repaired_after[-3:]) > 1.5
        assert_contest_is_told(namespace, name, "kubectl-patch sets spec.suspend")
        eventually(lambda: as_wanted() and converged(namespace))


def suspend_by_force(namespace: Namespace, cronjob: str) -> None:
    """As a GitOps controller does that owns the field."""
    apply_as(namespace, cronjob, "argocd-controller", {"spec": {"suspend": True}})


def delete_it(namespace: Namespace, cronjob: str) -> None:
    namespace.kubectl("delete", "cronjob", cronjob)


@pytest.mark.usefixtures("short_contests")
@pytest.mark.release
@pytest.mark.parametrize(
    ("harm", "words"),
    [(suspend_by_force, "argocd-controller sets spec.suspend"), (delete_it, "somebody deletes it")],
    ids=["a forced apply", "a deletion"],
)
def test_whoever_changes_a_cronjob_back_each_time_is_told_and_met_ever_more_seldom(
    start: Callable[[], KopfRunner],
    namespace: Namespace,
    *,
    harm: Callable[[Namespace, str], None],
    words: str,
) -> None:
    with start():
        namespace.apply("ada")
        namespace.ready()
        name = namespace.cronjob()["metadata"]["name"]

        def as_wanted() -> bool:
            found = {item["metadata"]["name"]: item["spec"] for item in namespace.items("cronjobs")}
            return name in found and not found[name]["suspend"]

        repaired_after = []
        for _ in range(9):
            began = time.monotonic()
            harm(namespace, name)
            eventually(as_wanted)
            repaired_after.append(time.monotonic() - began)
        # Repairs after 0.1 s each at first, in the end after 0.8 and 1.6 s.
        assert max(repaired_after[-3:]) > 0.7
        assert_contest_is_told(namespace, name, words)
        eventually(lambda: as_wanted() and converged(namespace))


def test_an_api_server_that_is_gone_for_a_while_is_asked_gently_and_then_all_is_made_good(
    start: Callable[[], KopfRunner], proxy: ApiProxy, namespace: Namespace
) -> None:
    with start():
        namespace.apply("ada")
        namespace.ready()
        proxy.down = True
        asked = sum(proxy.requests.values())
        namespace.kubectl("delete", "cronjobs", "--all")
        namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"spec":{"digest":{"time":"18:30"}}}')
        time.sleep(8)
        assert sum(proxy.requests.values()) - asked < 100
        proxy.down = False
        eventually(lambda: converged(namespace))
        assert namespace.schedule()["status"]["digest"]["display"] == "Sunday 18:30"


def test_two_operators_at_once_do_not_undo_each_other(operator_process: StartProcess, namespace: Namespace) -> None:
    with operator_process() as one, operator_process() as two:
        for name in ("ada", "bob"):
            namespace.apply(name)
        for name in ("ada", "bob"):
            namespace.ready(name)
        time.sleep(3)
        before = namespace.writes()
        time.sleep(5)
        assert namespace.writes() == before
        assert len(namespace.items("cronjobs")) == 4
        assert (one.poll(), two.poll()) == (None, None)


def test_what_another_pod_of_the_release_applies_is_no_edit(
    operator_process: StartProcess,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    *,
    namespace: Namespace,
) -> None:
    # At once, so that the other pod may not have written its status yet.
    monkeypatch.setattr("catchup_operator.state.contests.REPAIR_DELAY_SECONDS", 0.0)
    caplog.set_level("INFO")
    expected: list[str] = []
    looked: list[bool] = []
    expect, repair = CronJobApplier.expect_status, Reconciler.repair

    def spied_expect(self: CronJobApplier, body: dict[str, Any]) -> None:
        expect(self, body)
        expected.append(body["metadata"]["name"])

    async def spied_repair(self: Reconciler, *arguments: Any) -> bool:
        looked.append(await repair(self, *arguments))
        return looked[-1]

    async def nothing(*_: Any) -> None:
        """Leave the edit to the other pod."""

    monkeypatch.setattr(CronJobApplier, "expect_status", spied_expect)
    monkeypatch.setattr(Reconciler, "repair", spied_repair)
    with operator_process():
        namespace.apply("ada")
        namespace.ready("ada")
        request.getfixturevalue("operator")
        eventually(lambda: "ada" in expected)
        monkeypatch.setattr(Reconciler, "reconcile", nothing)
        namespace.apply("ada", calendarSync={"every": "1h"})
        namespace.ready("ada")
        eventually(lambda: looked)
        time.sleep(3)
    told = caplog.text + (tmp_path / "operator.log").read_text()
    assert not [line for line in told.splitlines() if "restored" in line or "edited" in line]
    assert not any(looked)
    namespace.kubectl("delete", "cronjobs", "--all")  # and what is one is told
    eventually(lambda: any(looked) and "restored" in caplog.text)


def test_an_api_server_and_etcd_that_were_killed_and_started_again_are_gone_on_with(
    operator_process: StartProcess, namespace: Namespace
) -> None:
    with operator_process():
        namespace.apply("ada")
        namespace.ready()
        for name in ("kube-apiserver", "etcd"):
            namespace.cluster.layout.daemon(name).stop()
        namespace.cluster.up()
        eventually(lambda: namespace.kubectl("delete", "cronjobs", "--all", "--wait=false"))
        namespace.apply("bob")
        namespace.ready("bob")
        eventually(lambda: len(namespace.items("cronjobs")) == 4)


def test_asked_to_end_the_operator_ends_within_five_seconds(
    operator_process: StartProcess, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with operator_process() as process:
        namespace.ready()
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_asked_to_end_while_the_api_server_is_gone_the_operator_ends_within_five_seconds(
    operator_process: StartProcess, proxy: ApiProxy, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with operator_process() as process:
        namespace.ready()
        proxy.down = True
        for name in ("ada", "bob"):
            namespace.apply(name, priority="high")  # at which the watches are cut
        namespace.kubectl("delete", "cronjobs", "--all")
        asked = sum(proxy.requests.values())
        eventually(lambda: sum(proxy.requests.values()) > asked + 3)
        process.terminate()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("edited", [False, True] if TORTURE else [False], ids={False: "made", True: "edited"}.get)
@pytest.mark.parametrize(
    ("writes", "fault"),
    [
        (1, Fault("delay", "PATCH", CRONJOBS, spare=1, seconds=600)),
        (2, Fault("delay", "PATCH", STATUS, seconds=600)),
        (3, Fault("freeze", "PATCH", STATUS)),  # written, and not answered
    ],
)
def test_killed_after_each_of_its_writes_and_started_again_the_operator_ends_in_the_same_state(
    operator_process: StartProcess, proxy: ApiProxy, namespace: Namespace, writes: int, fault: Fault, *, edited: bool
) -> None:
    namespace.apply("ada", timeZone="Europe/Berlin")
    if edited:
        with operator_process():
            namespace.ready()
        namespace.apply("ada", timeZone="Asia/Beirut")
    before = namespace.writes()
    proxy.add(replace(fault))
    with operator_process() as process:
        eventually(proxy.all_fired)
        eventually(lambda: namespace.writes() - before == writes)
        process.kill()
        process.wait()
    made = namespace.writes()
    assert made - before == writes
    with operator_process():
        eventually(lambda: converged(namespace))
        killed = end_state(namespace)
        assert namespace.writes() - made == (3 if writes < 3 else 0)
        namespace.kubectl("delete", "cronjobs", "--all")
        eventually(lambda: len(namespace.items("cronjobs")) == 2 and converged(namespace))
        assert end_state(namespace) == killed
