from __future__ import annotations

from datetime import UTC, datetime

from unit.operator.factories import body

from catchup_operator.manifests.names import USER_SCHEDULE
from catchup_operator.status.conditions import READY, Condition, merge_conditions
from catchup_operator.status.events import events

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def told(*steps: Condition) -> list[tuple[str, str]]:
    """The Events of a status that goes through these conditions."""
    found: list[tuple[str, str]] = []
    current = body()
    for step in steps:
        patch = {"conditions": merge_conditions(current, [step], NOW)}
        found += [(event["type"], event["reason"]) for event in events(USER_SCHEDULE, current, patch, NOW)]
        current = body(status=patch)
    return found


def ready(status: str, reason: str) -> Condition:
    return Condition(READY, status, reason, "words")


def test_a_condition_is_announced_when_it_becomes_false_and_when_it_mends_and_not_in_between() -> None:
    assert told(
        ready("True", "Reconciled"),
        ready("False", "CronJobRefused"),
        ready("False", "CronJobRefused"),
        ready("True", "Reconciled"),
        ready("True", "Suspended"),
    ) == [("Warning", "CronJobRefused"), ("Normal", "Reconciled")]


def test_another_reason_is_announced_too() -> None:
    steps = (Condition("SyncHealthy", "False", reason, "m") for reason in ("Reconnect", "Unavailable", "Unavailable"))
    assert told(*steps) == [("Warning", "Reconnect"), ("Warning", "Unavailable")]


def test_a_job_that_is_switched_off_or_has_not_run_yet_is_no_news() -> None:
    assert told(Condition("SyncHealthy", "Unknown", "NoRunYet", "m"), Condition("SyncHealthy", "True", "x", "m")) == []
    assert told(ready("False", "x"), ready("Unknown", "Suspended")) == [("Warning", "x")]


def test_an_event_names_its_resource_by_uid() -> None:
    patch = {"conditions": merge_conditions(body(), [ready("False", "Conflict")], NOW)}
    (found,) = events(USER_SCHEDULE, body(), patch, NOW)
    assert found["involvedObject"]["uid"] == "uid-1"
    assert found["metadata"] == {"generateName": "ada-", "namespace": "people"}
    assert (found["type"], found["reason"], found["message"]) == ("Warning", "Conflict", "Ready: words")
