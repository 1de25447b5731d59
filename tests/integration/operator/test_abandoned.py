"""CronJobs whose resource went while no operator ran, and that another owner keeps, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.operator.conftest import Namespace
from integration.operator.operator_process import OperatorProcess
from integration.operator.test_pools import RARE
from integration.operator.test_reconciliation import GARBAGE_SECONDS
from waiting import eventually

pytestmark = pytest.mark.xdist_group("operator")

StartOperator = Callable[[], AbstractContextManager[OperatorProcess]]


def owned_by(namespace: Namespace, cronjob: str, *owners: dict[str, Any]) -> None:
    """Give a CronJob further owners, by a merge patch of its list."""
    before = namespace.get("cronjobs", cronjob)["metadata"]["ownerReferences"]
    patch = {"metadata": {"ownerReferences": [*before, *owners]}}
    namespace.kubectl("patch", "cronjob", cronjob, "--type=merge", "-p", json.dumps(patch))


def names(namespace: Namespace, user: str) -> list[str]:
    selector = f"catchup.dev/user-schedule={user}"
    return [item["metadata"]["name"] for item in namespace.items("cronjobs", selector)]


def test_what_is_left_of_a_resource_that_is_gone_is_deleted_and_nothing_else_is(
    operator_process: StartOperator, namespace: Namespace, tmp_path: Path
) -> None:
    more = namespace.make_owner("more")
    for user in ("ada", "again", "stays", "orphan"):
        namespace.apply(user)
    namespace.apply_pool("people", **RARE)
    with operator_process():
        for user in ("ada", "again", "stays", "orphan"):
            namespace.ready(user)
        namespace.ready_pool("people")
    stays = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "name": "stays",
        "uid": namespace.schedule("stays")["metadata"]["uid"],
    }
    (ada, kept), (again, *_) = names(namespace, "ada"), names(namespace, "again")
    owned_by(namespace, ada, more)
    owned_by(namespace, kept, stays)
    owned_by(namespace, again, more)
    owned_by(namespace, "people-pool-sync", more)
    owned_by(namespace, names(namespace, "stays")[0], more)
    copy = namespace.get("cronjobs", again)
    del copy["status"]
    copy["metadata"] = {"name": "copy", "labels": copy["metadata"]["labels"], "ownerReferences": [more]}
    namespace.kubectl("create", "-f", "-", stdin=yaml.safe_dump(copy))
    namespace.kubectl("delete", "us", "ada", "again")
    namespace.kubectl("delete", "us", "orphan", "--cascade=orphan")
    namespace.kubectl("delete", "schedulepools", "people")
    namespace.apply("again")  # another one of that name

    def owners(cronjob: str) -> list[str]:
        return [each["name"] for each in namespace.get("cronjobs", cronjob)["metadata"].get("ownerReferences", ())]

    # The garbage collector keeps them for the others' sake.
    eventually(lambda: owners(ada) == ["more"], seconds=GARBAGE_SECONDS)
    eventually(lambda: owners(kept) == ["stays"], seconds=GARBAGE_SECONDS)
    eventually(lambda: owners("people-pool-sync") == ["more"], seconds=GARBAGE_SECONDS)
    with operator_process():
        eventually(lambda: names(namespace, "ada") == [])
        eventually(lambda: again not in names(namespace, "again"))
        eventually(lambda: not namespace.items("cronjobs", "catchup.dev/schedule-pool=people"))
        namespace.ready("again")
        eventually(lambda: len(names(namespace, "again")) == 3)  # with the copy
        eventually(lambda: [owners(name) for name in names(namespace, "stays")] == [["stays"], ["stays"]])
        assert owners("copy") == ["more"]
        assert len(names(namespace, "orphan")) == 2
        # By the watch: one that comes while the operator runs.
        labels = {**copy["metadata"]["labels"], "catchup.dev/user-schedule": "nobody"}
        late = {**copy, "metadata": {"name": "late", "labels": labels, "ownerReferences": [more]}}
        apply = ("apply", "--server-side", "--field-manager=catchup-operator", "-f", "-")
        namespace.kubectl(*apply, stdin=yaml.safe_dump(late))
        eventually(lambda: not names(namespace, "nobody"))
    log = (tmp_path / "operator.log").read_text()
    assert (
        f"{ada}: the UserSchedule ada that it was made for is gone, and it went on for the sake of its owners: "
        "ConfigMap more" in log
    )
    told = {
        event["involvedObject"]["name"] for event in namespace.items("events") if event["reason"] == "CronJobDeleted"
    }
    assert told >= {ada, kept, "people-pool-sync", "late"}


def test_a_cronjob_whose_label_names_another_resource_is_not_deleted_and_has_its_label_again(
    operator_process: StartOperator, namespace: Namespace, tmp_path: Path
) -> None:
    namespace.apply("ada")
    namespace.apply("twin")
    namespace.apply_pool("people", **RARE)
    with operator_process():
        namespace.ready("ada")
        namespace.ready("twin")
        namespace.ready_pool("people")
        edited = {
            names(namespace, "ada")[0]: ("catchup.dev/user-schedule", "nobody", "ada"),
            names(namespace, "ada")[1]: ("catchup.dev/user-schedule", "twin", "ada"),
            "people-pool-sync": ("catchup.dev/schedule-pool", "nobody", "people"),
        }
        uids = {name: namespace.get("cronjobs", name)["metadata"]["uid"] for name in edited}
        for name, (label, value, _) in edited.items():
            namespace.kubectl("label", "cronjob", name, f"{label}={value}", "--overwrite")

        def labels() -> list[bool]:
            found = {name: namespace.get("cronjobs", name)["metadata"]["labels"] for name in edited}
            return [found[name][label] == value for name, (label, _, value) in edited.items()]

        eventually(lambda: all(labels()))
        assert {name: namespace.get("cronjobs", name)["metadata"]["uid"] for name in edited} == uids
    assert "is gone" not in (tmp_path / "operator.log").read_text()
