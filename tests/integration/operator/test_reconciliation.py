"""The operator with a real API server: what it applies, what it writes, what it repairs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from admission import apply_policy
from integration.operator.conftest import JOB_TEMPLATE, Namespace
from integration.operator.operator_process import OperatorProcess
from integration.services import free_port
from kopf.testing import KopfRunner
from scraping import answers
from waiting import eventually

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count, Summary
from catchup_dev.console import Failure
from catchup_operator.manifests.names import cronjob_name
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.conditions import find_condition

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]

# The garbage collector discovers new API resources every 30 seconds.
GARBAGE_SECONDS = 60


def same(cronjob: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in every final state: spec, labels and owner; not uids, versions and times."""
    metadata = cronjob["metadata"]
    return {
        "name": metadata["name"],
        "labels": metadata["labels"],
        "owners": metadata["ownerReferences"],
        "spec": cronjob["spec"],
    }


def test_a_resource_becomes_two_cronjobs_and_a_status_with_exactly_three_writes(
    operator: KopfRunner, namespace: Namespace
) -> None:
    before = namespace.writes()
    namespace.apply("ada", timeZone="Europe/Berlin", digest={"day": "Friday", "time": "18:30"})
    found = namespace.ready()["status"]
    for kind in (SYNC, DIGEST):
        cronjob = namespace.cronjob(kind)
        assert found[kind.name]["cronJobName"] == cronjob["metadata"]["name"]
        assert found[kind.name]["schedule"] == cronjob["spec"]["schedule"]
    assert (found["sync"]["display"], found["digest"]["display"]) == ("every 30m", "Friday 18:30")
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\d 18:30 CES?T(, clock changes before)? \(UTC\+0[12]:00\)", found["digest"]["nextRuns"][0]
    )
    row = namespace.kubectl("get", "us", "ada", "--no-headers")
    assert "Friday 18:30" in row
    assert found["digest"]["nextRuns"][0] in row
    assert namespace.writes() - before == 3


def test_the_controller_takes_the_schedule_of_every_kind_of_zone(operator: KopfRunner, namespace: Namespace) -> None:
    zones = {
        "berlin": "Europe/Berlin",
        "beirut": "Asia/Beirut",
        "chatham": "Pacific/Chatham",
        "howe": "Australia/Lord_Howe",
    }
    for name, zone in zones.items():
        namespace.apply(name, timeZone=zone)
    assert {namespace.ready(name)["status"]["digest"]["timeZone"] for name in zones} == {"Etc/UTC"}
    assert len(namespace.items("cronjobs")) == 8


def test_an_edit_of_the_spec_changes_the_cronjob_and_an_edit_of_labels_writes_nothing(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    before = namespace.writes()
    namespace.kubectl("label", "us", "ada", "team=people")
    namespace.kubectl("annotate", "us", "ada", "note=hello")
    namespace.apply("bob")
    namespace.ready("bob")
    assert namespace.writes() - before == 3  # bob's
    namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    namespace.ready()
    cronjobs = namespace.items("cronjobs", "catchup.dev/user-schedule=ada")
    assert [cronjob["spec"]["suspend"] for cronjob in cronjobs] == [True, True]
    assert namespace.writes() - before == 6


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        ({"calendarSync": {"every": "1h"}}, {"sync"}),
        ({"digest": {"enabled": False}}, {"digest"}),
        ({"digest": {"time": "10:00"}}, {"sync", "digest"}),  # the sync tells the database of it
        ({"priority": "high"}, set()),  # without priority classes
    ],
)
def test_an_edit_writes_only_the_cronjobs_that_it_changes_and_the_status(
    operator: KopfRunner, namespace: Namespace, edit: dict[str, Any], changed: set[str]
) -> None:
    namespace.apply("ada")
    namespace.ready()
    let_the_operator_see_its_cronjobs(namespace)
    before = namespace.writes()
    namespace.apply("ada", **edit)
    status = namespace.ready()["status"]
    assert {job for job in ("sync", "digest") if status[job]["cronJobGeneration"] == 2} == changed
    assert namespace.writes() - before == len(changed) + 1
    for kind in (SYNC, DIGEST):
        assert namespace.cronjob(kind)["metadata"]["generation"] == status[kind.name]["cronJobGeneration"]


def let_the_operator_see_its_cronjobs(namespace: Namespace) -> None:
    """Wait until its watch has told of them: it tells in order, so edit another one and see that repaired."""
    namespace.apply("other")
    name = namespace.ready("other")["status"]["sync"]["cronJobName"]
    namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    eventually(lambda: not namespace.get("cronjobs", name)["spec"]["suspend"])
    namespace.kubectl("delete", "us", "other")
    eventually(lambda: len(namespace.items("cronjobs")) == 2)


def test_an_edit_while_the_operator_is_down_writes_no_more_than_one_before_its_eyes(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
    before = namespace.writes()
    namespace.apply("ada", digest={"enabled": False})
    with operator_process():
        namespace.ready()
    # At its start it may reconcile the resource before the watch has reported the CronJobs.
    assert namespace.writes() - before in {2, 3}
    assert namespace.cronjob(DIGEST)["spec"]["suspend"] is True


def test_a_resumed_digest_says_since_when_so_that_nothing_is_caught_up_on(
    operator: KopfRunner, namespace: Namespace
) -> None:
    def since() -> str | None:
        job = namespace.cronjob(DIGEST)["spec"]["jobTemplate"]["spec"]
        env = {entry["name"]: entry.get("value") for entry in job["template"]["spec"]["containers"][0]["env"]}
        return env.get("CATCHUP_DIGEST_SINCE")

    namespace.apply("ada")
    made = namespace.ready()["status"]["digest"]["activeSince"]
    assert since() == made
    namespace.apply("ada", digest={"time": "10:00"})
    assert namespace.ready()["status"]["digest"]["activeSince"] == made
    namespace.apply("ada", suspend=True)
    namespace.ready()
    assert since() is None
    time.sleep(1)
    namespace.apply("ada", suspend=False)
    resumed = namespace.ready()["status"]["digest"]["activeSince"]
    assert since() == resumed > made


def test_a_cronjob_deleted_or_edited_by_hand_comes_back(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    wanted = same(namespace.cronjob())
    name = wanted["name"]
    for harm in (
        ["delete", "cronjob", name],
        ["patch", "cronjob", name, "--type=merge", "-p", '{"spec":{"schedule":"1 1 1 1 *","suspend":true}}'],
        ["patch", "cronjob", name, "--type=merge", "-p", '{"metadata":{"ownerReferences":null}}'],
        ["label", "cronjob", name, "catchup.dev/job-"],
    ):
        namespace.kubectl(*harm)
        eventually(lambda: same(namespace.cronjob()) == wanted)
    eventually(lambda: namespace.schedule()["status"]["sync"]["cronJobUID"] == namespace.cronjob()["metadata"]["uid"])


@pytest.mark.parametrize("seen", ["at once", "after a restart"])
def test_a_cronjob_that_is_deleted_and_held_by_a_finalizer_is_told_and_made_again_when_it_is_gone(
    operator_process: StartOperator, namespace: Namespace, seen: str
) -> None:
    def condition() -> dict[str, Any]:
        return dict(find_condition(namespace.schedule()["status"], "Ready"))

    def hold_and_delete() -> None:
        namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
        namespace.kubectl("delete", "cronjob", name, "--wait=false")

    namespace.apply()
    with operator_process():
        namespace.ready()
        name, uid = (namespace.cronjob()["metadata"][field] for field in ("name", "uid"))
        if seen == "at once":
            hold_and_delete()
            eventually(lambda: condition()["reason"] == "CronJobTerminating")
    if seen != "at once":
        hold_and_delete()
    with operator_process():
        told = eventually(lambda: (found := condition())["reason"] == "CronJobTerminating" and found)
        assert told["status"] == "False"
        assert f"CronJob {name} is being deleted and waits for a.example/b;" in told["message"]
        assert find_condition(namespace.schedule()["status"], "Reconciling")["status"] == "True"
        namespace.apply(calendarSync={"every": "1h"})
        eventually(lambda: namespace.schedule()["status"]["observedGeneration"] == 2)
        assert condition()["status"] == "False"
        assert namespace.get("cronjobs", name)["metadata"]["uid"] == uid
        namespace.kubectl("patch", "cronjob", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        assert namespace.ready()["status"]["sync"]["display"] == "every 1h"
        assert namespace.cronjob()["metadata"]["uid"] != uid


@pytest.mark.parametrize("seen", ["at once", "after a restart"])
def test_the_cronjobs_of_a_user_schedule_that_is_deleted_and_held_by_a_finalizer_are_suspended_and_that_is_told(
    operator_process: StartOperator, namespace: Namespace, seen: str
) -> None:
    def hold_and_delete() -> None:
        namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
        namespace.kubectl("delete", "us", "ada", "--wait=false")

    def condition() -> dict[str, Any]:
        return dict(find_condition(namespace.schedule()["status"], "Ready"))

    namespace.apply("ada")
    with operator_process():
        namespace.ready("ada")
        if seen == "at once":
            hold_and_delete()
            eventually(lambda: condition()["reason"] == "Terminating")
    if seen != "at once":
        hold_and_delete()
    with operator_process():
        told = eventually(lambda: (found := condition())["reason"] == "Terminating" and found)
        assert (told["status"], "waits for a.example/b;" in told["message"]) == ("False", True)
        assert [item["spec"]["suspend"] for item in namespace.items("cronjobs")] == [True, True]
        namespace.apply("other", userId="ada")
        namespace.ready("other")
        assert sorted(item["spec"]["suspend"] for item in namespace.items("cronjobs")) == [False, False, True, True]
        namespace.kubectl("patch", "us", "ada", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        eventually(lambda: len(namespace.items("cronjobs")) == 2)


def test_harm_done_while_the_operator_was_down_is_healed_at_its_start(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.apply("bob")
    namespace.apply("gone")
    with operator_process():
        for name in ("ada", "bob", "gone"):
            namespace.ready(name)
    wanted = [same(item) for item in namespace.items("cronjobs", "catchup.dev/user-schedule in (ada,bob)")]
    deleted, _, edited, _ = (item["name"] for item in wanted)
    namespace.kubectl("delete", "cronjob", deleted)
    namespace.kubectl("patch", "cronjob", edited, "--type=merge", "-p", '{"spec":{"schedule":"1 1 1 1 *"}}')
    namespace.kubectl("delete", "us", "gone", "--timeout=120s")
    with operator_process():
        eventually(lambda: [same(item) for item in namespace.items("cronjobs")] == wanted, seconds=GARBAGE_SECONDS)


def test_a_restart_with_nothing_changed_writes_nothing(operator_process: StartOperator, namespace: Namespace) -> None:
    for name in ("ada", "bob"):
        namespace.apply(name)
    with operator_process():
        for name in ("ada", "bob"):
            namespace.ready(name)
    before = namespace.writes()
    with operator_process():
        namespace.apply("carol")
        namespace.ready("carol")
        namespace.kubectl("delete", "cronjob", "-l", "catchup.dev/user-schedule=carol,catchup.dev/job=digest")
        eventually(lambda: len(namespace.items("cronjobs")) == 6)
        eventually(lambda: namespace.writes() - before == 5)  # carol's three and the repair's two


def test_a_changed_template_rolls_every_cronjob_once(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    for name in ("ada", "bob"):
        namespace.apply(name)
    with operator_process():
        for name in ("ada", "bob"):
            namespace.ready(name)
    template = {**JOB_TEMPLATE, "image": "catchup-jobs:next"}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    before = namespace.writes()

    def images() -> set[str]:
        pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in namespace.items("cronjobs")]
        return {pod["containers"][0]["image"] for pod in pods}

    with operator_process():
        eventually(lambda: images() == {"catchup-jobs:next"})
        eventually(lambda: namespace.writes() - before == 6)


def test_a_roll_is_no_faster_than_the_settings_say_and_a_new_start_goes_on_where_it_was(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    names = [f"u{number}" for number in range(5)]
    for name in names:
        namespace.apply(name)
    with operator_process():
        for name in names:
            namespace.ready(name)
    template = {**JOB_TEMPLATE, "image": "catchup-jobs:next"}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    operator_env["CATCHUP_ROLL_PER_SECOND"] = "1"
    operator_env["CATCHUP_HEALTH_PORT"] = port = str(free_port())

    def progress() -> tuple[int, int]:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        told = dict(line.rsplit(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))
        return int(float(told["catchup_operator_rolled_total"])), int(float(told["catchup_operator_roll_waiting"]))

    def rolled() -> int:
        pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in namespace.items("cronjobs")]
        return sum(pod["containers"][0]["image"] == "catchup-jobs:next" for pod in pods)

    before = namespace.writes()
    with operator_process() as process:
        eventually(lambda: rolled() >= 2)
        eventually(lambda: min(progress()) >= 1 and sum(progress()) == 5)
        process.kill()
    assert rolled() < 10
    began = time.monotonic()
    left = 5 - (rolled() + 1) // 2
    with operator_process():
        eventually(lambda: rolled() == 10)
        assert time.monotonic() - began >= left - 1
        assert progress()[1] == 0
        eventually(lambda: namespace.writes() - before >= 15)
    # Two UserSchedules may have been in the middle of their three writes at the kill, where the machine is slow.
    assert namespace.writes() - before <= 15 + 2 * 2


def test_deleting_the_resource_deletes_its_cronjob_and_nothing_hangs(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    assert "finalizers" not in namespace.ready()["metadata"]
    before = namespace.writes()
    namespace.kubectl("delete", "us", "ada", "--timeout=120s")
    eventually(lambda: namespace.items("cronjobs") == [], seconds=GARBAGE_SECONDS)
    assert namespace.writes() == before


def test_a_recreated_resource_gets_a_cronjob_of_its_own(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply("ada")
    first = namespace.ready()
    namespace.kubectl("delete", "us", "ada")
    namespace.apply("ada")
    second = namespace.ready()
    assert first["status"]["sync"]["cronJobName"] != second["status"]["sync"]["cronJobName"]

    def owners() -> list[str]:
        return [item["metadata"]["ownerReferences"][0]["uid"] for item in namespace.items("cronjobs")]

    eventually(lambda: owners() == [second["metadata"]["uid"]] * 2, seconds=GARBAGE_SECONDS)


def quota(namespace: Namespace) -> list[str]:
    """Forbid CronJobs by a quota; return what must be deleted to allow them again."""
    namespace.kubectl("create", "quota", "none", "--hard=count/cronjobs.batch=0")
    eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
    return ["quota/none"]


def is_refused(namespace: Namespace) -> bool:
    try:
        namespace.kubectl("create", "cronjob", "probe", "--image=x", "--schedule=1 1 1 1 *", "--dry-run=server")
    except Failure:
        return True
    return False


def policy(
    namespace: Namespace,
    operation: str = "CREATE",
    *,
    reason: str = "Invalid",
    of: tuple[str, str] = ("batch", "cronjobs"),
) -> list[str]:
    """Forbid an operation on CronJobs, or on others, by an admission policy; return what to delete to allow it again.

    `of` is the group and the resource.
    """
    name, (group, resource) = namespace.name, of
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    made = apply_policy(
        namespace.cluster,
        name,
        {
            "ValidatingAdmissionPolicy": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": "false", "message": "no CronJobs on Sundays", "reason": reason}],
            },
            "ValidatingAdmissionPolicyBinding": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": here,
            },
        },
    )
    if operation == "CREATE":
        eventually(lambda: is_refused(namespace))
    return made


def webhook(namespace: Namespace) -> list[str]:
    """Let every CronJob be asked of a webhook that does not answer."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["cronjobs"]}
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace.name},
        "webhooks": [
            {
                "name": "gone.example.com",
                "clientConfig": {"url": "https://127.0.0.1:1"},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            }
        ],
    }
    namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))
    eventually(lambda: is_refused(namespace))
    return [f"validatingwebhookconfiguration/{namespace.name}"]


@pytest.mark.parametrize(
    ("forbid", "reason", "progress", "words"),
    [
        (quota, "CronJobRefused", "Stalled", "exceeded quota"),
        (policy, "CronJobRefused", "Stalled", "no CronJobs on Sundays"),
        (webhook, "WebhookFailed", "Reconciling", "see that the webhook's pods run"),
    ],
)
def test_what_the_api_server_refuses_is_told_in_the_status_and_heals_by_itself(
    namespace: Namespace,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    forbid: Callable[[Namespace], list[str]],
    reason: str,
    progress: str,
    words: str,
) -> None:
    for retry in ("_REFUSED_MAX_SECONDS", "_UNNOTICED_RETRY_SECONDS"):
        monkeypatch.setattr(f"catchup_operator.reconcile.refusals.{retry}", 1.0)
    request.getfixturevalue("operator")
    cause = forbid(namespace)
    namespace.apply("ada")

    def ready() -> dict[str, Any]:
        conditions = (namespace.schedule().get("status") or {}).get("conditions") or []
        return next((each for each in conditions if each["type"] == "Ready"), {})

    refused = eventually(ready)
    assert (refused["status"], refused["reason"]) == ("False", reason)
    assert words in refused["message"]
    # What Flux goes by: a webhook that is away for a moment is no failure.
    conditions = namespace.schedule()["status"]["conditions"]
    assert [c["type"] for c in conditions if c["type"] in {"Stalled", "Reconciling"}] == [progress]
    namespace.kubectl("delete", *cause)
    namespace.ready()


def test_a_template_that_the_api_server_cannot_type_is_a_refusal_at_once_and_visible(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    file = Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"])
    # No field of the client's models has a wrong type: only the server knows that it has none of this name.
    file.write_text(yaml.safe_dump({**JOB_TEMPLATE, "pod": {"tolerations": [{"aFieldOfAnotherServer": 5}]}}))
    namespace.apply("ada")
    with operator_process():
        refused = eventually(lambda: find_condition(namespace.schedule().get("status") or {}, "Ready"))
    assert (refused["status"], refused["reason"]) == ("False", "CronJobRefused")
    assert "field not declared in schema" in refused["message"]
    assert "False" in namespace.kubectl("get", "us", "ada", "--no-headers")
    file.write_text(yaml.safe_dump(JOB_TEMPLATE))
    with operator_process():
        namespace.ready()


def test_of_variables_that_the_template_names_twice_the_last_one_reaches_the_pods(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "CATCHUP_TIME_ZONE", "value": "x"}]
    pod = {"imagePullSecrets": [{"name": "pull"}, {"name": "pull"}]}
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "b", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]
    template = {**JOB_TEMPLATE, "env": [*JOB_TEMPLATE["env"], *twice], "pod": pod, "volumes": volumes}
    Path(operator_env["CATCHUP_JOB_TEMPLATE_FILE"]).write_text(yaml.safe_dump(template))
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
    spec = namespace.cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    env = [(entry["name"], entry.get("value")) for entry in spec["containers"][0]["env"]]
    assert [value for name, value in env if name == "A"] == ["2"]
    assert ("CATCHUP_TIME_ZONE", "x") not in env


@pytest.mark.parametrize("job", [SYNC, DIGEST])
def test_a_cronjob_of_the_wanted_name_that_is_not_ours_is_never_taken(
    namespace: Namespace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, job: Kind
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.refusals._REFUSED_MAX_SECONDS", 1.0)
    namespace.apply("ada")
    name = cronjob_name(UserSchedule.from_body(namespace.schedule()), job)
    namespace.kubectl("create", "cronjob", name, "--image=theirs", "--schedule=1 1 1 1 *")
    theirs = namespace.get("cronjobs", name)
    request.getfixturevalue("operator")
    ready = eventually(lambda: find_condition(namespace.schedule().get("status") or {}, "Ready"))
    assert (ready["status"], ready["reason"]) == ("False", "CronJobRefused")
    assert f"a CronJob {name} exists and is not ours; delete or rename it" in ready["message"]
    time.sleep(3)  # it tries again meanwhile
    assert namespace.get("cronjobs", name) == theirs
    namespace.kubectl("delete", "cronjob", name)
    namespace.ready()
    assert namespace.get("cronjobs", name)["metadata"]["ownerReferences"][0]["name"] == "ada"


@pytest.mark.usefixtures("operator")
def test_what_somebody_writes_about_a_cronjob_into_the_status_goes_with_the_next_edit(namespace: Namespace) -> None:
    namespace.apply("ada")
    before = namespace.ready("ada")["status"]["digest"]
    wrong = {"cronJobName": "another", "schedule": "1 1 1 1 *", "timeZone": "Asia/Tokyo"}
    patch = json.dumps({"status": {"digest": wrong}})
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", patch)
    assert namespace.schedule("ada")["status"]["digest"]["cronJobName"] == "another"
    namespace.apply("ada", calendarSync={"every": "1h"})
    after = namespace.ready("ada")["status"]["digest"]
    assert {name: after[name] for name in wrong} == {name: before[name] for name in wrong}


def test_a_next_digest_that_passed_without_a_run_is_replaced_by_the_next_one_with_one_write(
    operator_process: StartOperator,
    namespace: Namespace,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    namespace.apply("ada", timeZone="Europe/Berlin")
    with operator_process():
        true = namespace.ready()["status"]["digest"]["nextRuns"]
    # As after a week without the operator.
    passed = {"status": {"digest": {"nextRuns": ["passed", *true[:2]], "nextRunTimes": ["2026-01-04T08:00:00Z"]}}}
    namespace.kubectl("patch", "us", "ada", "--subresource=status", "--type=merge", "-p", json.dumps(passed))
    before = namespace.writes()
    request.getfixturevalue("operator")
    eventually(lambda: namespace.schedule()["status"]["digest"]["nextRuns"] == true)
    assert true[0] in namespace.kubectl("get", "us", "ada", "--no-headers")
    time.sleep(2)
    assert namespace.writes() - before == 1


def finish_job(
    namespace: Namespace, name: str, *, exit_code: int, message: str, others: Sequence[dict[str, Any]] = ()
) -> None:
    """Report, as a kubelet does, that the pod of a Job has terminated."""
    pod = eventually(lambda: namespace.items("pods", f"batch.kubernetes.io/job-name={name}"))[0]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    terminated = {"exitCode": exit_code, "message": message, "startedAt": now, "finishedAt": now, "reason": "x"}
    status = {
        "phase": "Failed" if exit_code else "Succeeded",
        "containerStatuses": [
            {
                "name": "job",
                "image": "x",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": terminated},
            },
            *others,
        ],
    }
    namespace.cluster.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}/status",
        {"status": status},
        content_type="application/strategic-merge-patch+json",
    )


def summary(outcome: Outcome, reason: Reason | None = None, *, kind: Kind = SYNC) -> str:
    now = datetime.now(UTC)
    return Summary(kind, outcome, now, now, 1, reason, {Count.CALENDARS: 2, Count.EVENTS_ADDED: 7}).to_json()


def run_by_hand(namespace: Namespace, job: str) -> None:
    namespace.kubectl("create", "job", job, f"--from=cronjob/{namespace.cronjob()['metadata']['name']}")


def test_a_finished_run_reaches_the_status_with_its_counts_by_one_write(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "now")
    before = namespace.writes()
    finish_job(namespace, "now", exit_code=0, message=summary(Outcome.DONE))
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastResult"], sync["lastJobName"], sync["consecutiveFailures"]) == ("Succeeded", "now", 0)
    assert sync["counts"] == {"calendars": 2, "eventsAdded": 7}
    assert sync["lastSuccessTime"] == sync["lastRunTime"]
    assert namespace.writes() - before == 1


def test_a_run_that_no_controller_reference_names_counts_and_a_sidecars_end_does_not(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    cronjob = namespace.cronjob()
    # As kubectl up to 1.27 and Argo CD's "Create Job" make it.
    owner = {"apiVersion": "batch/v1", "kind": "CronJob"} | {key: cronjob["metadata"][key] for key in ("name", "uid")}
    template = cronjob["spec"]["jobTemplate"]
    metadata = {**template["metadata"], "name": "argo", "ownerReferences": [owner]}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}
    namespace.kubectl("create", "-f", "-", stdin=json.dumps(made))
    sidecar = {"name": "mesh", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    ended = {"exitCode": 0, "message": summary(Outcome.DONE), "finishedAt": "2036-01-01T00:00:00Z", "reason": "x"}
    finish_job(
        namespace,
        "argo",
        exit_code=0,
        message=summary(Outcome.SKIPPED, Reason.RECONNECT),
        others=[{**sidecar, "state": {"terminated": ended}}],
    )
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastJobName"], sync["lastResult"], sync["lastReason"]) == ("argo", "Skipped", "Reconnect")


def test_a_digest_run_reaches_the_status_by_one_write_and_its_later_firings_by_none(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    cronjob = namespace.cronjob(DIGEST)["metadata"]["name"]
    before = namespace.writes()
    for job, outcome in (
        (f"{cronjob}-29401200", summary(Outcome.DONE, kind=DIGEST)),
        (f"{cronjob}-29401260", summary(Outcome.SKIPPED, Reason.ALREADY_DONE, kind=DIGEST)),
    ):
        namespace.kubectl("create", "job", job, f"--from=cronjob/{cronjob}")
        finish_job(namespace, job, exit_code=0, message=outcome)
        digest = eventually(lambda: (s := namespace.schedule()["status"]["digest"]).get("lastResult") and s)
    eventually(lambda: namespace.get("jobs", job)["status"].get("succeeded"))
    namespace.apply("bob")
    namespace.ready("bob")
    digest = namespace.schedule()["status"]["digest"]
    assert (digest["lastResult"], digest["lastJobName"]) == ("Succeeded", f"{cronjob}-29401200")
    assert namespace.writes() - before == 4  # one, and bob's three


def test_a_permanent_failure_ends_the_job_at_once_and_its_reason_reaches_the_status(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "now")
    finish_job(namespace, "now", exit_code=65, message=summary(Outcome.FAILED, Reason.UNKNOWN_USER))
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastResult"], sync["lastReason"], sync["consecutiveFailures"]) == ("Failed", "UnknownUser", 1)
    assert "import the user" in sync["lastError"]["message"]
    assert len(namespace.items("pods")) == 1


def test_a_run_of_which_no_pod_ever_began_says_what_its_namespace_should_hold(
    operator: KopfRunner, namespace: Namespace
) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "stuck")  # as a pod is whose Secret is missing
    eventually(lambda: namespace.items("pods"))
    namespace.kubectl("patch", "job", "stuck", "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastResult"], sync["lastReason"]) == ("Failed", "DeadlineExceeded")
    assert f"see whether {namespace.name} holds Secret database" in sync["lastError"]["message"]


@pytest.fixture
def impatient_operator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator, which looks at Jobs that wait at once."""
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.5)
    monkeypatch.setattr("catchup_operator.state.waiting_jobs._FIRST_LOOK", timedelta(0))
    request.getfixturevalue("operator")


def healthy(namespace: Namespace) -> tuple[str, str, str]:
    found = find_condition(namespace.schedule()["status"], "SyncHealthy")
    return found["status"], found["reason"], found["message"]


@pytest.mark.usefixtures("impatient_operator")
def test_a_job_whose_pods_are_never_made_is_explained_by_its_events_until_it_is_gone(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    namespace.kubectl("create", "quota", "none", "--hard=count/pods=0")
    eventually(lambda: namespace.get("resourcequotas", "none").get("status", {}).get("hard"))
    before = namespace.writes()
    run_by_hand(namespace, "blocked")
    eventually(lambda: healthy(namespace)[:2] == ("False", "FailedCreate"), seconds=60)
    message = healthy(namespace)[2]
    assert message.startswith("a pod of Job blocked has not started: ")
    assert "exceeded quota: none" in message
    time.sleep(3)  # it looks again meanwhile
    assert namespace.writes() - before == 1
    namespace.kubectl("delete", "job", "blocked")
    eventually(lambda: healthy(namespace)[:2] == ("Unknown", "NoRunYet"))


def set_pod_status(namespace: Namespace, job: str, status: dict[str, Any]) -> None:
    """Report the state of a Job's pod as a kubelet does."""
    pod = eventually(lambda: namespace.items("pods", f"batch.kubernetes.io/job-name={job}"))[0]["metadata"]["name"]
    container = {"name": "job", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    state = {"containerStatuses": [{**container, "state": status.pop("state")}], **status}
    namespace.kubectl("patch", "pod", pod, "--subresource=status", "-p", json.dumps({"status": state}))


@pytest.mark.usefixtures("impatient_operator")
def test_a_job_whose_pod_does_not_start_is_explained_by_the_pod_until_it_starts(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "stuck")
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "database" not found'}
    set_pod_status(namespace, "stuck", {"phase": "Pending", "state": {"waiting": waiting}})
    eventually(lambda: healthy(namespace)[:2] == ("False", "CreateContainerConfigError"), seconds=60)
    assert healthy(namespace)[2] == 'a pod of Job stuck has not started: secret "database" not found'
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    running = {"phase": "Running", "state": {"running": {"startedAt": now}}}
    set_pod_status(namespace, "stuck", {**running, "conditions": [{"type": "Ready", "status": "True"}]})
    eventually(lambda: healthy(namespace)[:2] == ("Unknown", "NoRunYet"))
    finish_job(namespace, "stuck", exit_code=0, message=summary(Outcome.DONE))
    eventually(lambda: healthy(namespace)[:2] == ("True", "Succeeded"))


@pytest.mark.usefixtures("impatient_operator")
def test_a_run_that_ends_at_its_deadline_without_a_pod_keeps_what_its_pod_said(namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    run_by_hand(namespace, "stuck")
    waiting = {"reason": "ErrImagePull", "message": "no such tag"}
    set_pod_status(namespace, "stuck", {"phase": "Pending", "state": {"waiting": waiting}})
    eventually(lambda: healthy(namespace)[1] == "ImagePullBackOff", seconds=60)
    namespace.kubectl("patch", "job", "stuck", "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastResult"], sync["lastReason"]) == ("Failed", "ImagePullBackOff")
    assert sync["lastError"]["message"] == "Job stuck failed: no pod of it started: no such tag"


def test_results_that_came_while_the_operator_was_down_are_picked_up(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
    run_by_hand(namespace, "now")
    finish_job(namespace, "now", exit_code=0, message=summary(Outcome.SKIPPED, Reason.RECONNECT))
    eventually(lambda: namespace.get("jobs", "now")["status"].get("succeeded"))
    with operator_process():
        sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert (sync["lastResult"], sync["lastReason"]) == ("Skipped", "Reconnect")


def test_a_restart_reads_no_resource_for_jobs_whose_results_the_status_has(
    operator_process: StartOperator, operator_env: dict[str, str], namespace: Namespace
) -> None:
    operator_env["CATCHUP_HEALTH_PORT"] = port = str(free_port())

    jobs = ["one", "two", "three"]
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
        cronjob = namespace.cronjob(DIGEST)["metadata"]["name"]
        served, follow_up = f"{cronjob}-29401200", f"{cronjob}-29401260"
        namespace.kubectl("create", "job", served, f"--from=cronjob/{cronjob}")
        finish_job(namespace, served, exit_code=0, message=summary(Outcome.SKIPPED, Reason.EMPTY, kind=DIGEST))
        eventually(lambda: namespace.schedule()["status"]["digest"].get("lastJobName") == served)
        # It costs no write, and so leaves no mark before the next one.
        namespace.kubectl("create", "job", follow_up, f"--from=cronjob/{cronjob}")
        before = namespace.reads("userschedules")
        finish_job(namespace, follow_up, exit_code=0, message=summary(Outcome.SKIPPED, Reason.EMPTY, kind=DIGEST))
        eventually(lambda: namespace.reads("userschedules") > before)
        assert "lastIdleJobName" not in namespace.schedule()["status"]["digest"]
        for job in jobs:
            run_by_hand(namespace, job)
            finish_job(namespace, job, exit_code=65, message=summary(Outcome.FAILED, Reason.BAD_DATA))
            eventually(lambda job=job: namespace.schedule()["status"]["sync"].get("lastJobName") == job)  # type: ignore[misc]
    assert namespace.schedule()["status"]["digest"]["lastIdleJobName"] == follow_up
    assert len(namespace.items("jobs", "catchup.dev/job=sync")) == len(jobs)
    assert follow_up in {item["metadata"]["name"] for item in namespace.items("jobs")}
    before = namespace.reads("userschedules")
    with operator_process():
        eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), seconds=60)
        time.sleep(3)
        assert namespace.reads("userschedules") == before
        run_by_hand(namespace, "new")
        finish_job(namespace, "new", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: namespace.schedule()["status"]["sync"]["lastResult"] == "Succeeded")
        assert namespace.reads("userschedules") > before


def test_a_job_only_dressed_up_as_ours_tells_nothing(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply("ada")
    namespace.ready()
    labels = {"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada"}
    container = {"name": "job", "image": "x"}
    impostor = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "impostor", "labels": labels},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(impostor))
    finish_job(namespace, "impostor", exit_code=0, message=summary(Outcome.DONE))
    eventually(lambda: namespace.get("jobs", "impostor")["status"].get("succeeded"))
    run_by_hand(namespace, "real")
    finish_job(namespace, "real", exit_code=0, message=summary(Outcome.DONE))
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert sync["lastJobName"] == "real"


def test_a_restart_logs_nothing_of_what_is_as_wanted_and_a_change_is_one_line(
    operator_process: StartOperator, namespace: Namespace, tmp_path: Path
) -> None:
    def lines(name: str) -> list[str]:
        log = (tmp_path / "operator.log").read_text().splitlines()
        return [line for line in log if f"{namespace.name}/{name}" in line or f'"{name}"' in line]

    namespace.apply("ada")
    with operator_process():
        namespace.ready()
        eventually(lambda: lines("ada"))  # written after the status
    assert [line for line in lines("ada") if "generation 1: Reconciled" not in line] == []
    assert len(lines("ada")) == 1
    with operator_process():
        namespace.apply("bob")
        namespace.ready("bob")
        eventually(lambda: lines("bob"))
    assert len(lines("ada")) == 1
    assert len(lines("bob")) == 1


def test_the_forecast_reads_the_resources_and_tells_by_its_exit_whether_a_limit_is_passed(
    operator_env: dict[str, str], namespace: Namespace
) -> None:
    for name in ("ada", "bob"):
        namespace.apply(name)
    program = str(Path(sys.executable).parent / "catchup-operator")

    def forecast(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, "forecast", "--namespace", namespace.name, *arguments]
        env = {**os.environ, **operator_env}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    fine = forecast("--output", "json")
    assert fine.returncode == 0, fine.stderr
    found = json.loads(fine.stdout)
    assert (sum(found["syncPods"]), found["peaks"]) == (96, [])
    assert fine.stderr == ""
    assert "no UserSchedules in nobody" in forecast("--namespace", "nobody").stderr
    herd = forecast("--max-pods", "0")
    assert herd.returncode == 1
    assert "of the pods are syncs every 30m" in herd.stdout
