from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body, schedule

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.status import member_status, patches, ready
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.job_section import active_since, cronjob_fields, next_runs
from catchup_operator.status.results import JobResult

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SLOT = NOW
SINCE = "2026-11-23T09:00:00Z"


def fields(name: str, uid: str, schedule: str, zone: str) -> dict[str, Any]:
    manifest = {"spec": {"schedule": schedule, "timeZone": zone}}
    return cronjob_fields(manifest, f"fingerprint-{name}", {"name": name, "uid": uid, "generation": 1})


BOTH = {
    SYNC: fields("ada-sync-x", "cj-1", "7,37 * * * *", "Etc/UTC"),
    DIGEST: fields("ada-digest-x", "cj-2", "0 9,10,12 * * 0", "Europe/Berlin"),
}


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396)."""
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
    since = active_since(found, schedule(spec), now=now)
    patch = patches.reconciled(found, schedule(spec), BOTH, template_hash="h", active_since=since, now=now)
    return body(spec, status=merge({}, patch))


def digest_run(result: str, minutes: int, reason: str | None = None, *, slot: datetime | None = SLOT) -> JobResult:
    return JobResult(
        DIGEST, f"ada-digest-x-{minutes}", NOW + timedelta(minutes=minutes), result, reason, message="m", slot=slot
    )


def told(*runs: JobResult) -> dict[str, Any]:
    """The status of the digest after these runs."""
    current = after_reconcile()
    for each in runs:
        patch = patches.recorded(current, schedule(), each, now=each.finished_at)
        current = merge(current, {"status": patch or {}})
    found: dict[str, Any] = current["status"]["digest"]
    return found


def run(result: str, minutes: int, **fields: Any) -> JobResult:
    return JobResult(SYNC, f"ada-sync-x-{minutes}", NOW + timedelta(minutes=minutes), result, **fields)


def test_a_reconciled_resource_is_ready_and_says_when_it_runs_next() -> None:
    found = after_reconcile({"timeZone": "Europe/Berlin"})["status"]
    assert found["conditions"][0]["status"] == "True"
    assert found["sync"]["display"] == "every 30m"
    assert found["sync"]["nextRuns"][0].endswith("CET (UTC+01:00)")
    assert found["digest"]["display"] == "Sunday 09:00"
    assert found["digest"]["schedule"] == "0 9,10,12 * * 0"
    assert found["digest"]["nextRuns"] == [
        "2026-11-29 09:00 CET (UTC+01:00)",
        "2026-12-06 09:00 CET (UTC+01:00)",
        "2026-12-13 09:00 CET (UTC+01:00)",
    ]
    assert found["digest"]["nextRunTimes"] == ["2026-11-29T08:00:00Z", "2026-12-06T08:00:00Z", "2026-12-13T08:00:00Z"]
    assert len(found["sync"]["nextRuns"]) == len(found["sync"]["nextRunTimes"]) == 3


def test_the_next_digest_is_the_due_time_never_one_of_its_later_firings() -> None:
    sunday = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)  # half an hour after the due time
    found = after_reconcile({"timeZone": "Europe/Berlin", "digest": {"day": "Daily"}}, now=sunday)["status"]
    assert found["digest"]["nextRuns"][0] == "2026-11-30 09:00 CET (UTC+01:00)"


def test_a_digest_in_a_zone_whose_clock_was_set_is_told_with_the_new_offset() -> None:
    now = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    found = after_reconcile({"timeZone": "Asia/Beirut"}, now=now)["status"]
    assert found["digest"]["nextRuns"][:2] == [
        "2026-03-29 09:00 EEST, clock changes before (UTC+03:00)",
        "2026-04-05 09:00 EEST (UTC+03:00)",
    ]
    assert found["digest"]["nextRunTimes"][0] == "2026-03-29T06:00:00Z"


@pytest.mark.parametrize(
    ("zone", "now", "told"),
    [
        # The last Sunday of October; the second run after the change is not marked.
        ("Europe/Berlin", datetime(2026, 10, 20, tzinfo=UTC), ["CET, clock changes before", "CET", "CET"]),
        ("Europe/Berlin", datetime(2026, 10, 12, tzinfo=UTC), ["CEST", "CET, clock changes before", "CET"]),
        ("Asia/Tokyo", datetime(2026, 10, 20, tzinfo=UTC), ["JST", "JST", "JST"]),
        # Half an hour, and a zone without an abbreviation.
        (
            "Australia/Lord_Howe",
            datetime(2026, 10, 1, tzinfo=UTC),
            ["+11, clock changes before", "+11", "+11"],
        ),
    ],
)
def test_a_clock_change_is_marked_at_the_first_run_after_it(zone: str, now: datetime, told: list[str]) -> None:
    found = after_reconcile({"timeZone": zone}, now=now)["status"]["digest"]["nextRuns"]
    assert [text[len("2026-10-25 09:00 ") : -len(" (UTC+01:00)")] for text in found] == told


def test_a_digest_that_is_spread_is_told_for_the_time_at_which_it_comes() -> None:
    made = patches.reconciled(
        body(), schedule(digest_spread=30), BOTH, template_hash="h", active_since={DIGEST: SINCE}, now=NOW
    )
    assert made
    assert made["digest"]["display"] == "Sunday 09:00"
    later = made["digest"]["nextRuns"][0]
    assert "2026-11-29 09:00" < later < "2026-11-29 09:30"
    assert next_runs(schedule(digest_spread=30), DIGEST, NOW)["nextRuns"] == made["digest"]["nextRuns"]


def reconciled_later(spec: dict[str, Any], now: datetime, **changes: Any) -> dict[str, Any]:
    """The status of a user who had the defaults until now."""
    before = after_reconcile()
    current = {**before, "spec": {**before["spec"], **spec}}
    patch = patches.reconciled(
        current, schedule(spec), BOTH, template_hash="h", active_since={DIGEST: SINCE}, now=now, **changes
    )
    found: dict[str, Any] = merge(current, {"status": patch or {}})["status"]
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"contested": ("ada-sync-x", "kubectl sets spec.suspend")},
        {"terminating": ("ada-sync-x", ("a.example/b",))},
        {"unready": ready.pool_not_found("people", has_cronjobs=True)},
    ],
    ids=["an edit", "a contest", "a finalizer", "a pool that is gone"],
)
def test_slots_that_passed_without_a_run_stay_whatever_is_written_meanwhile(changes: dict[str, Any]) -> None:
    slots = after_reconcile()["status"]["sync"]["nextRunTimes"]
    for passed in range(4):
        now = NOW + passed * timedelta(minutes=30)
        found = reconciled_later({"timeZone": "Asia/Tokyo"}, now, **changes)["sync"]["nextRunTimes"]
        assert found[:passed] == slots[:passed]
        assert len(found) == 3
        assert [slot > format_utc(now) for slot in found] == [False] * passed + [True] * (3 - passed)
    # The slots of another interval count on from there.
    found = reconciled_later({"calendarSync": {"every": "24h"}}, NOW + timedelta(minutes=30), **changes)
    assert found["sync"]["nextRunTimes"][0] == slots[0]


def test_a_due_time_that_passed_stays_only_while_the_timetable_has_it() -> None:
    due = after_reconcile()["status"]["digest"]["nextRunTimes"]
    now = parse_utc(due[0]) + timedelta(minutes=10)
    kept = reconciled_later({"calendarSync": {"every": "1h"}}, now)["digest"]
    assert kept["nextRunTimes"] == due
    assert kept["nextRuns"][0].startswith(due[0][:10])
    moved = reconciled_later({"digest": {"time": "18:30"}}, now)["digest"]["nextRunTimes"]
    assert moved[0] > format_utc(now)
    off = reconciled_later({"digest": {"enabled": False}}, now)["digest"]
    assert "nextRunTimes" not in off


def test_an_invalid_spec_tells_of_absent_runs_and_leaves_the_next_ones() -> None:
    absent = {SYNC: Condition("SyncHealthy", "False", "RunMissing", "no sync has ended")}
    patch = patches.refreshed(after_reconcile(), None, absent, now=NOW)
    assert patch is not None
    assert patch.keys() == {"conditions"}
    assert find_condition(patch, "SyncHealthy")["reason"] == "RunMissing"


def test_nothing_is_written_where_the_status_says_it_already() -> None:
    current = after_reconcile()
    assert patches.is_current(current, "h")
    assert (
        patches.reconciled(current, schedule(), BOTH, template_hash="h", active_since={DIGEST: SINCE}, now=NOW) is None
    )


def test_another_generation_another_template_or_a_failure_needs_a_visit() -> None:
    current = after_reconcile()
    assert not patches.is_current(current, "other")
    assert not patches.is_current(merge(current, {"metadata": {"generation": 2}}), "h")
    refused = merge(current, {"status": patches.not_ready(current, ready.refused("quota"), now=NOW)})
    assert not patches.is_current(refused, "h")


def test_the_time_of_a_condition_changes_only_with_its_status() -> None:
    current = after_reconcile()
    later = NOW + timedelta(hours=1)
    again = patches.reconciled(
        current, schedule({"suspend": True}), BOTH, template_hash="h", active_since={DIGEST: None}, now=later
    )
    assert again is not None
    assert again["conditions"][0]["lastTransitionTime"] == "2026-11-23T09:00:00Z"
    failed = patches.not_ready(current, ready.refused("quota"), now=later)
    assert failed is not None
    assert failed["conditions"][0]["lastTransitionTime"] == "2026-11-23T10:00:00Z"


def test_what_is_switched_off_has_no_next_run() -> None:
    suspended, disabled = after_reconcile({"suspend": True}), after_reconcile({"calendarSync": {"enabled": False}})
    assert suspended["status"]["sync"]["display"] == "Suspended"
    assert disabled["status"]["sync"]["display"] == "Disabled"
    assert "nextRuns" not in suspended["status"]["sync"]
    assert "nextRuns" not in disabled["status"]["sync"]
    assert (suspended["status"]["digest"]["display"], "nextRuns" in suspended["status"]["digest"]) == (
        "Suspended",
        False,
    )
    assert disabled["status"]["digest"]["display"] == "Sunday 09:00"
    without = after_reconcile({"digest": {"enabled": False}})["status"]
    assert (without["digest"]["display"], "nextRuns" in without["digest"]) == ("Disabled", False)
    assert without["sync"]["display"] == "every 30m"


def test_a_digest_runs_since_it_was_made_or_resumed_and_an_edit_does_not_change_that() -> None:
    current, later = after_reconcile(), NOW + timedelta(days=1)
    assert current["status"]["digest"]["activeSince"] == SINCE
    assert active_since(current, schedule({"digest": {"time": "18:30"}}), now=later) == {DIGEST: SINCE}
    made = body(creationTimestamp="2026-11-20T09:00:00Z")
    assert active_since(made, schedule(), now=later) == {DIGEST: "2026-11-20T09:00:00Z"}
    for off in ({"suspend": True}, {"digest": {"enabled": False}}):
        assert active_since(current, schedule(off), now=later) == {DIGEST: None}
        stopped = patches.reconciled(
            current, schedule(off), BOTH, template_hash="h", active_since={DIGEST: None}, now=later
        )
        resumed = merge(current, {"status": stopped})
        assert "activeSince" not in resumed["status"]["digest"]
        assert active_since(resumed, schedule(), now=later) == {DIGEST: "2026-11-24T09:00:00Z"}


SUSPENSION = {"suspension": {"reason": "ops, mailboxes move", "until": "2026-11-24T09:00:00Z"}}


def test_a_suspension_is_told_with_its_reason_and_end_and_a_digest_that_is_due_after_its_end_is_not_lost() -> None:
    current, end = after_reconcile(), NOW + timedelta(days=1)
    paused = schedule(SUSPENSION).at(NOW)
    off = active_since(current, paused, now=NOW)
    patch = patches.reconciled(current, paused, BOTH, template_hash="h", active_since=off, now=NOW)
    suspended = merge(current, {"status": patch})
    found = suspended["status"]
    assert (found["suspendedUntil"], found["sync"]["display"]) == ("2026-11-24T09:00:00Z", "Suspended")
    ready_now = find_condition(found, "Ready")
    assert (ready_now["status"], ready_now["reason"]) == ("True", "Suspended")
    assert "until 2026-11-24T09:00:00Z: ops, mailboxes move; they resume by themselves" in ready_now["message"]
    assert [patches.must_resume(suspended, at) for at in (end - timedelta(seconds=1), end)] == [False, True]
    # The operator was away at the end.
    late = end + timedelta(hours=1)
    resumed = schedule(SUSPENSION).at(late)
    since = active_since(suspended, resumed, now=late)
    assert since == {DIGEST: "2026-11-24T09:00:00Z"}
    patch = patches.reconciled(suspended, resumed, BOTH, template_hash="h", active_since=since, now=late)
    running = merge(suspended, {"status": patch})
    assert "suspendedUntil" not in running["status"]
    assert not patches.must_resume(running, late)
    # Resumed by hand before its end: from now on.
    early = end - timedelta(hours=1)
    assert active_since(suspended, schedule().at(early), now=early) == {DIGEST: "2026-11-24T08:00:00Z"}


def test_a_suspended_user_schedule_in_a_pool_says_so_and_has_its_digests_since_the_end() -> None:
    found = body({"pool": "people", **SUSPENSION})
    for now, reason in ((NOW, "Suspended"), (NOW + timedelta(days=1), "Pooled")):
        read = schedule({"pool": "people", **SUSPENSION}).at(now)
        since = active_since(found, read, now=now)
        patch = member_status.pooled(found, read, active_since=since, now=now, is_found=True, pool_off={})
        found = merge(found, {"status": patch})
        assert find_condition(found["status"], "Ready")["reason"] == reason
        assert "nextRuns" not in found["status"]["digest"]
    assert found["status"]["digest"]["activeSince"] == "2026-11-24T09:00:00Z"


def test_runs_are_counted_and_a_success_ends_the_failures_but_keeps_the_last_error() -> None:
    current = after_reconcile()
    for each in (
        run("Failed", 0, reason="Unavailable", message="m"),
        run("Failed", 30, reason="Unavailable", message="m"),
    ):
        current = merge(current, {"status": patches.recorded(current, schedule(), each, now=NOW)})
    assert current["status"]["sync"]["consecutiveFailures"] == 2
    assert "lastSuccessTime" not in current["status"]["sync"]
    success = run("Succeeded", 60, counts={"calendars": 2})
    current = merge(current, {"status": patches.recorded(current, schedule(), success, now=NOW)})
    found = current["status"]["sync"]
    assert (found["consecutiveFailures"], found["lastResult"], found["counts"]) == (0, "Succeeded", {"calendars": 2})
    assert found["lastSuccessTime"] == "2026-11-23T10:00:00Z"
    assert found["lastError"]["time"] == "2026-11-23T09:30:00Z"
    assert "lastReason" not in found


def test_counts_of_an_earlier_run_do_not_stay() -> None:
    current = after_reconcile()
    for each in (run("Succeeded", 0, counts={"calendars": 2, "pages": 3}), run("Succeeded", 30, counts={"pages": 1})):
        current = merge(current, {"status": patches.recorded(current, schedule(), each, now=NOW)})
    assert current["status"]["sync"]["counts"] == {"pages": 1}


def test_a_run_is_told_once_and_never_over_a_later_one() -> None:
    current = after_reconcile()
    late = run("Succeeded", 30)
    current = merge(current, {"status": patches.recorded(current, schedule(), late, now=NOW)})
    assert patches.recorded(current, schedule(), late, now=NOW) is None
    assert patches.recorded(current, schedule(), run("Failed", 0, reason="x", message="m"), now=NOW) is None


def test_later_firings_that_find_the_digest_settled_do_not_hide_what_became_of_it() -> None:
    found = told(digest_run("Succeeded", 0), digest_run("Skipped", 60, "AlreadyDone"))
    assert (found["lastResult"], found["lastRunTime"]) == ("Succeeded", "2026-11-23T09:00:00Z")
    found = told(digest_run("Skipped", 0, "Empty"), digest_run("Skipped", 60, "Empty"))
    assert (found["lastReason"], found["lastRunTime"]) == ("Empty", "2026-11-23T09:00:00Z")


def test_a_firing_before_the_due_time_is_no_news() -> None:
    assert "lastResult" not in told(digest_run("Skipped", -60, "NotDue"))


def test_a_later_firing_that_sent_or_failed_is_news() -> None:
    assert told(digest_run("Failed", 0, "Unavailable"), digest_run("Succeeded", 60))["lastResult"] == "Succeeded"
    assert told(digest_run("Skipped", 0, "Empty"), digest_run("Failed", 60, "BadData"))["lastReason"] == "BadData"
    assert told(digest_run("Failed", 0, "Unavailable"), digest_run("Skipped", 60, "Late"))["lastReason"] == "Late"


def test_a_digest_that_was_sent_while_the_operator_was_down_is_told_by_a_later_firing() -> None:
    found = told(digest_run("Succeeded", -7 * 24 * 60), digest_run("Skipped", 60, "AlreadyDone"))
    assert (found["lastResult"], found["lastReason"]) == ("Skipped", "AlreadyDone")


def test_a_digest_run_by_hand_is_told_whatever_it_found() -> None:
    found = told(digest_run("Succeeded", 0), digest_run("Skipped", 60, "AlreadyDone", slot=None))
    assert (found["lastResult"], found["lastReason"]) == ("Skipped", "AlreadyDone")


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
    assert (patches.if_changed({"status": current}, patch) is not None) == (merge(current, patch) != current)
