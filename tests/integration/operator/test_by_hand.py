"""Runs by hand that an annotation asks for, on a real API server with its controllers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_pool_members import POOL, ready
from integration.operator.test_reconciliation import finish_job, summary
from integration.operator.test_schedule_list import by_user
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.outcomes import Outcome
from catchup_contract.timestamps import format_utc

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
BY_HAND = "catchup.dev/by-hand"


def ask(namespace: Namespace, at: datetime, name: str = "ada", kind: str = "sync") -> str:
    """Ask for a run as a user does; return the time of the request."""
    text = format_utc(at)
    namespace.kubectl("annotate", "--overwrite", "us", name, f"catchup.dev/{kind}-requested-at={text}")
    return text


def taken(namespace: Namespace, name: str = "ada", kind: str = "sync") -> str | None:
    value: str | None = namespace.schedule(name)["status"][kind].get("requestedAt")
    return value


def test_a_request_makes_one_cronjob_that_fires_once_and_the_status_says_that_it_was_taken(
    operator: KopfRunner, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace.apply("ada")
    namespace.ready()
    before, now = namespace.writes(), datetime.now(UTC)
    text = ask(namespace, now)
    eventually(lambda: taken(namespace) == text)
    (made,) = namespace.items("cronjobs", BY_HAND)
    assert namespace.writes() - before == 2
    assert made["metadata"]["name"].startswith("ada-sync-now-")
    (regular,) = namespace.items("cronjobs", f"catchup.dev/job=sync,!{BY_HAND}")
    assert made["metadata"]["ownerReferences"] == regular["metadata"]["ownerReferences"]
    minute, hour, day, month, _ = made["spec"]["schedule"].split()
    at = datetime(now.year, int(month), int(day), int(hour), int(minute), tzinfo=UTC)
    assert timedelta(0) < at - now < timedelta(minutes=2, seconds=10)

    # The CronJob controller makes a Job of it at its minute. Its result is that of a run by hand.
    namespace.kubectl(
        "create", "job", f"{made['metadata']['name']}-29401201", f"--from=cronjob/{made['metadata']['name']}"
    )
    finish_job(namespace, f"{made['metadata']['name']}-29401201", exit_code=0, message=summary(Outcome.DONE))
    section = eventually(lambda: (found := namespace.schedule()["status"]["sync"]).get("lastResult") and found)
    assert (section["lastResult"], section["counts"]["eventsAdded"]) == ("Succeeded", 7)
    assert section["requestedAt"] == text

    # The same value and labels are no other request; an earlier time is none either.
    namespace.kubectl("label", "us", "ada", "a=b")
    ask(namespace, now - timedelta(minutes=1))
    later = ask(namespace, now + timedelta(seconds=1))
    eventually(lambda: taken(namespace) == later)
    assert len(namespace.items("cronjobs", BY_HAND)) == 2
    assert ready(namespace) == ("True", "Reconciled")

    # Hours later.
    monkeypatch.setattr("catchup_operator.manifests.by_hand._KEPT", timedelta(0))
    namespace.kubectl("label", "cronjobs", "-l", BY_HAND, "a=b")
    eventually(lambda: not namespace.items("cronjobs", BY_HAND))
    assert len(namespace.items("cronjobs", "catchup.dev/user-schedule=ada")) == 2


def test_a_request_while_the_operator_was_away_is_taken_at_its_start_and_not_again_at_the_next(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    namespace.apply("ada")
    with operator_process():
        namespace.ready()
    text = ask(namespace, datetime.now(UTC) - timedelta(minutes=50), kind="digest")
    for _ in range(2):
        with operator_process():
            eventually(lambda: taken(namespace, kind="digest") == text)
            namespace.apply("bob")
            namespace.ready("bob")
    assert len(namespace.items("cronjobs", BY_HAND)) == 1


def test_a_request_of_a_pooled_user_reaches_the_pods_of_the_pool(operator: KopfRunner, namespace: Namespace) -> None:
    namespace.apply_pool("people", **POOL)
    namespace.ready_pool()
    namespace.apply("ada", pool="people")
    namespace.ready()
    text = ask(namespace, datetime.now(UTC))
    eventually(lambda: taken(namespace) == text)
    eventually(lambda: [each.sync_requested_at for each in by_user(namespace).get("ada", [])] == [text])
    assert namespace.items("cronjobs", BY_HAND) == []
