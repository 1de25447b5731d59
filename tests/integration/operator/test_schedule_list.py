"""The list of UserSchedules that the pods of pools read, on a real API server."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_pools import RARE
from kopf.testing import KopfRunner
from scraping import scraped
from waiting import eventually

from catchup_contract.schedule_list import ListedSchedule, ScheduleList, decode, part_of
from catchup_operator.manifests.list_configmaps import CONFIGMAPS, LIST_PARTS
from catchup_operator.status.conditions import find_condition

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
COMPONENT = "app.kubernetes.io/component=schedule-list"


def read(namespace: Namespace) -> ScheduleList | None:
    """The list as a pod would read it, once all ConfigMaps are there and of one age."""
    files: dict[str, bytes] = {}
    for item in namespace.items("configmaps", COMPONENT):
        files |= {name: base64.b64decode(content) for name, content in item["binaryData"].items()}
    if len(files) != len(CONFIGMAPS):
        return None
    found = decode(files)
    return found if found.is_complete else None


def by_user(namespace: Namespace) -> dict[str, list[ListedSchedule]]:
    found: dict[str, list[ListedSchedule]] = {}
    for schedule in ((current := read(namespace)) and current.schedules) or ():
        found.setdefault(schedule.user_id, []).append(schedule)
    return found


def test_a_namespace_with_a_pool_has_the_list_of_all_user_schedules_and_one_without_has_none(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    url: str,
) -> None:
    other = another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}"
    namespace.apply("ada")
    namespace.apply_younger("ada-again", userId="ada")
    namespace.apply("bob", suspend=True)
    other.apply("carol", timeZone="Europe/Berlin")
    with operator_process():
        namespace.ready("ada")
        other.ready("carol")
        watches = [name for name in scraped(url) if "watch_silent_seconds" in name]
        assert not [name for name in watches if "userschedules" in name]  # of kopf alone, without a pool
        namespace.apply_pool("people", **RARE)
        namespace.ready_pool()
        eventually(lambda: by_user(namespace).keys() == {"ada", "bob", "carol"})
        listed = by_user(namespace)
        assert sorted(each.is_served for each in listed["ada"]) == [False, True]
        assert [each.is_served for each in listed["bob"]] == [False]
        (carol,) = listed["carol"]
        metadata = other.schedule("carol")["metadata"]
        assert (carol.uid, carol.generation, carol.time_zone) == (metadata["uid"], 1, "Europe/Berlin")
        assert carol.digest_since == metadata["creationTimestamp"]
        assert other.items("configmaps", COMPONENT) == []
        namespace.kubectl("delete", "us", "bob")
        other.apply("carol", timeZone="Europe/Paris")
        eventually(lambda: by_user(namespace).keys() == {"ada", "carol"})
        eventually(lambda: by_user(namespace)["carol"][0].time_zone == "Europe/Paris")


def test_only_what_changes_is_written_and_a_restart_writes_nothing(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    names = [f"u{number}" for number in range(12)]
    assert len({part_of(name, LIST_PARTS) for name in names}) == LIST_PARTS
    for name in names:
        namespace.apply(name)
    before = namespace.applies("configmaps")
    namespace.apply_pool("people", **RARE)
    with operator_process():
        eventually(lambda: by_user(namespace).keys() == set(names))
        namespace.ready_pool()
        assert namespace.applies("configmaps") - before == len(CONFIGMAPS)  # one for each, however many are listed
        for name in names:
            namespace.ready(name)
        namespace.kubectl("label", "us", "u0", "team=people")
        namespace.apply("u0", calendarSync={"every": "1h"})
        eventually(lambda: by_user(namespace)["u0"][0].sync_every == "1h")
        assert namespace.applies("configmaps") - before == len(CONFIGMAPS) + 2  # its part and the index
    with operator_process():
        namespace.apply("u1", calendarSync={"every": "2h"})
        eventually(lambda: by_user(namespace)["u1"][0].sync_every == "2h")
    assert namespace.applies("configmaps") - before == len(CONFIGMAPS) + 4


def test_many_edits_in_a_row_are_few_writes(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply_pool("people", **RARE)
    eventually(lambda: read(namespace) is not None)
    before = namespace.applies("configmaps")
    documents = [
        {
            "apiVersion": "catchup.dev/v1alpha1",
            "kind": "UserSchedule",
            "metadata": {"name": f"u{number}"},
            "spec": {"userId": f"u{number}"},
        }
        for number in range(60)
    ]
    namespace.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(documents))
    eventually(lambda: len(by_user(namespace)) == 60)
    assert namespace.applies("configmaps") - before < 60


def test_a_list_that_somebody_changed_is_restored(
    namespace: Namespace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.list_writer._CHECK_SECONDS", 1.0)
    request.getfixturevalue("operator")
    namespace.apply("ada")
    namespace.apply_pool("people", **RARE)
    eventually(lambda: by_user(namespace).keys() == {"ada"})
    name = f"catchup-schedule-list-{part_of('ada', LIST_PARTS)}"
    namespace.kubectl("delete", "configmap", name)
    eventually(lambda: by_user(namespace).keys() == {"ada"})
    namespace.kubectl("patch", "configmap", name, "--type=merge", "-p", '{"binaryData":null}')
    eventually(lambda: by_user(namespace).keys() == {"ada"})


def test_the_preparation_of_an_uninstall_takes_the_cronjobs_of_pools_and_the_list_with_it_and_all_say_so(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    def readiness() -> set[tuple[str, str]]:
        found = [namespace.schedule("ada"), namespace.schedule("bob"), namespace.get("schedulepools", "people")]
        ready = [find_condition(item["status"], "Ready") for item in found]
        return {(condition["status"], condition["reason"]) for condition in ready}

    operator_env["CATCHUP_RELEASE"] = "people/first"
    namespace.apply("ada")
    namespace.apply("bob", pool="people")
    namespace.apply_pool("people", members="UserSchedules", **RARE)
    with operator_process():
        namespace.ready("ada")
        namespace.ready_pool()
        eventually(lambda: readiness() == {("True", "Reconciled"), ("True", "Pooled")})
        eventually(lambda: read(namespace) is not None)
    program = str(Path(sys.executable).parent / "catchup-operator")
    command = [program, "prepare-uninstall", "-n", namespace.name, f"--deployment={namespace.name}/operator"]
    done = subprocess.run(command, env={**os.environ, **operator_env}, capture_output=True, text=True, check=False)
    assert (done.returncode, "deleted 4 CronJobs" in done.stdout) == (0, True), done.stderr
    eventually(lambda: not namespace.items("cronjobs"))
    assert namespace.items("configmaps", COMPONENT) == []
    assert len(namespace.items("schedulepools")) == 1
    assert readiness() == {("Unknown", "Uninstalled")}
    with operator_process():  # as after a new installation
        eventually(lambda: readiness() == {("True", "Reconciled"), ("True", "Pooled")})
    assert len(namespace.items("cronjobs")) == 4
    assert namespace.items("events") == []  # neither an uninstall nor an installation is a user's trouble
