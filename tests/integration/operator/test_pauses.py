"""Suspensions that end by themselves, on a real API server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_pool_members import POOL, ready
from integration.operator.test_schedule_list import by_user
from waiting import eventually

from catchup_contract.timestamps import format_utc
from catchup_operator.status.conditions import find_condition

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]
REASON = "ops, the mailboxes move"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchup_operator.reconcile.controller._RESYNC_SECONDS", 0.2)


def suspension(seconds: float) -> dict[str, str]:
    return {"reason": REASON, "until": format_utc(datetime.now(UTC) + timedelta(seconds=seconds))}


def are_suspended(namespace: Namespace, selector: str = "catchup.dev/user-schedule") -> set[bool]:
    return {item["spec"]["suspend"] for item in namespace.items("cronjobs", selector)}


def test_a_suspension_is_told_with_its_reason_and_ends_by_itself(
    namespace: Namespace, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("operator")
    pause = suspension(6)
    namespace.apply("ada", suspension=pause)
    status = namespace.ready()["status"]
    assert ready(namespace) == ("True", "Suspended")
    assert are_suspended(namespace) == {True}
    assert f"until {pause['until']}: {REASON}" in find_condition(status, "Ready")["message"]
    assert (status["suspendedUntil"], "activeSince" in status["digest"]) == (pause["until"], False)
    assert pause["until"] in namespace.kubectl("get", "us", "ada", "-o", "wide", "--no-headers")
    before = namespace.writes()

    eventually(lambda: ready(namespace) == ("True", "Reconciled"))

    assert datetime.now(UTC) >= datetime.fromisoformat(pause["until"])
    assert are_suspended(namespace) == {False}
    status = namespace.schedule()["status"]
    assert status["digest"]["activeSince"] == pause["until"]
    assert "suspendedUntil" not in status
    assert namespace.writes() - before == 3


def test_an_operator_that_was_away_at_the_end_resumes_at_its_start(
    operator_process: StartOperator, namespace: Namespace, request: pytest.FixtureRequest
) -> None:
    pause = suspension(8)
    namespace.apply_pool("people", **POOL)
    namespace.apply_pool("others", **POOL, suspension=pause)
    namespace.apply("ada", suspension=pause)
    namespace.apply("bob", suspension=pause, pool="people")
    with operator_process():
        namespace.ready_pool("others")
        eventually(lambda: ready(namespace) == ("True", "Suspended"))
        eventually(lambda: ready(namespace, "bob") == ("True", "Suspended"))
        eventually(lambda: [each.suspended_until for each in by_user(namespace).get("bob", [])] == [pause["until"]])
        assert are_suspended(namespace, "catchup.dev/schedule-pool=others") == {True}
    eventually(lambda: datetime.now(UTC) > datetime.fromisoformat(pause["until"]))

    request.getfixturevalue("operator")

    eventually(lambda: ready(namespace) == ("True", "Reconciled"))
    eventually(lambda: ready(namespace, "bob") == ("True", "Pooled"))
    eventually(lambda: are_suspended(namespace, "catchup.dev/schedule-pool=others") == {False})
    assert are_suspended(namespace) == {False}
    for name in ("ada", "bob"):
        assert namespace.schedule(name)["status"]["digest"]["activeSince"] == pause["until"]


def test_one_patch_suspends_all_that_a_selector_selects_and_one_resumes_them(
    namespace: Namespace, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("operator")
    for name in ("ada", "bob"):
        namespace.apply(name, userId=name)
    namespace.apply_pool("people", **POOL)
    namespace.ready_pool()
    namespace.kubectl("label", "us", "--all", "team=staff")
    namespace.ready("ada")
    namespace.ready("bob")
    names = namespace.kubectl("get", "us", "-l", "team=staff", "-o", "name").split()
    for patch, reason in (
        ('{"spec":{"suspension":{"reason":"ops","until":"2099-01-01T00:00:00Z"}}}', "Suspended"),
        ('{"spec":{"suspension":null}}', "Reconciled"),
    ):
        namespace.kubectl("patch", *names, "--type=merge", "-p", patch)
        for name in ("ada", "bob"):
            eventually(lambda name=name, reason=reason: ready(namespace, name) == ("True", reason))  # type: ignore[misc]
