from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from unit.operator.factories import TEMPLATE, schedule

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.pools import TICKS_MINUTES
from catchup_contract.schedule_list import ListedSchedule, encode
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.list_configmaps import CONFIGMAPS, LIST_PARTS
from catchup_operator.manifests.pooled import pool_cronjobs
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.schedule_pool import SchedulePool


def pool(name: str = "people", **spec: Any) -> SchedulePool:
    metadata = {"namespace": "here", "name": name, "uid": "uid-1", "generation": 1}
    return SchedulePool.from_body({"metadata": metadata, "spec": spec})


def cronjob(kind: Kind, template: JobTemplate = TEMPLATE, **spec: Any) -> dict[str, Any]:
    return pool_cronjobs(pool(**spec), template, {})[kind]


def job(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["spec"]["jobTemplate"]["spec"])


def container(found: dict[str, Any]) -> dict[str, Any]:
    return dict(job(found)["template"]["spec"]["containers"][0])


def env(found: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container(found)["env"]}


def test_a_tick_serves_the_pool_by_its_name_and_is_not_retried() -> None:
    found = cronjob(SYNC)
    assert found["metadata"]["name"] == "people-pool-sync"
    assert found["metadata"]["ownerReferences"][0] | {"uid": ""} == {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "SchedulePool",
        "name": "people",
        "uid": "",
        "controller": True,
        "blockOwnerDeletion": False,
    }
    spec = found["spec"]
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"], spec["suspend"]) == ("Allow", 60, False)
    assert (job(found)["backoffLimit"], job(found)["activeDeadlineSeconds"]) == (0, 300)
    assert container(found)["args"] == ["sync", "--pool", "people"]
    for labels in (
        found["metadata"]["labels"],
        spec["jobTemplate"]["metadata"]["labels"],
        job(found)["template"]["metadata"]["labels"],
    ):
        assert (labels["catchup.dev/job"], labels["catchup.dev/schedule-pool"]) == ("sync", "people")
        assert "catchup.dev/user-schedule" not in labels


@pytest.mark.parametrize("tick", TICKS_MINUTES)
def test_a_pool_ticks_as_often_as_it_says(tick: str) -> None:
    assert cronjob(DIGEST, digest={"tick": tick})["spec"]["schedule"] == f"*/{TICKS_MINUTES[tick]} * * * *"


def test_a_pod_knows_the_pools_interval_its_shards_and_its_run() -> None:
    sync, digest = env(cronjob(SYNC, calendarSync={"every": "2h"})), env(cronjob(DIGEST, digest={"shards": 4}))
    assert (sync[Env.SYNC_EVERY], sync[Env.POOL_SHARDS], digest[Env.POOL_SHARDS]) == ("2h", "1", "4")
    assert (sync[Env.CRONJOB_NAME], sync[Env.DEADLINE_SECONDS]) == ("people-pool-sync", "300")
    assert {Env.SYNC_EVERY, Env.DIGEST_DAY, Env.DIGEST_TIME, Env.DIGEST_SINCE, Env.TIME_ZONE}.isdisjoint(digest)


def test_all_else_of_a_pod_is_as_in_the_pod_of_one_user() -> None:
    template = JobTemplate(
        image="x",
        env=({"name": "A", "value": "b"}, {"name": "CATCHUP_POOL_SHARDS", "value": "9"}),
        resources={"limits": {"memory": "1Gi"}},
        pod={"nodeSelector": {"a": "b"}},
        volumes=({"name": "a", "emptyDir": {}},),
        volume_mounts=({"name": "a", "mountPath": "/a"},),
        priority_classes={"normal": "ours"},
    )
    users = desired_cronjobs(schedule(), template, {})[SYNC]
    pooled = cronjob(SYNC, template)
    assert env(pooled)["CATCHUP_POOL_SHARDS"] == "1"
    of_user, of_pool = ({**container(each), "args": [], "env": []} for each in (users, pooled))
    mount = of_pool["volumeMounts"].pop()
    assert of_user == of_pool
    of_user, of_pool = ({**job(each)["template"]["spec"], "containers": []} for each in (users, pooled))
    volume = of_pool["volumes"].pop()
    assert of_user == of_pool
    assert (mount["name"], mount["mountPath"], mount["readOnly"]) == (
        volume["name"],
        env(pooled)[Env.SCHEDULE_LIST],
        True,
    )
    assert {"name": "A", "value": "b"} in container(pooled)["env"]


def test_a_shard_that_fails_ends_no_other() -> None:
    found = job(cronjob(SYNC, calendarSync={"shards": 3}))
    assert (found["completionMode"], found["completions"], found["parallelism"]) == ("Indexed", 3, 3)
    assert (found["backoffLimitPerIndex"], found["maxFailedIndexes"]) == (0, 3)
    assert "backoffLimit" not in found
    assert [rule["action"] for rule in found["podFailurePolicy"]["rules"]] == ["Ignore", "FailIndex"]


@pytest.mark.parametrize(
    ("spec", "kind", "off"),
    [({"suspend": True}, SYNC, "Suspended"), ({"digest": {"enabled": False}}, DIGEST, "Disabled")],
)
def test_what_is_switched_off_is_suspended_and_tells_a_tick_by_hand(spec: dict[str, Any], kind: Kind, off: str) -> None:
    assert cronjob(kind, **spec)["spec"]["suspend"] is True
    assert env(cronjob(kind, **spec))[Env.POOL_OFF] == off
    assert Env.POOL_OFF not in env(cronjob(kind))


def test_the_deadline_of_the_installations_jobs_is_not_that_of_a_tick_and_its_histories_are() -> None:
    template = JobTemplate(image="x", limits={"sync": {"activeDeadlineSeconds": 900, "failedJobsHistoryLimit": 7}})
    found = cronjob(SYNC, template)
    assert (job(found)["activeDeadlineSeconds"], found["spec"]["failedJobsHistoryLimit"]) == (300, 7)


@pytest.mark.parametrize(
    "spec",
    [
        {"members": "Everybody"},
        {"calendarSync": {"every": "7m"}},
        {"calendarSync": {"tick": "3m"}},
        {"calendarSync": {"shards": 0}},
        {"calendarSync": {"shards": True}},
        {"digest": {"shards": 65}},
        {"digest": "no"},
        {"suspend": "no"},
    ],
)
def test_a_spec_that_is_older_than_a_rule_of_the_schema_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError):
        pool(**spec)


def test_a_name_from_which_no_cronjob_can_be_named_is_refused() -> None:
    with pytest.raises(InvalidSpecError):
        pool("a" * 41)


def test_a_pod_starts_without_the_list_of_user_schedules_and_with_all_files_of_it_once_they_are_there() -> None:
    volume = job(cronjob(SYNC))["template"]["spec"]["volumes"][-1]
    sources = [source["configMap"] for source in volume["projected"]["sources"]]
    assert all(source["optional"] for source in sources)
    files = {CONFIGMAPS[source["name"]] for source in sources}
    assert files == encode([], LIST_PARTS).keys()


def test_the_largest_list_that_kubernetes_objectives_admit_fits_into_the_configmaps() -> None:
    some = [
        ListedSchedule(str(uuid4()), str(uuid4()), number % 9, "", "Europe/Berlin", "30m", "Sunday", "09:00")
        for number in range(10_000)
    ]
    sizes = [len(content) for content in encode(some, LIST_PARTS).values()]
    assert max(sizes) < 2**20 / 4


def test_a_pool_that_was_resumed_tells_its_digests_since_when() -> None:
    found = pool_cronjobs(pool(), TEMPLATE, {DIGEST: "2026-11-29T12:00:00Z"})
    assert env(found[DIGEST])[Env.DIGEST_SINCE] == "2026-11-29T12:00:00Z"
    assert Env.DIGEST_SINCE not in env(found[SYNC])
    assert Env.DIGEST_SINCE not in env(cronjob(DIGEST))
