"""Two UserSchedules for one user: the older is served, the younger says so and takes over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_operator.status.conditions import find_condition

# The tests of the operator with faults share one API server, those without faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator-faults")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]


def conflict(namespace: Namespace, name: str) -> dict[str, Any] | None:
    """The Ready condition, once it says Conflict."""
    ready = find_condition(namespace.schedule(name).get("status") or {}, "Ready")
    return dict(ready) if ready.get("reason") == "Conflict" else None


def suspended(namespace: Namespace, name: str) -> list[bool]:
    cronjobs = namespace.items("cronjobs", f"catchup.dev/user-schedule={name}")
    return [cronjob["spec"]["suspend"] for cronjob in cronjobs]


def two_for_ada(namespace: Namespace) -> None:
    namespace.apply("zeroth", userId="ada")
    namespace.apply_younger("another", userId="ada")


def test_the_older_is_served_and_the_younger_says_which_and_takes_over(
    operator: KopfRunner, namespace: Namespace
) -> None:
    two_for_ada(namespace)
    namespace.ready("zeroth")
    found = eventually(lambda: conflict(namespace, "another"))
    assert found["status"] == "False"
    assert f"{namespace.name}/zeroth" in found["message"]
    assert (suspended(namespace, "zeroth"), suspended(namespace, "another")) == ([False, False], [True, True])
    namespace.kubectl("delete", "us", "zeroth")
    namespace.ready("another")
    eventually(lambda: suspended(namespace, "another") == [False, False])
    assert "conflictsWith" not in namespace.schedule("another")["status"]


def test_a_start_with_a_known_conflict_writes_nothing_and_serves_nobody_twice(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    two_for_ada(namespace)
    with operator_process():
        namespace.ready("zeroth")
        eventually(lambda: conflict(namespace, "another"))
    before = namespace.writes()
    with operator_process():
        namespace.apply("bob")
        namespace.ready("bob")
        assert suspended(namespace, "another") == [True, True]
    assert namespace.writes() - before == 3  # bob's


def test_the_younger_takes_over_also_if_the_older_went_while_the_operator_was_down(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    two_for_ada(namespace)
    with operator_process():
        eventually(lambda: conflict(namespace, "another"))
    namespace.kubectl("delete", "us", "zeroth")
    with operator_process():
        namespace.ready("another")
    assert suspended(namespace, "another") == [False, False]


def test_a_conflict_made_while_the_operator_was_down_ends_as_one_made_before_its_eyes(
    operator_process: StartOperator, namespace: Namespace
) -> None:
    two_for_ada(namespace)
    with operator_process():
        namespace.ready("zeroth")
        eventually(lambda: conflict(namespace, "another"))
        eventually(lambda: suspended(namespace, "another") == [True, True])
    assert suspended(namespace, "zeroth") == [False, False]
