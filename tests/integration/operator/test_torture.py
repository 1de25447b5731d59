"""Edits, faults and kills at random: whatever the order, all ends as the last spec wants it.

A few seeds here; 200 with `make torture` (or CATCHUP_TORTURE=1). A seed that fails is in its test's name:
`CATCHUP_SEED=17 pytest tests/integration/operator/test_torture.py` plays it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from subprocess import Popen
from typing import Any, Final

import pytest
from faults.api_proxy import ApiProxy, Fault
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.test_faults import CRONJOBS, STATUS, proxy
from seeds import seeds
from waiting import eventually

from catchup_jobs.contract import DIGEST_DAYS, SYNC_INTERVALS_MINUTES
from catchup_operator.conditions import find
from catchup_operator.desired import desired
from catchup_operator.resource import UserSchedule
from catchup_operator.template import JobTemplate

# One API server for these, and another one for those without faults.
pytestmark = pytest.mark.xdist_group("operator-faults")

__all__ = ["proxy"]  # a fixture

StartProcess = Callable[[], AbstractContextManager[Popen[bytes]]]
SEEDS: Final = seeds(few=2)
STEPS: Final = 8
# What fails again and again is tried after half a minute.
PATIENCE: Final = 150.0
ZONES: Final = ("Europe/Berlin", "Asia/Beirut", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland")
TEMPLATE: Final = JobTemplate(image=JOB_TEMPLATE["image"], env=tuple(JOB_TEMPLATE["env"]))  # type: ignore[arg-type]


def random_spec(dice: random.Random) -> dict[str, Any]:
    return {
        "timeZone": dice.choice(ZONES),
        "calendarSync": {"enabled": dice.random() > 0.2, "every": dice.choice(list(SYNC_INTERVALS_MINUTES))},
        "digest": {
            "enabled": dice.random() > 0.2,
            "day": dice.choice(DIGEST_DAYS),
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
    """Whether all that is wanted is there; the API server adds its defaults."""
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
        or find(status, "Ready").get("status") != "True"
    ):
        return False
    wanted = desired(UserSchedule.from_body(body), TEMPLATE, digest_since=status["digest"].get("activeSince"))
    found = {
        item["metadata"]["name"]: item
        for item in namespace.items("cronjobs")
        if item["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
    }
    return len(found) == len(wanted) and all(
        contains(found.get(manifest["metadata"]["name"]), {part: manifest[part] for part in ("metadata", "spec")})
        and found[manifest["metadata"]["name"]]["metadata"]["uid"] == status[job]["cronJobUID"]
        for manifest, job in zip(wanted, ("sync", "digest"), strict=True)
    )


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_edits_faults_and_kills_in_any_order_end_as_the_last_spec_wants(
    operator_process: StartProcess, proxy: ApiProxy, namespace: Namespace, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - to be played again
    namespace.apply("ada", **random_spec(dice))
    with ExitStack() as processes:
        process = processes.enter_context(operator_process())
        for _ in range(STEPS):
            match dice.choice(["edit", "edit", "fault", "fault", "fault", "kill", "delete", "spoil", "recreate"]):
                case "edit":
                    namespace.apply("ada", **random_spec(dice))
                case "fault":
                    proxy.add(random_fault(dice))
                case "kill":
                    process.kill()
                    process.wait()
                    process = processes.enter_context(operator_process())
                case "delete":
                    namespace.kubectl("delete", "cronjobs", "--all", "--wait=false")
                case "spoil":
                    for item in namespace.items("cronjobs"):
                        patch = '{"spec":{"schedule":"1 1 1 1 *"}}'
                        name = item["metadata"]["name"]
                        namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", patch)
                case "recreate":
                    namespace.kubectl("delete", "us", "ada")
                    namespace.apply("ada", **random_spec(dice))
            time.sleep(dice.random() * 2)
        eventually(lambda: as_wanted(namespace), seconds=PATIENCE)
        assert process.poll() is None
        # And nothing is written any more.
        proxy.faults.clear()
        eventually(lambda: still(namespace), seconds=PATIENCE)
        assert as_wanted(namespace)


def still(namespace: Namespace) -> bool:
    before = namespace.writes()
    time.sleep(3)
    return namespace.writes() == before
