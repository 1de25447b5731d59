from __future__ import annotations

import re
from typing import Any

from unit.operator.factories import TEMPLATE, schedule

from catchup_jobs.contract import Env, Job
from catchup_operator.desired import desired
from catchup_operator.template import JobTemplate


def sync_of(template: JobTemplate = TEMPLATE, **spec: Any) -> dict[str, Any]:
    (found,) = [
        item for item in desired(schedule(spec), template) if item["metadata"]["labels"]["catchup.dev/job"] == "sync"
    ]
    return found


def container_of(cronjob: dict[str, Any]) -> dict[str, Any]:
    (found,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_sync_runs_in_utc_whatever_the_users_zone() -> None:
    assert sync_of(timeZone="Asia/Kathmandu")["spec"]["timeZone"] == "Etc/UTC"


def test_switched_off_is_suspended_never_absent() -> None:
    assert sync_of()["spec"]["suspend"] is False
    assert sync_of(suspend=True)["spec"]["suspend"] is True
    assert sync_of(calendarSync={"enabled": False})["spec"]["suspend"] is True


def test_the_job_is_bounded_and_retried_as_the_contract_says() -> None:
    spec = sync_of()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 600
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (3, 600)
    assert "ttlSecondsAfterFinished" not in job
    ignore, fail = job["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [65, 78])


def test_pods_fit_the_restricted_profile_and_hold_no_service_account_token() -> None:
    cronjob = sync_of()
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
    texts = re.findall(r"\$\(", str(desired(schedule(), TEMPLATE)))
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
    assert desired(schedule(), TEMPLATE) == desired(schedule(), TEMPLATE)


def test_cronjob_job_and_pod_carry_the_labels_by_which_runs_are_found() -> None:
    cronjob = sync_of()
    template = cronjob["spec"]["jobTemplate"]
    for metadata in (cronjob["metadata"], template["metadata"], template["spec"]["template"]["metadata"]):
        assert metadata["labels"]["catchup.dev/job"] == Job.SYNC
        assert metadata["labels"]["catchup.dev/user-schedule"] == "ada"
