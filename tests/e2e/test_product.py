"""What a user types, on a real node with the real images."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from daytime import daytime_zone
from waiting import eventually

from catchup_dev.binaries import ensure
from catchup_dev.cluster import Failure
from catchup_dev.stack import CHART, RELEASE, Stack

# One installation for all of them.
pytestmark = pytest.mark.xdist_group("product")

# The garbage collector looks for new kinds of resources every 30 seconds.
GARBAGE_SECONDS = 60


def person(stack: Stack, user: str, *, connected: bool = True, zone: str = "Europe/Berlin") -> None:
    """A user of the database with one event tomorrow, as an administrator makes one."""
    google = stack.google
    email = f"{user}@example.com"
    google.add_user(email, zone)
    google.add_event(email, "dentist", "Dentist", at="+1d 15:00", minutes=90)
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps({"id": user, "name": user, "timeZone": zone}))
    if connected:
        token = json.dumps(google.grant(email, client_id="catchup-demo"))
        stack.catchup_jobs("calendar", "connect", user, "--token-file", "-", stdin=token)


def schedule(stack: Stack, user: str, **spec: Any) -> None:
    document = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": user},
        "spec": {"userId": user, **spec},
    }
    stack.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))


def pods_of(stack: Stack, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.get("pods", "-l", f"batch.kubernetes.io/job-name={job}")["items"]
    return found


def columns(stack: Stack, name: str) -> dict[str, str]:
    """A row of `kubectl get userschedules`, by column."""
    header, row = stack.kubectl("get", "userschedules", name).splitlines()
    starts = [header.index(title) for title in header.split()]
    ends = [*starts[1:], None]
    return {title: row[start:end].strip() for title, start, end in zip(header.split(), starts, ends, strict=True)}


def test_the_release_passes_its_own_test(stack: Stack) -> None:
    assert "Succeeded" in stack.helm("test", RELEASE)


def test_apply_get_and_a_sync_by_hand(stack: Stack) -> None:
    person(stack, "ada")
    schedule(stack, "ada", timeZone="Europe/Berlin")
    job = stack.trigger("ada")
    status = stack.follow("ada", job)
    assert (status["lastResult"], status["counts"]["eventsAdded"], status["counts"]["fullSyncs"]) == ("Succeeded", 1, 1)
    row = columns(stack, "ada")
    assert (row["READY"], row["TIMEZONE"], row["SYNC"]) == ("True", "Europe/Berlin", "every 30m")
    assert row["LAST-SYNC"].endswith("s")
    assert row["DIGEST"] == "Sunday 09:00"
    assert row["NEXT-DIGEST"].endswith(("09:00 CET (UTC+01:00)", "09:00 CEST (UTC+02:00)"))
    assert "█" in stack.catchup_jobs("calendar", "week", "ada")

    stack.google.move_event("ada@example.com", "dentist", at="+3d 11:00", minutes=90)
    status = stack.follow("ada", stack.trigger("ada"))
    assert (status["counts"]["eventsChanged"], status["counts"]["incrementalSyncs"]) == (1, 1)


def test_suggestions_for_the_fleet_and_a_digest_by_hand_are_one_sms(stack: Stack) -> None:
    zone = daytime_zone()
    person(stack, "edith", zone=zone)
    phone = "+447700900456"
    entry = {
        "id": "edith",
        "name": "Edith",
        "timeZone": zone,
        "digest": {"day": "Daily", "time": "07:30"},
        "channels": {"sms": {"phone": phone, "consentAt": "2026-09-01T08:00:00Z"}},
        "contacts": [{"id": "noor", "name": "Noor", "frequency": "weekly", "createdAt": "2025-01-10T10:00:00Z"}],
    }
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    schedule(stack, "edith", timeZone=zone, digest={"day": "Daily", "time": "07:30"})
    assert stack.follow("edith", stack.trigger("edith"))["lastResult"] == "Succeeded"

    stack.kubectl("create", "job", "fleet", f"--from=cronjob/{RELEASE}-suggestions")
    stack.kubectl("wait", "--for=condition=Complete", "job/fleet", "--timeout=120s")
    (suggestion,) = json.loads(stack.catchup_jobs("suggestion", "list", "edith", "--output", "json"))
    assert (suggestion["contact"], suggestion["status"], suggestion["deliveredAt"]) == ("Noor", "pending", None)

    first = stack.follow("edith", stack.trigger("edith", "digest"), "digest")
    assert (first["lastResult"], first["counts"]["smsSent"]) == ("Succeeded", 1)
    second = stack.follow("edith", stack.trigger("edith", "digest"), "digest")
    assert (second["lastResult"], second["lastReason"]) == ("Skipped", "AlreadyDone")
    (message,) = [each for each in stack.stand_ins.twilio.messages() if each["to"] == phone]
    assert "Noor" in message["body"]
    assert columns(stack, "edith")["DIGEST"] == "Daily 07:30"

    stack.catchup_jobs("suggestion", "accept", str(suggestion["id"]))
    assert "no suggestion is pending" in stack.catchup_jobs("digest", "--user", "edith", "--preview")


def test_the_same_slot_run_twice_is_one_effect(stack: Stack) -> None:
    person(stack, "slot")
    schedule(stack, "slot")
    cronjob = stack.cronjob_of("slot")
    job = f"{cronjob}-29401200"
    stack.kubectl("create", "job", job, f"--from=cronjob/{cronjob}")
    first = stack.follow("slot", job)
    assert (first["lastResult"], first["counts"]["eventsAdded"]) == ("Succeeded", 1)
    stack.kubectl("delete", "job", job)
    time.sleep(1)  # times of a status have a second's resolution
    stack.kubectl("create", "job", job, f"--from=cronjob/{cronjob}")
    second = eventually(
        lambda: (now := stack.get("us", "slot")["status"]["sync"])["lastRunTime"] != first["lastRunTime"] and now,
        seconds=60,
    )
    assert (second["lastResult"], second["lastReason"]) == ("Skipped", "AlreadyDone")


def test_edit_changes_the_cronjob(stack: Stack) -> None:
    person(stack, "grace")
    schedule(stack, "grace")
    cronjob = stack.cronjob_of("grace")
    subprocess.run(
        [str(ensure(["kubectl"])["kubectl"]), "--namespace", stack.namespace, "edit", "userschedule", "grace"],
        env={
            **os.environ,
            "KUBECONFIG": str(stack.cluster.kubeconfig),
            "KUBE_EDITOR": "sed -i 's/every: 30m/every: 2h/'",
        },
        check=True,
        capture_output=True,
    )
    eventually(lambda: "0,2,4,6" in (s := stack.get("cronjob", cronjob)["spec"]["schedule"]) or "1,3,5,7" in s)
    eventually(lambda: columns(stack, "grace")["SYNC"] == "every 2h")


def test_an_unknown_user_fails_at_once_and_the_status_says_what_to_do(stack: Stack) -> None:
    schedule(stack, "nobody")
    job = stack.trigger("nobody")
    status = stack.follow("nobody", job)
    assert (status["lastResult"], status["lastReason"]) == ("Failed", "UnknownUser")
    assert "import the user" in status["lastError"]["message"]
    assert len(pods_of(stack, job)) == 1


def test_a_user_who_never_connected_or_must_reconnect_is_skipped_with_the_reason(stack: Stack) -> None:
    person(stack, "linus", connected=False)
    schedule(stack, "linus")
    status = stack.follow("linus", stack.trigger("linus"))
    assert (status["lastResult"], status["lastReason"]) == ("Skipped", "NotConnected")
    person(stack, "margaret")
    stack.google.revoke("margaret@example.com")
    stack.google.expire_access_tokens("margaret@example.com")
    schedule(stack, "margaret")
    status = stack.follow("margaret", stack.trigger("margaret"))
    assert (status["lastResult"], status["lastReason"]) == ("Skipped", "Reconnect")


def test_a_jobs_pod_killed_in_the_middle_is_replaced_and_ends_in_the_same_state(stack: Stack) -> None:
    person(stack, "barbara")
    schedule(stack, "barbara")
    fault = {"kind": "events", "calendar": "barbara@example.com", "delay": 20, "times": 1}
    stack.google.add_fault(**fault)
    job = stack.trigger("barbara")
    first = eventually(
        lambda: next((p for p in pods_of(stack, job) if p["status"]["phase"] == "Running"), None), seconds=30
    )
    eventually(lambda: [f for f in stack.google.faults() if f["calendar"] == fault["calendar"] and f["fired"]])
    stack.kubectl("delete", "pod", first["metadata"]["name"], "--grace-period=0", "--force")
    status = stack.follow("barbara", job)
    # On a busy machine the killed process may get its answer and end the run before it dies.
    assert (status["lastResult"], status.get("lastReason")) in {("Succeeded", None), ("Skipped", "AlreadyDone")}
    assert "█" in stack.catchup_jobs("calendar", "week", "barbara")
    assert first["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in pods_of(stack, job)}


_REDIS_DUMP = """
import os, redis
client = redis.Redis.from_url(os.environ["CATCHUP_REDIS_URL"])
for key in client.scan_iter():
    print(key, client.dump(key))
print("keys", client.dbsize())
"""


def test_personal_data_is_in_no_log_resource_event_or_redis_key(stack: Stack) -> None:
    """Row 49: canaries planted in every field that holds personal data, and all that anybody can read searched."""
    canaries = {"title": "Xylophone lesson", "phone": "7700900789", "mailbox": "quetzal", "contact": "Wilhelmina"}
    account = f"{canaries['mailbox']}@example.com"
    zone = daytime_zone()
    stack.google.add_user(account, zone)
    stack.google.add_event(account, "lesson", canaries["title"], at="+1d 15:00", minutes=90)
    entry = {
        "id": "canary",
        "name": "Ermintrude",
        "timeZone": zone,
        "digest": {"day": "Daily", "time": "07:30"},
        "channels": {
            "sms": {"phone": f"+44{canaries['phone']}", "consentAt": "2026-09-01T08:00:00Z"},
            "email": {"address": account, "mode": "on"},
        },
        "contacts": [{"id": "c", "name": canaries["contact"], "createdAt": "2025-01-10T10:00:00Z"}],
    }
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    token = stack.google.grant(account, client_id="catchup-demo")
    stack.catchup_jobs("calendar", "connect", "canary", "--token-file", "-", stdin=json.dumps(token))
    schedule(stack, "canary", timeZone=zone, digest={"day": "Daily", "time": "07:30"})
    assert stack.follow("canary", stack.trigger("canary"))["lastResult"] == "Succeeded"
    stack.kubectl("create", "job", "fleet-canary", f"--from=cronjob/{RELEASE}-suggestions")
    stack.kubectl("wait", "--for=condition=Complete", "job/fleet-canary", "--timeout=120s")
    sent = stack.follow("canary", stack.trigger("canary", "digest"), "digest")
    assert (sent["counts"]["smsSent"], sent["counts"]["emailsSent"]) == (1, 1)
    # A failure has more to say than a success: four attempts at a server that is down.
    fault = {"kind": "events", "calendar": account, "status": 503, "times": 4}
    stack.google.add_fault(**fault)
    assert stack.follow("canary", stack.trigger("canary"))["lastReason"] in {"Partial", "BudgetSpent"}

    kinds = "userschedules,cronjobs,jobs,pods,events,configmaps,deployments"
    told = {"resources": stack.kubectl("get", kinds, "--output=yaml")}
    for pod in stack.get("pods")["items"]:
        name = pod["metadata"]["name"]
        if pod["status"]["phase"] != "Pending":
            told[f"log of {name}"] = stack.kubectl("logs", name, "--all-containers")
    told["Redis"] = stack.kubectl("exec", f"deployment/{RELEASE}-toolbox", "--", "python", "-c", _REDIS_DUMP)
    assert "catchup:" in told["Redis"]
    assert any("run ended" in text for text in told.values())
    secrets = [*canaries.values(), "Ermintrude", token["refresh_token"], token["token"]]
    found = [(secret, place) for place, text in told.items() for secret in secrets if secret in text]
    assert found == []


def test_the_operator_killed_in_the_middle_ends_in_the_same_state(stack: Stack) -> None:
    names = [f"many-{number}" for number in range(12)]
    for name in names[:6]:
        schedule(stack, name)
    stack.kubectl(
        "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force", "--wait=false"
    )
    for name in names[6:]:
        schedule(stack, name)
    stack.kubectl("wait", "--for=condition=Ready", "--timeout=120s", *(f"userschedule/{name}" for name in names))
    for name in names:
        cronjob = stack.get("cronjob", stack.cronjob_of(name))
        status = stack.get("us", name)["status"]["sync"]
        assert status["cronJobUID"] == cronjob["metadata"]["uid"]
        assert status["schedule"] == cronjob["spec"]["schedule"]
    stack.kubectl("delete", "userschedules", *names)


def test_no_pod_of_a_job_holds_a_service_account_token(stack: Stack) -> None:
    person(stack, "katherine")
    schedule(stack, "katherine")
    job = stack.trigger("katherine")
    stack.follow("katherine", job)
    (pod,) = pods_of(stack, job)
    assert [volume for volume in pod["spec"]["volumes"] if "projected" in volume or "secret" in volume] == []


def test_deleting_a_resource_deletes_its_cronjob(stack: Stack) -> None:
    schedule(stack, "gone")
    cronjob = stack.cronjob_of("gone")
    stack.kubectl("delete", "userschedule", "gone", "--timeout=120s")

    def absent() -> bool:
        try:
            stack.get("cronjob", cronjob)
        except Failure as failure:
            return "not found" in failure.log
        return False

    eventually(absent, seconds=GARBAGE_SECONDS)


def test_an_upgrade_rolls_the_cronjobs_and_keeps_the_secrets(stack: Stack) -> None:
    schedule(stack, "upgraded")
    cronjob = stack.cronjob_of("upgraded")
    secrets = {
        item["metadata"]["name"]: item["data"] for item in stack.get("secrets")["items"] if item["type"] == "Opaque"
    }
    stack.helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--set", "jobs.podLabels.team=people", "--timeout=4m")
    stack.wait_for_operator()

    def rolled() -> bool:
        template = stack.get("cronjob", cronjob)["spec"]["jobTemplate"]["spec"]["template"]
        return bool(template["metadata"]["labels"].get("team") == "people")

    eventually(rolled)
    assert secrets == {
        item["metadata"]["name"]: item["data"] for item in stack.get("secrets")["items"] if item["type"] == "Opaque"
    }


@pytest.fixture
def tainted(stack: Stack) -> Iterator[list[str]]:
    """Taint all nodes for whatever is scheduled from now on; the values by which the release tolerates it."""
    tolerated = ['--set-json=global.tolerations=[{"key":"reserved","operator":"Exists"}]']
    stack.helm("upgrade", RELEASE, str(CHART), "--reuse-values", *tolerated, "--timeout=4m")
    stack.wait_for_operator()
    stack.cluster.kubectl("taint", "nodes", "--all", "reserved=catchup:NoSchedule")
    yield tolerated
    stack.cluster.kubectl("taint", "nodes", "--all", "reserved-")


def test_uninstall_leaves_the_resources_and_no_cronjob_and_an_install_goes_on_from_there_where_all_nodes_are_tainted(
    stack: Stack, tainted: list[str]
) -> None:
    person(stack, "back")
    schedule(stack, "back")
    assert stack.follow("back", stack.trigger("back"))["lastResult"] == "Succeeded"
    before = {item["metadata"]["uid"] for item in stack.get("userschedules")["items"]}
    stack.helm("uninstall", RELEASE, "--timeout=3m")
    assert {item["metadata"]["uid"] for item in stack.get("userschedules")["items"]} == before
    assert stack.get("cronjobs")["items"] == []
    (told,) = [
        item["status"]["conditions"][0]
        for item in stack.get("userschedules")["items"]
        if item["metadata"]["name"] == "back"
    ]
    assert (told["type"], told["status"], told["reason"]) == ("Ready", "Unknown", "Uninstalled")
    stack.kubectl("delete", "userschedule", "nobody", "--ignore-not-found", "--timeout=120s")  # nothing hangs

    values = stack.cluster.layout.directory / "doubles" / "values.json"
    stack.helm("install", RELEASE, str(CHART), "--values", str(values), *tainted, "--timeout=4m")
    stack.wait_for_operator()
    status = stack.follow("back", stack.trigger("back"), seconds=120)
    # The database, its password and the encryption key were kept: the calendar is still connected.
    assert (status["lastResult"], status["counts"]["incrementalSyncs"]) == ("Succeeded", 1)
