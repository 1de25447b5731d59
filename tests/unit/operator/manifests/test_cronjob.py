from __future__ import annotations

import re
from typing import Any

import pytest
from unit.operator.factories import TEMPLATE, schedule

from catchup_contract.env import Env
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs


def cronjob_of(kind: Kind, template: JobTemplate = TEMPLATE, **spec: Any) -> dict[str, Any]:
    return desired_cronjobs(schedule(spec, digest_spread=template.digest_spread), template, {})[kind]


def sync_of(template: JobTemplate = TEMPLATE, **spec: Any) -> dict[str, Any]:
    return cronjob_of(SYNC, template, **spec)


def digest_of(template: JobTemplate = TEMPLATE, **spec: Any) -> dict[str, Any]:
    return cronjob_of(DIGEST, template, **spec)


def container_of(cronjob: dict[str, Any]) -> dict[str, Any]:
    (found,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("zone", ["Etc/UTC", "Europe/Berlin", "Asia/Beirut", "Asia/Kathmandu"])
def test_every_cronjob_runs_in_utc_whatever_the_users_zone(zone: str) -> None:
    assert sync_of(timeZone=zone)["spec"]["timeZone"] == digest_of(timeZone=zone)["spec"]["timeZone"] == "Etc/UTC"


def test_a_digest_runs_at_the_users_local_time_by_each_offset_and_again_after_one_and_three_hours() -> None:
    spec = digest_of(timeZone="Europe/Berlin", digest={"day": "Friday", "time": "18:30"})["spec"]
    assert spec["schedule"] == "30 16,17,18,19,20 * * 5"


def test_the_digests_pod_runs_the_digest_of_the_user_and_knows_when_it_is_due() -> None:
    container = container_of(digest_of(timeZone="Asia/Beirut", digest={"day": "Friday", "time": "18:30"}))
    assert container["args"] == ["digest", "--user", "ada"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (env[Env.TIME_ZONE], env[Env.DIGEST_DAY], env[Env.DIGEST_TIME]) == ("Asia/Beirut", "Friday", "18:30")
    assert env[Env.DEADLINE_SECONDS] == "900"


def test_a_spread_digest_runs_and_is_due_at_its_own_time_and_the_sync_goes_on_telling_the_chosen_one() -> None:
    template = JobTemplate(image="catchup-jobs:test", digest_spread=30)
    digest = digest_of(template, timeZone="Europe/Berlin")
    env = {entry["name"]: entry.get("value") for entry in container_of(digest)["env"]}
    hour, minute = env[Env.DIGEST_TIME].split(":")
    assert (hour, 0 < int(minute) < 30) == ("09", True)
    assert digest["spec"]["schedule"] == f"{int(minute)} 7,8,9,10,11 * * 0"
    assert {"name": Env.DIGEST_TIME.value, "value": "09:00"} in container_of(sync_of(template))["env"]


@pytest.mark.parametrize(
    ("edit", "sync", "digest"),
    [
        ({"calendarSync": {"every": "1h"}}, True, False),
        ({"calendarSync": {"enabled": False}}, True, False),
        ({"digest": {"enabled": False}}, False, True),
        ({"digest": {"time": "10:00"}}, True, True),  # the sync tells the database
        ({"priority": "high"}, False, False),  # without priority classes
        ({"suspend": True}, True, True),
    ],
)
def test_an_edit_changes_no_manifest_that_need_not_change(edit: dict[str, Any], sync: bool, digest: bool) -> None:
    before, after = (sync_of(), digest_of()), (sync_of(**edit), digest_of(**edit))
    assert [one != other for one, other in zip(before, after, strict=True)] == [sync, digest]


def test_the_digests_pod_knows_since_when_it_runs_so_that_nothing_is_caught_up_on() -> None:
    cronjobs = desired_cronjobs(schedule(), TEMPLATE, {DIGEST: "2026-11-23T09:00:00Z"})
    sync, digest = cronjobs[SYNC], cronjobs[DIGEST]
    assert {"name": "CATCHUP_DIGEST_SINCE", "value": "2026-11-23T09:00:00Z"} in container_of(digest)["env"]
    assert "CATCHUP_DIGEST_SINCE" not in {entry["name"] for entry in container_of(sync)["env"]}


def test_switched_off_is_suspended_never_absent() -> None:
    assert sync_of()["spec"]["suspend"] is False
    assert sync_of(suspend=True)["spec"]["suspend"] is True
    assert sync_of(calendarSync={"enabled": False})["spec"]["suspend"] is True
    assert digest_of(calendarSync={"enabled": False})["spec"]["suspend"] is False
    assert digest_of(suspend=True)["spec"]["suspend"] is True
    assert digest_of(digest={"enabled": False})["spec"]["suspend"] is True
    assert sync_of(digest={"enabled": False})["spec"]["suspend"] is False


@pytest.mark.parametrize(("every", "starting"), [("5m", 600), ("8h", 600), ("12h", 39600), ("24h", 82800)])
def test_a_sync_that_runs_once_or_twice_a_day_starts_late_after_an_outage_of_a_night(every: str, starting: int) -> None:
    assert sync_of(calendarSync={"every": every})["spec"]["startingDeadlineSeconds"] == starting
    assert digest_of(calendarSync={"every": every})["spec"]["startingDeadlineSeconds"] == 7200


@pytest.mark.parametrize(("kind", "starting", "active"), [(SYNC, 600, 600), (DIGEST, 7200, 900)])
def test_the_job_is_bounded_and_retried_as_the_contract_says(kind: Kind, starting: int, active: int) -> None:
    spec = cronjob_of(kind)["spec"]
    assert spec["concurrencyPolicy"] == "Allow"
    assert spec["startingDeadlineSeconds"] == starting
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (3, active)
    assert "ttlSecondsAfterFinished" not in job
    ignore, fail = job["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [65, 78])


@pytest.mark.parametrize("job", [SYNC, DIGEST])
def test_pods_fit_the_restricted_profile_and_hold_no_service_account_token(job: Kind) -> None:
    cronjob = cronjob_of(job)
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container_of(cronjob)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_the_installation_cannot_override_what_the_contract_hands_to_the_pod() -> None:
    template = JobTemplate(
        image="x",
        env=({"name": Env.TIME_ZONE.value, "value": "Mars/Base"}, {"name": "CATCHUP_REDIS_URL", "value": "redis://r"}),
        pod_labels={"catchup.dev/job": "other", "team": "people"},
    )
    cronjob = sync_of(template, timeZone="Europe/Berlin")
    env = [(entry["name"], entry.get("value")) for entry in container_of(cronjob)["env"]]
    assert ("CATCHUP_TIME_ZONE", "Europe/Berlin") in env
    assert ("CATCHUP_REDIS_URL", "redis://r") in env
    assert len({name for name, _ in env}) == len(env)
    labels = cronjob["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert labels["catchup.dev/job"] == "sync"
    assert labels["team"] == "people"


@pytest.mark.parametrize(("priority", "expected"), [("low", "people-low"), ("high", "gold"), ("normal", "of-the-pod")])
def test_a_users_priority_becomes_the_priority_class_of_the_pods(priority: str, expected: str) -> None:
    template = JobTemplate(
        image="x", pod={"priorityClassName": "of-the-pod"}, priority_classes={"low": "people-low", "high": "gold"}
    )
    for job in (SYNC, DIGEST):
        pod = cronjob_of(job, template, priority=priority)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["priorityClassName"] == expected


def test_without_priority_classes_a_pod_names_none() -> None:
    pod = sync_of(priority="high")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "priorityClassName" not in pod


def test_the_slot_and_the_run_reach_the_pod_by_the_downward_api() -> None:
    cronjob = sync_of()
    env = {entry["name"]: entry for entry in container_of(cronjob)["env"]}
    paths = {name: entry["valueFrom"]["fieldRef"]["fieldPath"] for name, entry in env.items() if "valueFrom" in entry}
    assert paths == {
        "CATCHUP_JOB_NAME": "metadata.labels['batch.kubernetes.io/job-name']",
        "CATCHUP_JOB_UID": "metadata.labels['batch.kubernetes.io/controller-uid']",
        "CATCHUP_POD_UID": "metadata.uid",
    }
    assert env["CATCHUP_CRONJOB_NAME"]["value"] == cronjob["metadata"]["name"]


def test_no_value_of_the_resource_can_be_expanded_by_kubernetes() -> None:
    texts = re.findall(r"\$\(", str(desired_cronjobs(schedule(), TEMPLATE, {})))
    assert texts == []


def test_the_garbage_collector_can_delete_what_the_resource_owned() -> None:
    (owner,) = sync_of()["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "name": "ada",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_the_same_input_gives_the_same_manifests() -> None:
    assert desired_cronjobs(schedule(), TEMPLATE, {}) == desired_cronjobs(schedule(), TEMPLATE, {})


@pytest.mark.parametrize("job", [SYNC, DIGEST])
def test_cronjob_job_and_pod_carry_the_labels_by_which_runs_are_found(job: Kind) -> None:
    cronjob = cronjob_of(job)
    template = cronjob["spec"]["jobTemplate"]
    for metadata in (cronjob["metadata"], template["metadata"], template["spec"]["template"]["metadata"]):
        assert metadata["labels"]["catchup.dev/job"] == job.name
        assert metadata["labels"]["catchup.dev/user-schedule"] == "ada"


def test_of_what_the_template_names_twice_the_last_is_applied_once() -> None:
    template = JobTemplate(
        image="x",
        env=({"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}),
        pod={"imagePullSecrets": [{"name": "registry"}, {"name": "registry"}]},
        volumes=({"name": "tmp", "emptyDir": {}}, {"name": "ca", "secret": {}}, {"name": "ca", "configMap": {}}),
        volume_mounts=({"name": "ca", "mountPath": "/tmp"}, {"name": "ca", "mountPath": "/ca"}),
    )
    (sync, _) = desired_cronjobs(schedule(), template, {}).values()
    pod = sync["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    env = [(entry["name"], entry.get("value")) for entry in container_of(sync)["env"]]
    assert env[-2:] == [("A", "3"), ("B", "2")]
    assert [name for name, _ in env].count("A") == 1
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}, {"name": "ca", "configMap": {}}]
    assert container_of(sync)["volumeMounts"] == [
        {"name": "ca", "mountPath": "/tmp"},
        {"name": "ca", "mountPath": "/ca"},
    ]
