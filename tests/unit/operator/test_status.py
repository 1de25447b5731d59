from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body, schedule

from catchup_jobs.contract import Job
from catchup_operator import status
from catchup_operator.runs import Run

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
CRONJOB = {
    "metadata": {"name": "ada-sync-x", "uid": "cj-1", "generation": 1},
    "spec": {"schedule": "7,37 * * * *", "timeZone": "Etc/UTC"},
}


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def after_reconcile(spec: dict[str, Any] | None = None, now: datetime = NOW) -> dict[str, Any]:
    found = body(spec)
    patch = status.reconciled(found, schedule(spec), {Job.SYNC: CRONJOB}, template_hash="h", now=now)
    return body(spec, status=merge({}, patch))


def run(result: str, minutes: int, **fields: Any) -> Run:
    return Run(Job.SYNC, f"ada-sync-x-{minutes}", NOW + timedelta(minutes=minutes), result, **fields)


def test_a_reconciled_resource_is_ready_and_says_when_it_runs_next() -> None:
    found = after_reconcile({"timeZone": "Europe/Berlin"})["status"]
    assert found["conditions"][0]["status"] == "True"
    assert found["sync"]["display"] == "every 30m"
    assert found["sync"]["nextRun"].endswith("CET (UTC+01:00)")


def test_nothing_is_written_where_the_status_says_it_already() -> None:
    current = after_reconcile()
    assert status.is_current(current, "h")
    assert status.reconciled(current, schedule(), {Job.SYNC: CRONJOB}, template_hash="h", now=NOW) is None


def test_another_generation_another_template_or_a_failure_needs_a_visit() -> None:
    current = after_reconcile()
    assert not status.is_current(current, "other")
    assert not status.is_current(merge(current, {"metadata": {"generation": 2}}), "h")
    refused = merge(current, {"status": status.not_ready(current, status.REFUSED, "quota", now=NOW)})
    assert not status.is_current(refused, "h")


def test_the_time_of_a_condition_changes_only_with_its_status() -> None:
    current = after_reconcile()
    later = NOW + timedelta(hours=1)
    again = status.reconciled(current, schedule({"suspend": True}), {Job.SYNC: CRONJOB}, template_hash="h", now=later)
    assert again is not None
    assert again["conditions"][0]["lastTransitionTime"] == "2026-11-23T09:00:00Z"
    failed = status.not_ready(current, status.REFUSED, "quota", now=later)
    assert failed is not None
    assert failed["conditions"][0]["lastTransitionTime"] == "2026-11-23T10:00:00Z"


def test_what_is_switched_off_has_no_next_run() -> None:
    suspended, disabled = after_reconcile({"suspend": True}), after_reconcile({"calendarSync": {"enabled": False}})
    assert suspended["status"]["sync"]["display"] == "Suspended"
    assert disabled["status"]["sync"]["display"] == "Disabled"
    assert "nextRun" not in suspended["status"]["sync"]
    assert "nextRun" not in disabled["status"]["sync"]


def test_runs_are_counted_and_a_success_ends_the_failures_but_keeps_the_last_error() -> None:
    current = after_reconcile()
    for each in (
        run("Failed", 0, reason="Unavailable", message="m"),
        run("Failed", 30, reason="Unavailable", message="m"),
    ):
        current = merge(current, {"status": status.recorded(current, schedule(), each, now=NOW)})
    assert current["status"]["sync"]["consecutiveFailures"] == 2
    assert "lastSuccessTime" not in current["status"]["sync"]
    success = run("Succeeded", 60, counts={"calendars": 2})
    current = merge(current, {"status": status.recorded(current, schedule(), success, now=NOW)})
    found = current["status"]["sync"]
    assert (found["consecutiveFailures"], found["lastResult"], found["counts"]) == (0, "Succeeded", {"calendars": 2})
    assert found["lastSuccessTime"] == "2026-11-23T10:00:00Z"
    assert found["lastError"]["time"] == "2026-11-23T09:30:00Z"
    assert "lastReason" not in found


def test_counts_of_an_earlier_run_do_not_stay() -> None:
    current = after_reconcile()
    for each in (run("Succeeded", 0, counts={"calendars": 2, "pages": 3}), run("Succeeded", 30, counts={"pages": 1})):
        current = merge(current, {"status": status.recorded(current, schedule(), each, now=NOW)})
    assert current["status"]["sync"]["counts"] == {"pages": 1}


def test_a_run_is_told_once_and_never_over_a_later_one() -> None:
    current = after_reconcile()
    late = run("Succeeded", 30)
    current = merge(current, {"status": status.recorded(current, schedule(), late, now=NOW)})
    assert status.recorded(current, schedule(), late, now=NOW) is None
    assert status.recorded(current, schedule(), run("Failed", 0, reason="x", message="m"), now=NOW) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
json_objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)


@given(json_objects, json_objects)
def test_a_patch_is_kept_exactly_when_merging_it_changes_something(
    current: dict[str, Any], patch: dict[str, Any]
) -> None:
    current = merge({}, current)  # a stored document holds no nulls outside lists
    assert (status._changed(current, patch) is not None) == (merge(current, patch) != current)
