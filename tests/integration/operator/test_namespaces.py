"""One operator for several namespaces, and for all."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from subprocess import Popen

import pytest
from integration.operator.conftest import Namespace
from integration.operator.test_conflict import conflict, suspended
from integration.operator.test_reconciliation import finish_job, run_by_hand, summary
from waiting import eventually

from catchup_jobs.contract import Outcome

# One API server for these, and another one for those with faults.
pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[Popen[bytes]]]


@pytest.fixture
def another(namespace: Namespace) -> Iterator[Callable[[], Namespace]]:
    """Make a further namespace."""
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(Namespace(namespace.cluster, f"t-{secrets.token_hex(4)}"))
        namespace.cluster.kubectl("create", "namespace", made[-1].name)
        return made[-1]

    yield make
    for each in made:
        namespace.cluster.kubectl("delete", "namespace", each.name, "--wait=false")


@pytest.mark.parametrize("mode", ["several", "all"])
def test_each_served_namespace_is_reconciled_repaired_and_told_of_its_runs(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    mode: str,
) -> None:
    served = [namespace, another()]
    operator_env["CATCHUP_NAMESPACES"] = ",".join(each.name for each in served) if mode == "several" else ""
    served[0].apply("ada")
    with operator_process():
        served[0].ready("ada")
        served[1].apply("bob")
        served[1].ready("bob")
        for each in served:
            each.kubectl("delete", "cronjob", "-l", "catchup.dev/job=digest")
        for each in served:
            eventually(lambda each=each: len(each.items("cronjobs")) == 2)  # type: ignore[misc]
        run_by_hand(served[1], "now")
        finish_job(served[1], "now", exit_code=0, message=summary(Outcome.DONE))
        eventually(lambda: served[1].schedule("bob")["status"]["sync"].get("lastResult") == "Succeeded")


@pytest.mark.parametrize("mode", ["several", "all"])
def test_the_same_user_in_two_served_namespaces_is_a_conflict_too(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
    mode: str,
) -> None:
    other = another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}" if mode == "several" else ""
    # By a name of its own: an operator for all namespaces meets what other tests left in theirs.
    user = f"ada-{secrets.token_hex(4)}"
    namespace.apply("ada", userId=user)
    time.sleep(1.1)  # creation times have a second's resolution
    other.apply("ada", userId=user)
    with operator_process():
        namespace.ready("ada")
        found = eventually(lambda: conflict(other, "ada"))
        assert f"{namespace.name}/ada" in found["message"]
        assert suspended(other, "ada") == [True, True]
        namespace.kubectl("delete", "us", "ada")
        other.ready("ada")
        assert suspended(other, "ada") == [False, False]


def test_a_namespace_that_is_not_served_is_not_touched(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    other, third = another(), another()
    operator_env["CATCHUP_NAMESPACES"] = f"{namespace.name},{other.name}"
    third.apply("ada")
    with operator_process():
        other.apply("ada")
        other.ready("ada")
        assert third.items("cronjobs") == []
        assert "status" not in third.schedule("ada")


def test_a_namespace_made_later_is_served_where_all_are(
    operator_process: StartOperator,
    operator_env: dict[str, str],
    namespace: Namespace,
    another: Callable[[], Namespace],
) -> None:
    operator_env["CATCHUP_NAMESPACES"] = ""
    namespace.apply("ada")
    with operator_process():
        namespace.ready("ada")
        later = another()
        later.apply("bob")
        later.ready("bob")
