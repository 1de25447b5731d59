"""What tools that read kstatus (Flux, `kubectl wait` by Helm and others) make of a status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from unit.operator.factories import body, schedule
from unit.operator.status.test_patches import BOTH, after_reconcile, merge

from catchup_operator.manifests.names import USER_SCHEDULE
from catchup_operator.status import patches, ready
from catchup_operator.status.conditions import Condition
from catchup_operator.status.events import events

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def kstatus(resource: Mapping[str, Any]) -> str:
    """By `checkGenericProperties` and `checkReadyCondition` of sigs.k8s.io/cli-utils (pkg/kstatus/status)."""
    status = resource.get("status") or {}
    if status.get("observedGeneration") != resource["metadata"]["generation"]:
        return "InProgress"
    found = {condition["type"]: condition["status"] for condition in status["conditions"]}
    for kind, result in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if found.get(kind) == "True":
            return result
    return {"True": "Current", "False": "InProgress", "Unknown": "InProgress"}[found["Ready"]]


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        (ready.invalid_spec(ValueError("spec.timeZone")), "Failed"),
        (ready.conflict("people/older"), "Failed"),
        (ready.refused("exceeded quota"), "Failed"),
        (ready.failed("the patch does not fit"), "Failed"),
        (ready.mutated("ada-sync", "spec.suspend is true, not false"), "Failed"),
        (ready.webhook_failed("connection refused"), "InProgress"),
        (ready.list_refused("exceeded quota"), "InProgress"),
        (ready.permission_missing("patch cronjobs", "forbidden"), "InProgress"),
        (ready.contested("ada-sync", "kubectl-edit sets spec.suspend"), "InProgress"),
    ],
    ids=lambda value: getattr(value, "reason", value),
)
def test_what_waits_for_somebody_has_failed_and_what_repeats_is_in_progress(condition: Condition, result: str) -> None:
    before = after_reconcile()
    assert kstatus(before) == "Current"
    patch = patches.not_ready(before, condition, now=NOW)
    assert patch is not None
    assert [found["type"] for found in patch["conditions"]][2:] == ["SyncHealthy", "DigestHealthy"]
    after = {**before, "status": {**before["status"], **patch}}
    assert kstatus(after) == result
    assert patches.not_ready(after, condition, now=NOW) is None
    # One Event tells of it, not two.
    assert [event["reason"] for event in events(USER_SCHEDULE, before, patch, NOW)] == [condition.reason]


def test_neither_stays_once_it_is_ready() -> None:
    stalled = patches.not_ready(body(), ready.refused("exceeded quota"), now=NOW)
    assert stalled is not None
    before = body(status=stalled)
    patch = patches.reconciled(before, schedule(), BOTH, template_hash="h", active_since={}, now=NOW)
    assert patch is not None
    assert kstatus({**before, "status": patch}) == "Current"
    assert [found["type"] for found in patch["conditions"]] == ["Ready", "SyncHealthy", "DigestHealthy"]


def test_after_an_uninstall_nothing_is_promised_and_no_event_tells_of_it() -> None:
    stalled = patches.not_ready(after_reconcile(), ready.refused("exceeded quota"), now=NOW)
    assert stalled is not None
    before = body(status=merge(after_reconcile()["status"], stalled))
    patch = patches.unserved(before, now=NOW)
    assert patch is not None
    after = body(status=merge(before["status"], patch))
    assert [(found["type"], found["status"]) for found in after["status"]["conditions"]][:1] == [("Ready", "Unknown")]
    assert "Stalled" not in {found["type"] for found in after["status"]["conditions"]}
    assert not {"nextRuns", "nextRunTimes"} & {*after["status"]["sync"], *after["status"]["digest"]}
    assert after["status"]["digest"]["activeSince"] == before["status"]["digest"]["activeSince"]
    assert not list(events(USER_SCHEDULE, before, patch, NOW))
    assert kstatus(after) == "InProgress"
    assert not patches.is_current(after, "h")
    assert patches.unserved(after, now=NOW) is None
