"""Pods that fail again and again, and a controller that was away: real Jobs, counted on a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e.test_product import person, pods_of, schedule
from e2e.unlucky import UNLUCKY
from waiting import eventually

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.run_keys import slot_of
from catchup_contract.summary import Summary
from catchup_dev.stack import Stack

pytestmark = [
    # The installation is that of the other tests.
    pytest.mark.xdist_group("product"),
    pytest.mark.release,
    # They are started first and looked at late: Kubernetes waits 70 seconds between its pods.
    pytest.mark.usefixtures("crashing"),
]

# Past every starting deadline.
AWAY = timedelta(hours=3)


def at_noon() -> str:
    """Return the zone in which it is between 12:00 and 13:00 now, so that the firings of its day are on one date."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def reachable(stack: Stack, user: str, zone: str, phone: str) -> None:
    """A user with a suggestion that a digest would send by SMS."""
    person(stack, user, zone=zone)
    entry = {
        "id": user,
        "name": user,
        "timeZone": zone,
        "channels": {"sms": {"phone": phone, "consentAt": "2026-09-01T08:00:00Z"}},
        "contacts": [{"id": "noor", "name": "Noor", "createdAt": "2025-01-10T10:00:00Z"}],
    }
    stack.catchup_jobs("user", "import", "-", stdin=json.dumps(entry))
    stack.catchup_jobs("sync", "--user", user)
    stack.catchup_jobs("suggestions", "--user", user)


@contextmanager
def controller_away(stack: Stack, *cronjobs: str) -> Iterator[None]:
    """Stop the controller manager, and let it find CronJobs that it started three hours ago for the last time.

    The API server's clock cannot be turned: how long a controller was away is what `lastScheduleTime` says.
    """
    stack.cluster.layout.daemon("kube-controller-manager").stop()
    for cronjob in cronjobs:
        started_last(stack, cronjob)
    try:
        yield
    finally:
        stack.cluster.up()


def started_last(stack: Stack, cronjob: str) -> None:
    """Let the controller think that it started a CronJob three hours ago for the last time."""
    status = {"status": {"lastScheduleTime": f"{datetime.now(UTC) - AWAY:%Y-%m-%dT%H:%M:%SZ}"}}
    stack.kubectl("patch", "cronjob", cronjob, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def slots(stack: Stack, cronjob: str) -> list[datetime]:
    """Return the slots that the controller started, by its Events: finished Jobs are not kept for long."""
    about = f"involvedObject.name={cronjob},reason=SuccessfulCreate"
    found = [event["message"].rpartition(" ")[2] for event in stack.get("events", "--field-selector", about)["items"]]
    return sorted(slot for job in found if (slot := slot_of(job, cronjob)) is not None)


def sms_to(stack: Stack, phone: str) -> int:
    return sum(message["to"] == phone for message in stack.stand_ins.twilio.messages())


def test_after_hours_without_a_controller_a_cronjob_starts_once_at_most_and_not_past_its_deadline(stack: Stack) -> None:
    phone, zone = "+447700900611", at_noon()
    reachable(stack, "sleeper", zone, phone)
    # Due at 05:00, and again at 06:00 and 08:00: all more than two hours ago.
    schedule(stack, "sleeper", timeZone=zone, digest={"day": "Daily", "time": "05:00"}, calendarSync={"every": "5m"})
    sync, digest = (stack.cronjob_of("sleeper", job) for job in ("sync", "digest"))
    with controller_away(stack, sync, digest):
        pass
    back = datetime.now(UTC)
    caught_up = eventually(lambda: [slot for slot in slots(stack, sync) if slot <= back])
    # 36 slots were missed: it is the last one that is started, and no other.
    assert len(caught_up) == 1
    assert back - caught_up[0] < timedelta(minutes=5)
    eventually(lambda: stack.get("us", "sleeper")["status"]["sync"].get("lastResult") == "Succeeded")
    assert [slot for slot in slots(stack, sync) if slot <= back] == caught_up
    assert slots(stack, digest) == []
    assert sms_to(stack, phone) == 0


def test_a_digest_resumed_after_its_time_is_not_sent_late(stack: Stack) -> None:
    phone, zone = "+447700900612", at_noon()
    # The firing at 11:45 is within the two hours in which the controller starts what it missed.
    digest = {"day": "Daily", "time": "10:45"}
    reachable(stack, "paused", zone, phone)
    schedule(stack, "paused", timeZone=zone, digest=digest, suspend=True)
    cronjob = stack.cronjob_of("paused", "digest")
    eventually(lambda: stack.get("cronjob", cronjob)["spec"]["suspend"])
    started_last(stack, cronjob)
    assert slots(stack, cronjob) == []
    schedule(stack, "paused", timeZone=zone, digest=digest, suspend=False)
    # The controller does start what was missed.
    (slot,) = eventually(lambda: slots(stack, cronjob))
    job = f"{cronjob}-{int(slot.timestamp()) // 60}"
    stack.kubectl("wait", "--for=condition=Complete", f"job/{job}", "--timeout=120s")
    (pod,) = pods_of(stack, job)
    told = Summary.from_json(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
    assert (told.outcome, told.reason) == (Outcome.SKIPPED, Reason.NOT_DUE)
    assert sms_to(stack, phone) == 0


def test_pods_that_crash_each_time_are_four(stack: Stack, crashed: dict[str, Any]) -> None:
    assert stack.get("us", UNLUCKY)["status"]["sync"]["lastResult"] == "Failed"
    conditions = {entry["type"]: entry.get("reason") for entry in crashed["status"]["conditions"]}
    assert (conditions["Failed"], crashed["status"]["failed"]) == ("BackoffLimitExceeded", 4)
    pods = pods_of(stack, crashed["metadata"]["name"])
    ends = [pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in pods]
    assert ends == [1, 1, 1, 1]
