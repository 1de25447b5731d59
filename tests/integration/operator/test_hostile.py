"""Malicious resources, and those that an older schema accepted: other resources are not affected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from integration.operator.conftest import ROOT, Namespace
from integration.operator.test_reconciliation import finish_job, summary
from kopf.testing import KopfRunner
from waiting import eventually

from catchup_contract.outcomes import Outcome
from catchup_dev.cluster import Failure
from catchup_operator.status.conditions import find_condition

# The tests of the operator without faults share one API server, those with faults another, those of the chart a third.
pytestmark = pytest.mark.xdist_group("operator")

DEFINITION = ROOT / "crds/userschedules.yaml"


def create(namespace: Namespace, name: str, **fields: Any) -> None:
    metadata = {"name": name, **fields.pop("metadata", {})}
    document = {"apiVersion": "catchup.dev/v1alpha1", "kind": "UserSchedule", "metadata": metadata, **fields}
    namespace.kubectl("create", "-f", "-", stdin=json.dumps(document))


def is_refused(namespace: Namespace) -> bool:
    """Whether the API server enforces the schema."""
    try:
        namespace.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(WRONG))
    except Failure:
        return True
    return False


WRONG = {
    "apiVersion": "catchup.dev/v1alpha1",
    "kind": "UserSchedule",
    "metadata": {"name": "probe"},
    "spec": {"userId": 7},
}


@pytest.fixture
def before_the_schema(namespace: Namespace) -> Iterator[Callable[[], Any]]:
    """Disable the schema within the block, as if the resource were older than it."""
    lax = yaml.safe_load(DEFINITION.read_text())
    for version in lax["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version.pop("subresources")  # so that a status can be written with the rest

    def restore() -> None:
        namespace.cluster.kubectl("apply", "-f", str(DEFINITION))
        eventually(lambda: is_refused(namespace))

    @contextmanager
    def block() -> Iterator[None]:
        namespace.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(lax))
        eventually(lambda: not is_refused(namespace))
        try:
            yield
        finally:
            restore()

    yield block
    restore()


# The spec, and the field that the status must name; None where the operator can read the spec.
SPECS: dict[str, tuple[Any, str | None]] = {
    "none": (None, "userId"),
    "text": ("x", "spec must be an object"),
    "list": ([1], "spec must be an object"),
    "number": ({"userId": 7}, "userId"),
    "variable": ({"userId": "$(SECRET)"}, "userId"),
    "control": ({"userId": "ada\u0007\u001b[2J"}, "userId"),
    "newline": ({"userId": "ada\nrm"}, "userId"),
    "long": ({"userId": "a" * 64}, "userId"),
    "zone-list": ({"userId": "u-zone-list", "timeZone": ["Etc/UTC"]}, "timeZone"),
    "zone-local": ({"userId": "u-zone-local", "timeZone": "Local"}, "timeZone"),
    "digest-text": ({"userId": "u-digest-text", "digest": "Sunday"}, "digest must be an object"),
    "time-number": ({"userId": "u-time", "digest": {"time": 9}}, "time"),
    "every-list": ({"userId": "u-every", "calendarSync": {"every": ["30m"]}}, "every"),
    "suspend-text": ({"userId": "u-suspend", "suspend": "no"}, "suspend"),
    "priority-map": ({"userId": "u-priority", "priority": {}}, "priority"),
    "nulls": ({"userId": "u-nulls", "timeZone": None, "digest": None, "suspend": None, "priority": None}, None),
    "megabyte": ({"userId": "u-megabyte", "note": "x" * 1_000_000}, None),
    "unknown": ({"userId": "u-unknown", "image": "evil", "command": ["sh"]}, None),
}
STATUSES: dict[str, Any] = {
    "status-text": "broken",
    "status-conditions-text": {"conditions": "x", "observedGeneration": 1},
    "status-conditions-numbers": {"conditions": [7, None]},
    "status-condition-without-type": {"conditions": [{"status": "True"}]},
    "status-sync-number": {"sync": 7, "digest": [1]},
    "status-wrong-values": {
        "observedGeneration": "1",
        "conflictsWith": 7,
        "digest": {"nextRuns": "soon", "activeSince": 9},
        "sync": {"cronJobName": 7, "consecutiveFailures": "many", "counts": "none"},
    },
    "status-kopf": {"kopf": {"progress": "x", "lastHandled": "{"}},
    "status-of-another": {"conflictsWith": "no-such-namespace/no-such-name/too-many"},
}


UNWRITABLE = {"number", "time-number", "zone-list"}


def complaint(namespace: Namespace, name: str) -> str | None:
    """What the status, or else an Event, says is wrong with the spec."""
    ready = find_condition(namespace.schedule(name).get("status") or {}, "Ready")
    if ready:
        assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
        return str(ready["message"])
    events = [each for each in namespace.items("events") if each["involvedObject"]["name"] == name]
    assert len(events) <= 1
    return events[0]["message"] if events else None


def test_wrong_types_from_before_the_schema_are_told_in_their_own_status_and_harm_nobody(
    before_the_schema: Callable[[], Any], namespace: Namespace, request: pytest.FixtureRequest
) -> None:
    with before_the_schema():
        for name, (spec, _) in SPECS.items():
            create(namespace, f"a-{name}", **({} if spec is None else {"spec": spec}))
        for name, status in STATUSES.items():
            create(namespace, f"a-{name}", spec={"userId": name}, status=status)
    request.getfixturevalue("operator")
    namespace.apply("zoe")
    namespace.ready("zoe")
    for name, (_, says) in SPECS.items():
        if says is None:
            namespace.ready(f"a-{name}")
        else:
            assert says in eventually(lambda name=name: complaint(namespace, f"a-{name}")), name  # type: ignore[misc]
    # The API server rejects the status of an object on which it cannot evaluate its CEL rules: one Event says so.
    assert {name for name in SPECS if "status" not in namespace.schedule(f"a-{name}")} == UNWRITABLE
    for name in STATUSES:
        namespace.ready(f"a-{name}")
    served = [*(name for name, (_, says) in SPECS.items() if says is None), *STATUSES]
    made = namespace.items("cronjobs")
    assert len(made) == 2 * (len(served) + 1)
    assert "evil" not in json.dumps(made)
    # Once it is corrected, it is served.
    namespace.kubectl("patch", "us", "a-zone-local", "--type=merge", "-p", '{"spec":{"timeZone":"Etc/UTC"}}')
    namespace.ready("a-zone-local")


def test_ten_thousand_labels_and_large_annotations_harm_nobody(operator: KopfRunner, namespace: Namespace) -> None:
    labels = {f"label-{number}": "x" for number in range(10_000)}
    annotations = {"note": "y\u0000\u001b\U0001f600" * 30_000}
    create(namespace, "labels", spec={"userId": "labels"}, metadata={"labels": labels})
    create(namespace, "annotations", spec={"userId": "annotations"}, metadata={"annotations": annotations})
    namespace.apply("zoe")
    for name in ("zoe", "labels", "annotations"):
        namespace.ready(name)
    found = namespace.items("cronjobs", "catchup.dev/user-schedule=labels")
    assert [set(item["metadata"]["labels"]) & set(labels) for item in found] == [set(), set()]
    before = namespace.writes()
    namespace.kubectl("label", "us", "labels", "one-more=x")
    namespace.kubectl("annotate", "us", "annotations", "one-more=x")
    namespace.apply("bob")
    namespace.ready("bob")
    assert namespace.writes() - before == 3  # bob's


def test_a_job_as_large_as_the_api_server_takes_does_not_break_the_watch_for_the_others(
    operator: KopfRunner, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    namespace.apply("ada")
    namespace.ready()
    labels = {"catchup.dev/job": "sync", "catchup.dev/user-schedule": "ada"}
    labels |= {f"label-{number}": "x" * 60 for number in range(8_000)}
    for kind, spec in (
        ("Job", {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "x"}]}}}),
        (
            "CronJob",
            {
                "schedule": "0 0 1 1 *",
                "jobTemplate": {
                    "spec": {
                        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}
                    }
                },
            },
        ),
    ):
        metadata = {"name": "large", "labels": labels, "annotations": {"note": "y" * 200_000}}
        document = {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
        namespace.kubectl("create", "-f", "-", stdin=json.dumps(document))
    run_by_hand_of_ada(namespace)
    sync = eventually(lambda: (s := namespace.schedule()["status"]["sync"]).get("lastResult") and s)
    assert sync["lastJobName"] == "real"
    assert "watching" not in caplog.text


def run_by_hand_of_ada(namespace: Namespace) -> None:
    cronjob = namespace.schedule()["status"]["sync"]["cronJobName"]
    namespace.kubectl("create", "job", "real", f"--from=cronjob/{cronjob}")
    finish_job(namespace, "real", exit_code=0, message=summary(Outcome.DONE))
