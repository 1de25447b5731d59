"""Two releases that serve one namespace: the one that holds the Lease writes, the other one says so and waits."""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import operator_process
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from integration.services import free_port
from waiting import eventually

from catchup_contract.outcomes import Outcome
from catchup_operator.kube.resources import LEASE_NAME

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")


class Release:
    """The operator of a release, as processes that can be killed."""

    def __init__(self, name: str, env: dict[str, str], directory: Path) -> None:
        template = directory / f"{name}.yaml"
        # The two would make different CronJobs.
        template.write_text(yaml.safe_dump({**JOB_TEMPLATE, "image": f"{name}:test"}))
        self.identity = f"{name}/catchup-jobs"
        self._port = free_port()
        self._log = directory / f"{name}.log"
        own = {"CATCHUP_RELEASE": self.identity, "CATCHUP_HEALTH_PORT": str(self._port)}
        self._env = {**os.environ, **env, **own, "CATCHUP_JOB_TEMPLATE_FILE": str(template)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it until the block ends; returns when it answers probes."""
        with operator_process("--plain-logs", self._env, self._log):
            eventually(lambda: self.unready_reasons() or True, seconds=60)
            yield

    @property
    def log(self) -> str:
        return self._log.read_text()

    def unready_reasons(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                return []
        except urllib.error.HTTPError as error:
            reasons: list[str] = json.loads(error.read())["reasons"]
            return reasons

    def is_ready(self) -> bool:
        return not self.unready_reasons()


@pytest.fixture
def releases(operator_env: dict[str, str], tmp_path: Path) -> tuple[Release, Release]:
    return Release("first", operator_env, tmp_path), Release("second", operator_env, tmp_path)


def lease(namespace: Namespace) -> dict[str, Any]:
    spec: dict[str, Any] = namespace.get("leases", LEASE_NAME)["spec"]
    return spec


def images(namespace: Namespace) -> set[str]:
    pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in namespace.items("cronjobs")]
    return {pod["containers"][0]["image"] for pod in pods}


@pytest.mark.parametrize("mode", ["several", "all"])
def test_the_second_release_of_a_namespace_says_who_serves_it_and_writes_nothing(
    releases: tuple[Release, Release], operator_env: dict[str, str], namespace: Namespace, tmp_path: Path, mode: str
) -> None:
    if mode == "all":
        operator_env["CATCHUP_NAMESPACES"] = ""
        releases = Release("first", operator_env, tmp_path), Release("second", operator_env, tmp_path)
    first, second = releases
    user = f"ada-{secrets.token_hex(4)}"
    with first.running():
        namespace.apply("ada", userId=user)
        assert namespace.ready()["status"]["servedBy"] == first.identity
        assert lease(namespace)["holderIdentity"] == first.identity
        with second.running():
            held = f"namespace {namespace.name} is served by the release {first.identity}"
            eventually(lambda: any(held in reason for reason in second.unready_reasons()), seconds=40)
            assert held in second.log
            before = namespace.writes()
            # What would have both write: an edit, a repair, a result.
            namespace.apply("ada", userId=user, timeZone="Asia/Tokyo")
            namespace.ready()
            namespace.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
            eventually(lambda: len(namespace.items("cronjobs")) == 2)
            run_by_hand(namespace, "now")
            finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
            eventually(lambda: namespace.schedule()["status"]["sync"].get("lastResult") == "Succeeded")
            time.sleep(5)
            # The test's edit is no write of theirs; a status and up to two CronJobs each for edit and repair, a result.
            assert namespace.writes() - before <= 3 + 2 + 1
            assert images(namespace) == {"first:test"}
            assert second.log.count(held) <= 2  # its own line and "not ready"; not one for each resource
            assert namespace.schedule()["status"]["servedBy"] == first.identity
            assert first.is_ready() or mode == "all"  # where other tests' namespaces may be another release's


@pytest.mark.release
def test_a_new_pod_of_the_same_release_continues_at_once_and_another_release_only_when_the_lease_has_run_out(
    releases: tuple[Release, Release], namespace: Namespace
) -> None:
    first, second = releases
    with first.running():
        namespace.apply("ada")
        namespace.ready()
    with first.running():
        namespace.apply("ada", timeZone="Asia/Tokyo")
        namespace.ready()
        assert lease(namespace)["leaseTransitions"] == 0
    with second.running():
        eventually(second.unready_reasons, seconds=40)
        assert images(namespace) == {"first:test"}
        # In place of waiting for three minutes. It must not have changed for so long.
        namespace.kubectl("patch", "lease", LEASE_NAME, "--type=merge", "-p", '{"spec":{"leaseDurationSeconds":5}}')
        eventually(lambda: images(namespace) == {"second:test"}, seconds=90)
        eventually(lambda: namespace.schedule()["status"].get("servedBy") == second.identity)
        assert (lease(namespace)["holderIdentity"], lease(namespace)["leaseTransitions"]) == (second.identity, 1)
        eventually(second.is_ready, seconds=40)
