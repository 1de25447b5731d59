"""Edits, faults and kills at random: whatever the order, the final state is that of the last spec.

A few seeds here; 200 with `make torture` (or CATCHUP_TORTURE=1). A seed that fails is in its test's name and prints
what happened; `CATCHUP_SEED=17 pytest tests/integration/operator/test_torture.py` plays it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_faults import CRONJOBS, STATUS, name_of, proxy
from seeds import seeds
from waiting import eventually

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST
from catchup_dev.console import Failure
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.conditions import find_condition

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

__all__ = ["proxy"]  # a fixture

StartProcess = Callable[[], AbstractContextManager[OperatorProcess]]
SEEDS: Final = seeds(few=2)
FAULTS_A_SEED: Final = 3
OTHERS_A_SEED: Final = 5
OTHERS: Final = ("edit", "edit", "kill", "delete", "spoil", "recreate")
# A fault may fire only after all others of its request, each up to three times.
ROUNDS_MAX: Final = 3 * FAULTS_A_SEED
# Repeated failures are retried after half a minute.
PATIENCE: Final = 150.0
ZONES: Final = ("Europe/Berlin", "Asia/Beirut", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland")
TEMPLATE: Final = JobTemplate(image=JOB_TEMPLATE["image"], env=tuple(JOB_TEMPLATE["env"]))  # type: ignore[arg-type]


def random_spec(dice: random.Random) -> dict[str, Any]:
    return {
        "timeZone": dice.choice(ZONES),
        "calendarSync": {"enabled": dice.random() > 0.2, "every": dice.choice(list(SYNC_INTERVALS_MINUTES))},
        "digest": {
            "enabled": dice.random() > 0.2,
            "day": dice.choice(list(DigestDay)).value,
            "time": f"{dice.randrange(24):02}:{dice.randrange(60):02}",
        },
        "priority": dice.choice(["low", "normal", "high"]),
        "suspend": dice.random() < 0.2,
    }


def random_fault(dice: random.Random) -> Fault:
    verb, resource = dice.choice(
        [
            ("PATCH", CRONJOBS),
            ("PATCH", STATUS),
            ("GET", "userschedules"),
            ("WATCH", "userschedules"),
            ("WATCH", CRONJOBS),
        ]
    )
    kinds = (
        ["drop", "cut", "expire", "error", "status"]
        if verb == "WATCH"
        else ["drop", "cut", "lost reply", "duplicate", "status"]
    )
    kind: Any = dice.choice(kinds)
    return Fault(kind, verb, resource, times=dice.randint(1, 3), code=dice.choice([409, 429, 500]))


def contains(found: Any, wanted: Any) -> bool:
    """Whether an object contains all wanted fields; the API server adds defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(contains(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found or []) == len(wanted) and all(map(contains, found, wanted))
    return bool(found == wanted)


def as_wanted(namespace: Namespace) -> bool:
    """Whether the CronJobs are those of the spec, and the status says so."""
    body = namespace.schedule()
    status = body.get("status") or {}
    if (
        status.get("observedGeneration") != body["metadata"]["generation"]
        or find_condition(status, "Ready").get("status") != "True"
    ):
        return False
    wanted = desired_cronjobs(UserSchedule.from_body(body), TEMPLATE, {DIGEST: status["digest"].get("activeSince")})
    found = {
        item["metadata"]["name"]: item
        for item in namespace.items("cronjobs")
        if item["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
    }
    return len(found) == len(wanted) and all(
        contains(found.get(manifest["metadata"]["name"]), {part: manifest[part] for part in ("metadata", "spec")})
        and found[manifest["metadata"]["name"]]["metadata"]["uid"] == status[kind.name]["cronJobUID"]
        for kind, manifest in wanted.items()
    )


class Torture:
    """One seed's steps, and what happened when, by the clock of the operator's log."""

    def __init__(self, start: StartProcess, proxy: ApiProxy, namespace: Namespace, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - to be played again
        self.start, self.proxy, self.namespace = start, proxy, namespace
        self.story: list[str] = []
        proxy.on_fired = lambda fault: self.tell(f"    fired: {name_of(fault)}")

    def tell(self, text: str) -> None:
        self.story.append(f"{datetime.now(UTC):%H:%M:%S.%f} {text}")

    def play(self) -> None:
        self.edit()
        with ExitStack() as processes:
            process = self.begin(processes)
            steps = ["fault"] * FAULTS_A_SEED + self.dice.choices(OTHERS, k=OTHERS_A_SEED)
            self.dice.shuffle(steps)
            for step in steps:
                match step:
                    case "edit":
                        self.edit()
                    case "fault":
                        fault = random_fault(self.dice)
                        self.tell(f"fault: {name_of(fault)}, {fault.times} times")
                        self.proxy.add(fault)
                    case "kill":
                        process = self.kill(process, processes)
                    case "delete":
                        self.delete()
                    case "spoil":
                        self.spoil()
                    case "recreate":
                        self.tell("delete the resource")
                        self.namespace.kubectl("delete", "us", "ada")
                        self.edit()
                time.sleep(self.dice.random() * 2)
            # Each round makes every list, watch and write once more, until no fault has come to nothing.
            for _ in range(ROUNDS_MAX):
                process = self.kill(process, processes)
                self.delete()
                self.edit()
                eventually(lambda: as_wanted(self.namespace))
                if all(fault.fired for fault in self.proxy.faults):
                    break
            assert [name_of(fault) for fault in self.proxy.faults if not fault.fired] == []
            self.tell("as wanted")
            assert process.poll() is None
            # And nothing is written any more.
            self.proxy.faults.clear()
            eventually(lambda: still(self.namespace))
            assert as_wanted(self.namespace)

    def edit(self) -> None:
        spec = random_spec(self.dice)
        self.tell(f"edit: {spec}")
        self.namespace.apply("ada", **spec)

    def begin(self, processes: ExitStack) -> OperatorProcess:
        self.tell("start the operator")
        return processes.enter_context(self.start())

    def kill(self, process: OperatorProcess, processes: ExitStack) -> OperatorProcess:
        self.tell("kill the operator")
        process.kill()
        process.wait()
        return self.begin(processes)

    def delete(self) -> None:
        self.tell("delete the CronJobs")
        self.namespace.kubectl("delete", "cronjobs", "--all", "--wait=false")

    def spoil(self) -> None:
        for item in self.namespace.items("cronjobs"):
            name = item["metadata"]["name"]
            self.tell(f"edit CronJob {name}")
            with suppress(Failure):  # the garbage collector may have been faster, after a recreation
                patch = '{"spec":{"schedule":"1 1 1 1 *"}}'
                self.namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", patch)


def still(namespace: Namespace) -> bool:
    before = namespace.writes()
    time.sleep(3)
    return namespace.writes() == before


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_edits_faults_and_kills_in_any_order_end_as_the_last_spec_wants(
    operator_process: StartProcess, proxy: ApiProxy, namespace: Namespace, tmp_path: Path, seed: int
) -> None:
    torture = Torture(operator_process, proxy, namespace, seed)
    try:
        torture.play()
    except BaseException:
        print("\n".join([f"CATCHUP_SEED={seed} plays this story again:", *torture.story]))
        print("The operator's log:", (tmp_path / "operator.log").read_text(), sep="\n")
        print("In the end:", namespace.kubectl("get", "userschedules,cronjobs", "-o", "yaml"), sep="\n")
        raise
