from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.operator.factories import schedule

from catchup_contract.kinds import Job
from catchup_operator.manifests.names import labels
from catchup_operator.state.drift import Expected, Ledger

KEY = ("people", "ada-sync-x")
EXPECTED = Expected("ada", "uid-1", "cj-1", 2)


def cronjob(**changes: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "people",
        "name": "ada-sync-x",
        "uid": "cj-1",
        "generation": 2,
        "labels": labels(schedule(), Job.SYNC),
        "ownerReferences": [{"uid": "uid-1", "controller": True}],
    }
    return {"metadata": {**metadata, **changes}}


def reporting_to(drifts: list[str]) -> Ledger:
    found = Ledger()
    found.report_to(lambda _, schedule: drifts.append(schedule))
    return found


@pytest.fixture
def drifts() -> list[str]:
    return []


@pytest.fixture
def ledger(drifts: list[str]) -> Ledger:
    found = reporting_to(drifts)
    found.listed("people", set())
    found.expect(KEY, EXPECTED, applied=True)
    return found


def test_a_cronjob_as_it_was_left_is_no_drift(ledger: Ledger, drifts: list[str]) -> None:
    ledger.see(cronjob())
    assert drifts == []


@pytest.mark.parametrize(
    "change",
    [{"generation": 3}, {"uid": "cj-2", "generation": 1}, {"ownerReferences": []}, {"labels": {}}],
    ids=["edited", "recreated by hand", "owner removed", "labels removed"],
)
def test_a_changed_cronjob_is_drift(ledger: Ledger, drifts: list[str], change: dict[str, Any]) -> None:
    ledger.see(cronjob(**change))
    assert drifts == ["ada"]


def test_a_view_older_than_our_last_write_is_no_drift(ledger: Ledger, drifts: list[str]) -> None:
    ledger.see(cronjob(generation=1))
    assert drifts == []


def test_a_deleted_cronjob_is_drift(ledger: Ledger, drifts: list[str]) -> None:
    ledger.see(cronjob())
    ledger.lose(KEY)
    assert drifts == ["ada"]


def test_a_cronjob_is_shown_as_it_was_left_only_while_nothing_else_is_known(ledger: Ledger) -> None:
    assert not ledger.shows(KEY, EXPECTED)  # not seen yet
    ledger.see(cronjob())
    assert ledger.shows(KEY, EXPECTED)
    assert not ledger.shows(KEY, replace(EXPECTED, generation=1))  # the status is behind our last write
    ledger.expect(KEY, replace(EXPECTED, generation=3), applied=True)
    assert not ledger.shows(KEY, EXPECTED)  # the watch is behind it


def test_after_a_restart_what_the_watch_shows_is_believed() -> None:
    ledger = Ledger()
    ledger.see(cronjob())
    assert ledger.shows(KEY, EXPECTED)
    changes: list[dict[str, Any]] = [{"generation": 3}, {"uid": "cj-2"}, {"ownerReferences": []}, {"labels": {}}]
    for change in changes:
        ledger.see(cronjob(**change))
        assert not ledger.shows(KEY, EXPECTED)


def test_one_that_the_watch_never_showed_is_drift_only_after_a_full_list(ledger: Ledger, drifts: list[str]) -> None:
    assert drifts == []
    ledger.listed("people", set())
    assert drifts == ["ada"]


def test_a_deletion_that_the_watch_missed_is_found_by_the_next_list(ledger: Ledger, drifts: list[str]) -> None:
    ledger.see(cronjob())
    ledger.listed("people", set())
    assert drifts == ["ada"]


def test_a_list_of_one_namespace_says_nothing_of_another(ledger: Ledger, drifts: list[str]) -> None:
    ledger.see(cronjob())
    ledger.listed("others", set())
    assert drifts == []


def test_before_the_first_list_nothing_is_drift() -> None:
    drifts: list[str] = []
    ledger = reporting_to(drifts)
    ledger.expect(KEY, EXPECTED, applied=False)
    ledger.see(cronjob(generation=9))
    assert drifts == []
    ledger.listed(None, {KEY})
    assert drifts == ["ada"]


def test_a_cronjob_whose_resource_is_gone_is_forgotten(ledger: Ledger, drifts: list[str]) -> None:
    ledger.disown(KEY)
    ledger.see(cronjob(generation=9))
    ledger.lose(KEY)
    assert drifts == []


def test_one_that_is_missing_when_a_restarted_operator_remembers_it_is_drift(drifts: list[str]) -> None:
    ledger = reporting_to(drifts)
    ledger.listed(None, set())
    ledger.expect(KEY, EXPECTED, applied=False)
    assert drifts == ["ada"]
