"""Edits, moves, faults and kills at random: whatever the order, the final state is that of the last spec.

The user's resource names one of two pools or none, and the pools come and go. In the end the user is served by the
placement that the spec says and by no other.

A few seeds here; 200 with `make torture` (or CATCHUP_TORTURE=1). A seed that fails is in its test's name and prints
what happened; `CATCHUP_SEED=17 pytest tests/integration/operator/test_torture.py` plays it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_faults import CRONJOBS, STATUS, name_of, proxy
from integration.operator.test_schedule_list import by_user
from seeds import seeds
from waiting import eventually

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, Kind, user_kinds
from catchup_contract.schedule_list import ListedSchedule
from catchup_dev.console import Failure
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.conditions import find_condition

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

__all__ = ["proxy"]  # a fixture

StartProcess = Callable[[], AbstractContextManager[OperatorProcess]]
SEEDS: Final = seeds(few=2, in_sample=1)
FAULTS_A_SEED: Final = 3
OTHERS_A_SEED: Final = 5
OTHERS: Final = ("edit", "edit", "pool", "pool", "kill", "delete", "spoil", "recreate")
POOLS: Final = ("people", "others")
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
        "pool": dice.choice(["", "", *POOLS]),
    }


def random_pool(dice: random.Random) -> dict[str, Any]:
    rare = {name: {"tick": "10m", "shards": dice.randint(1, 3)} for name in ("calendarSync", "digest")}
    return {"members": "UserSchedules", **rare, "suspend": dice.random() < 0.2}


def random_fault(dice: random.Random) -> Fault:
    verb, resource = dice.choice(
        [
            ("PATCH", CRONJOBS),
            ("PATCH", STATUS),
            ("GET", "userschedules"),
            ("WATCH", "userschedules"),
            ("WATCH", CRONJOBS),
            ("PATCH", "schedulepools/status"),
            ("WATCH", "schedulepools"),
            ("PATCH", "configmaps"),
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
    """Whether the CronJobs are those of the specs, and each status says so."""
    pools = namespace.items("schedulepools")
    return is_placed(namespace, {pool["metadata"]["name"] for pool in pools}) and all(
        has_status(pool, "True") and has_cronjobs(namespace, pool, pool_manifests(pool)) for pool in pools
    )


def is_placed(namespace: Namespace, pools: Set[str]) -> bool:
    """Whether the user is served as the spec says: by CronJobs of their own, or by one of these pools."""
    body = namespace.schedule()
    pool = body["spec"].get("pool", "")
    if pool in pools:
        return has_status(body, "True") and has_cronjobs(namespace, body, {})
    if pool:
        # Whoever had CronJobs keeps them until the pool is there.
        is_kept = has_cronjobs(namespace, body, own_manifests(body))
        return has_status(body, "False") and (is_kept or has_cronjobs(namespace, body, {}))
    return has_status(body, "True") and has_cronjobs(namespace, body, own_manifests(body))


def has_status(body: Mapping[str, Any], ready: str) -> bool:
    status = body.get("status") or {}
    is_current = status.get("observedGeneration") == body["metadata"]["generation"]
    return is_current and bool(find_condition(status, "Ready").get("status") == ready)


def own_manifests(body: Mapping[str, Any]) -> dict[Kind, dict[str, Any]]:
    since = (body["status"].get("digest") or {}).get("activeSince")
    return desired_cronjobs(UserSchedule.from_body(body), TEMPLATE, {DIGEST: since})


def pool_manifests(body: Mapping[str, Any]) -> dict[Kind, dict[str, Any]]:
    status = body["status"]
    since = {kind: status[kind.name].get("activeSince") for kind in user_kinds()}
    return pool_cronjobs(SchedulePool.from_body(body), TEMPLATE, since)


def has_cronjobs(namespace: Namespace, body: Mapping[str, Any], wanted: Mapping[Kind, Mapping[str, Any]]) -> bool:
    """Whether a resource has these CronJobs and no other, and its status names them."""
    status = body["status"]
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


def is_listed(namespace: Namespace) -> bool:
    """Whether the pods of the pools are told what the specs say; where there is no pool, nobody reads it.

    Who has left a pool stays on the list for a quarter of an hour, so that its pods have seen it: both make one run.
    """
    pools = {pool["metadata"]["name"] for pool in namespace.items("schedulepools")}
    body = namespace.schedule()
    pool, is_suspended = body["spec"].get("pool", ""), body["spec"]["suspend"]
    placements = {
        (name, not is_suspended and (not name or name in pools)) for name in ({pool} if pool else {"", *POOLS})
    }
    told = [(one.pool, one.is_served) for one in by_user(namespace).get("ada", []) if is_of(one, body)]
    return not pools or (len(told) == 1 and told[0] in placements)


def is_of(listed: ListedSchedule, body: Mapping[str, Any]) -> bool:
    return (listed.uid, listed.generation) == (body["metadata"]["uid"], body["metadata"]["generation"])


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
        for name in POOLS:
            self.pool(name, comes=self.dice.random() < 0.5)
        self.edit()
        with ExitStack() as processes:
            process = self.begin(processes)
            steps = ["fault"] * FAULTS_A_SEED + self.dice.choices(OTHERS, k=OTHERS_A_SEED)
            self.dice.shuffle(steps)
            for step in steps:
                if step == "kill":
                    process = self.kill(process, processes)
                else:
                    self.do(step)
                self.check_nobody_is_told_of_two()
                time.sleep(self.dice.random() * 2)
            # Each round makes every list, watch and write once more, until no fault has come to nothing.
            for _ in range(ROUNDS_MAX):
                process = self.kill(process, processes)
                self.delete()
                for name in POOLS:
                    self.pool(name, comes=True)
                self.edit()
                eventually(lambda: as_wanted(self.namespace))
                if all(fault.fired for fault in self.proxy.faults):
                    break
            assert [name_of(fault) for fault in self.proxy.faults if not fault.fired] == []
            self.tell("as wanted")
            if self.dice.random() < 0.3:
                self.pool(self.dice.choice(POOLS), comes=False)
            process = self.kill(process, processes)
            eventually(lambda: as_wanted(self.namespace) and is_listed(self.namespace))
            self.tell("as wanted, also by the list")
            assert process.poll() is None
            # And nothing is written any more.
            self.proxy.faults.clear()
            eventually(lambda: still(self.namespace))
            assert as_wanted(self.namespace)
            assert is_listed(self.namespace)

    def do(self, step: str) -> None:
        match step:
            case "edit":
                self.edit()
            case "fault":
                fault = random_fault(self.dice)
                self.tell(f"fault: {name_of(fault)}, {fault.times} times")
                self.proxy.add(fault)
            case "delete":
                self.delete()
            case "spoil":
                self.spoil()
            case "pool":
                self.pool(self.dice.choice(POOLS), comes=self.dice.random() < 0.6)
            case "recreate":
                self.tell("delete the resource")
                self.namespace.kubectl("delete", "us", "ada")
                self.edit()

    def edit(self) -> None:
        spec = random_spec(self.dice)
        self.tell(f"edit: {spec}")
        self.namespace.apply("ada", **spec)

    def pool(self, name: str, *, comes: bool) -> None:
        if comes:
            spec = random_pool(self.dice)
            self.tell(f"pool {name}: {spec}")
            self.namespace.apply_pool(name, **spec)
        else:
            self.tell(f"delete pool {name}")
            self.namespace.kubectl("delete", "spool", name, "--ignore-not-found")

    def check_nobody_is_told_of_two(self) -> None:
        served = [one for one in by_user(self.namespace).get("ada", []) if one.is_served]
        assert len(served) <= 1, served

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
        print("In the end:", namespace.kubectl("get", "userschedules,schedulepools,cronjobs", "-o", "yaml"), sep="\n")
        raise
