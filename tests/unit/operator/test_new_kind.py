"""A new kind of job is one record of the table: the operator needs no other change to serve it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from unit.operator.factories import TEMPLATE, body
from unit.operator.status.test_patches import merge

from catchup_contract.env import Env
from catchup_contract.kinds import KINDS, Deadlines, History, Kind, Rule, UserWork
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_operator.kube.client import KubeClient
from catchup_operator.manifests.names import USER_SCHEDULE, key_of
from catchup_operator.ops.forecast import forecast
from catchup_operator.reconcile.placement_parts import OwnerRollout, PlacementParts, placement_parts
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.state.drift import DriftDetector
from catchup_operator.state.pools import Pools
from catchup_operator.status.conditions import find_condition
from catchup_operator.status.results import FinishedJob
from catchup_operator.status.validation import with_valid_status

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEY = ("people", "ada")
SPECS = {Rule.INTERVAL: {"every": "2h"}, Rule.LOCAL_TIME: {"day": "Friday", "time": "18:30"}}
DISPLAYS = {Rule.INTERVAL: "every 2h", Rule.LOCAL_TIME: "Friday 18:30"}


class Everywhere:
    """The Leases of all namespaces are this release's."""

    identity = "people/catchup-jobs"

    async def require(self, namespace: str) -> None: ...

    def serves(self, namespace: str) -> bool:
        return True


class Api:
    """The API server's objects of one UserSchedule."""

    def __init__(self, schedule: dict[str, Any]) -> None:
        self.schedule = schedule
        self.cronjobs: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.applied: list[str] = []

    async def get(self, resource: str, *_: str) -> dict[str, Any]:
        assert resource == "userschedules"
        return self.schedule

    async def apply(self, _: str, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self.applied.append(manifest["metadata"]["labels"]["catchup.dev/job"])
        generation = self.cronjobs[name]["metadata"]["generation"] + 1 if name in self.cronjobs else 1
        metadata = {**manifest["metadata"], "uid": f"uid-{name}", "generation": generation}
        self.cronjobs[name] = {**manifest, "metadata": metadata}
        return self.cronjobs[name]

    async def patch_status(self, _: str, __: Mapping[str, Any], patch: Mapping[str, Any]) -> None:
        self.schedule = merge(self.schedule, {"status": patch})

    async def create(self, *_: Any) -> None: ...

    async def list_items(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        for pod in self.pods:
            yield pod


@pytest.fixture(params=list(Rule))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    work = UserWork(
        spec_section="reminder",
        status_section="reminder",
        condition="ReminderHealthy",
        rule=request.param,
        env=(Env.TIME_ZONE,),
    )
    added = Kind("reminder", Deadlines(starting=300, active=120), History(successful=2, failed=5), user_work=work)
    monkeypatch.setitem(KINDS, added.name, added)
    return added


async def test_a_kind_that_is_added_to_the_table_is_served_like_the_others(kind: Kind) -> None:
    assert kind.user_work is not None
    rule = kind.user_work.rule
    api, later = Api(body({"reminder": SPECS[rule]})), NOW + timedelta(minutes=5)
    client, served = cast(KubeClient, api), cast(ServedNamespaces, Everywhere())
    time = [NOW]
    placements = placement_parts(
        client,
        TEMPLATE,
        drift=DriftDetector(),
        pools=Pools(),
        rollout=OwnerRollout(1),
        served=served,
        now=lambda: time[0],
    )
    part = placements[USER_SCHEDULE]
    reconciler, state = part.reconciler, part.state

    await reconciler.reconcile(api.schedule)
    assert api.applied == ["sync", "digest", "reminder"]
    (cronjob,) = (item for name, item in api.cronjobs.items() if name.startswith("ada-reminder-"))
    spec = cronjob["spec"]
    assert (spec["startingDeadlineSeconds"], spec["successfulJobsHistoryLimit"]) == (300, 2)
    job_spec = spec["jobTemplate"]["spec"]
    assert job_spec["activeDeadlineSeconds"] == 120
    assert job_spec["template"]["spec"]["containers"][0]["args"] == ["reminder", "--user", "ada"]

    section = api.schedule["status"]["reminder"]
    assert (section["display"], section["cronJobName"]) == (DISPLAYS[rule], cronjob["metadata"]["name"])
    assert len(section["nextRuns"]) == 3
    assert find_condition(api.schedule["status"], "ReminderHealthy")["reason"] == "NoRunYet"
    types = [condition["type"] for condition in api.schedule["status"]["conditions"]]
    assert types == ["Ready", "SyncHealthy", "DigestHealthy", "ReminderHealthy"]
    assert with_valid_status(api.schedule) is api.schedule
    wrong = merge(api.schedule, {"status": {"reminder": {"nextRunTimes": ["soon"]}}})
    assert with_valid_status(wrong)["status"] == {}

    time[0] = later
    await record(api, part, kind, later)
    time[0] = NOW
    section = api.schedule["status"]["reminder"]
    assert (section["lastResult"], section["lastReason"], section["counts"]) == ("Skipped", "Reconnect", {"pages": 3})
    assert find_condition(api.schedule["status"], "ReminderHealthy")["status"] == "False"

    drifts = []
    state.drift.subscribe(lambda cronjob, expected: drifts.append((cronjob, expected.owner_name)))
    state.drift.observe_list("people", {state.drift.observe(item) for item in api.cronjobs.values()})
    assert drifts == []
    state.drift.observe_deletion(key_of(cronjob))
    assert drifts == [(key_of(cronjob), "ada")]
    assert await reconciler.repair(KEY, key_of(cronjob))
    assert api.applied[3:] == ["reminder"]

    assert sum(forecast([api.schedule], NOW + timedelta(days=4)).pods_of(kind)) > 0


async def record(api: Api, part: PlacementParts, kind: Kind, at: datetime) -> None:
    summary = Summary(kind, Outcome.SKIPPED, at, at, reason=Reason.RECONNECT, counts={Count.PAGES: 3})
    terminated = {"message": summary.to_json(), "exitCode": 0, "finishedAt": "2026-11-23T09:05:00Z"}
    api.pods = [{"status": {"containerStatuses": [{"name": "job", "state": {"terminated": terminated}}]}}]
    cronjob = api.schedule["status"]["reminder"]["cronJobName"]
    finished = FinishedJob.from_object(
        {
            "metadata": {
                "namespace": "people",
                "name": f"{cronjob}-29401200",
                "uid": "job-1",
                "labels": {"catchup.dev/job": kind.name, "catchup.dev/user-schedule": "ada"},
                "ownerReferences": [{"kind": "CronJob", "name": cronjob, "uid": f"uid-{cronjob}", "controller": True}],
            },
            "status": {
                "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T09:05:00Z"}]
            },
        }
    )
    assert finished is not None
    await part.job_status.record(finished)
