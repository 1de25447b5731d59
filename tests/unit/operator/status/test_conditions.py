from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import DIGEST, SYNC
from catchup_operator.status.conditions import READY, Condition, merge_conditions
from catchup_operator.status.job_health import job_health

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("entry", "status", "reason", "says"),
    [
        ({}, "Unknown", "NoRunYet", "no digest has ended yet"),
        ({"lastResult": "Succeeded"}, "True", "Succeeded", "ended well"),
        ({"lastResult": "Succeeded", "lastReason": "Partial"}, "True", "Partial", "left something out"),
        ({"lastResult": "Skipped", "lastReason": "Empty"}, "True", "Empty", "no suggestion to send"),
        ({"lastResult": "Skipped", "lastReason": "Locked"}, "True", "Locked", "another run"),
        ({"lastResult": "Skipped"}, "True", "Skipped", "the last digest had nothing to do"),
        ({"lastResult": "Skipped", "lastReason": "Reconnect"}, "False", "Reconnect", "connect the calendar again"),
        ({"lastResult": "Skipped", "lastReason": "NotConfigured"}, "False", "NotConfigured", "chart's values"),
        ({"lastResult": "Skipped", "lastReason": "Late"}, "False", "Late", "4 hours"),
        ({"lastResult": "Succeeded", "lastReason": "Undelivered"}, "False", "Undelivered", "refused for good"),
        ({"lastResult": "Failed"}, "False", "Failed", "see the log"),
        (
            {
                "lastResult": "Failed",
                "lastReason": "UnknownUser",
                "consecutiveFailures": 3,
                "lastError": {"message": "import the user"},
            },
            "False",
            "UnknownUser",
            "3 in a row; import the user",
        ),
    ],
)
def test_a_jobs_health_is_how_its_last_run_ended_and_what_to_do_about_it(
    entry: dict[str, Any], status: str, reason: str, says: str
) -> None:
    found = job_health(DIGEST, entry)
    assert (found.type, found.status, found.reason) == ("DigestHealthy", status, reason)
    assert says in found.message


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        (
            {"calendarsFailed": 1, "eventsUnreadable": 2},
            ["calendars not read: 1", "block as before", "events not read: 2"],
        ),
        ({"calendarsGone": 1, "calendarsFailed": 0}, ["calendars gone: 1 (they were deselected"]),
        ({"calendars": 3}, ["left something out"]),
    ],
)
def test_a_partial_sync_says_what_was_left_out_and_what_follows(counts: dict[str, int], says: list[str]) -> None:
    found = job_health(SYNC, {"lastResult": "Succeeded", "lastReason": "Partial", "counts": counts})
    assert (found.status, found.reason) == ("True", "Partial")
    assert all(text in found.message for text in says)
    assert "calendars not read: 0" not in found.message


def test_the_condition_names_the_primary_calendar_and_the_consequence() -> None:
    found = job_health(SYNC, {"lastResult": "Succeeded", "lastReason": "CalendarUnreadable", "counts": {}})
    assert found.status == "False"
    assert "primary calendar cannot be read" in found.message
    assert "no new suggestions" in found.message


@pytest.mark.parametrize("switched_off", ["Suspended", "Disabled"])
def test_what_is_switched_off_is_neither_well_nor_ill(switched_off: str) -> None:
    found = job_health(SYNC, {"lastResult": "Failed"}, switched_off=switched_off)
    assert (found.type, found.status, found.reason) == ("SyncHealthy", "Unknown", switched_off)


def test_a_change_of_one_condition_keeps_the_others_and_their_times() -> None:
    conditions = [Condition("SyncHealthy", "Unknown", "NoRunYet", "m"), Condition(READY, "True", "Reconciled", "m")]
    first = merge_conditions(body(), conditions, NOW)
    assert [each["type"] for each in first] == ["Ready", "SyncHealthy"]
    ill = merge_conditions(
        body(status={"conditions": first}), [Condition("SyncHealthy", "False", "Reconnect", "m")], LATER
    )
    assert ill[0] == first[0]
    assert (ill[1]["status"], ill[1]["lastTransitionTime"]) == ("False", "2026-11-23T10:00:00Z")


def test_the_time_of_a_condition_changes_only_with_its_status() -> None:
    first = merge_conditions(body(), [Condition("SyncHealthy", "False", "Reconnect", "m")], NOW)
    again = merge_conditions(
        body(status={"conditions": first}), [Condition("SyncHealthy", "False", "Failed", "n")], LATER
    )
    assert (again[0]["reason"], again[0]["lastTransitionTime"]) == ("Failed", "2026-11-23T09:00:00Z")


def test_a_condition_of_somebody_else_is_left_alone() -> None:
    foreign = {
        "type": "Audited",
        "status": "True",
        "reason": "x",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    found = merge_conditions(body(status={"conditions": [foreign]}), [Condition(READY, "True", "Reconciled", "m")], NOW)
    assert found[1] == foreign
