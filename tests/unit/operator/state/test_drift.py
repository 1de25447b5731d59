from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from catchup_contract.kinds import SYNC
from catchup_operator.manifests.names import SCHEDULE_POOL, USER_SCHEDULE, labels
from catchup_operator.state.drift import DriftDetector, ExpectedCronJob

KEY = ("people", "ada-sync-x")
EXPECTED = ExpectedCronJob(USER_SCHEDULE, "ada", "uid-1", "cj-1", 2)

OWNER = {"kind": "UserSchedule", "name": "ada", "uid": "uid-1", "controller": True}


def cronjob(**changes: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "people",
        "name": "ada-sync-x",
        "uid": "cj-1",
        "generation": 2,
        "labels": labels(USER_SCHEDULE, "ada", SYNC),
        "ownerReferences": [OWNER],
    }
    return {"metadata": {**metadata, **changes}}


def reporting_to(drifts: list[str]) -> DriftDetector:
    found = DriftDetector()
    found.subscribe(lambda _, expected: drifts.append(expected.owner_name))
    return found


@pytest.fixture
def drifts() -> list[str]:
    return []


@pytest.fixture
def detector(drifts: list[str]) -> DriftDetector:
    found = reporting_to(drifts)
    found.observe_list("people", set())
    found.expect(KEY, EXPECTED, just_applied=True)
    return found


def test_a_cronjob_as_it_was_left_is_no_drift(detector: DriftDetector, drifts: list[str]) -> None:
    detector.observe(cronjob())
    assert drifts == []


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 3},
        {"uid": "cj-2", "generation": 1},
        {"ownerReferences": []},
        {"ownerReferences": [OWNER, {"uid": "uid-2"}]},
        {"labels": {}},
        {"labels": labels(USER_SCHEDULE, "bob", SYNC)},
        {"labels": labels(SCHEDULE_POOL, "ada", SYNC)},
    ],
    ids=["edited", "recreated by hand", "owner removed", "owner added", "labels removed", "of another", "of a pool"],
)
def test_a_changed_cronjob_is_drift(detector: DriftDetector, drifts: list[str], change: dict[str, Any]) -> None:
    detector.observe(cronjob(**change))
    assert drifts == ["ada"]


@pytest.mark.parametrize("change", [{"ownerReferences": []}, {"labels": {}}, {"uid": "cj-2", "generation": 1}])
def test_marks_that_an_admission_takes_off_at_each_apply_are_no_drift_but_an_edit_is(
    detector: DriftDetector, drifts: list[str], change: dict[str, Any]
) -> None:
    detector.expect(KEY, replace(EXPECTED, is_unmarked=True), just_applied=True)
    detector.observe(cronjob(**change))
    detector.observe_deletion(KEY)  # so it is told of one that has lost the labels by which it is watched
    assert (drifts, detector.is_deleted(KEY)) == ([], False)
    detector.observe(cronjob(**{"generation": 3, **change} | {"generation": 3}))
    assert drifts == ["ada"]


def test_a_view_older_than_our_last_write_is_no_drift(detector: DriftDetector, drifts: list[str]) -> None:
    detector.observe(cronjob(generation=1))
    assert drifts == []


def test_a_deleted_cronjob_is_drift(detector: DriftDetector, drifts: list[str]) -> None:
    detector.observe(cronjob())
    detector.observe_deletion(KEY)
    assert drifts == ["ada"]


def test_a_cronjob_is_shown_as_it_was_left_only_while_nothing_else_is_known(detector: DriftDetector) -> None:
    assert not detector.is_unchanged(KEY, EXPECTED)  # not seen yet
    detector.observe(cronjob())
    assert detector.is_unchanged(KEY, EXPECTED)
    assert not detector.is_unchanged(KEY, replace(EXPECTED, generation=1))  # the status is behind our last write
    detector.expect(KEY, replace(EXPECTED, generation=3), just_applied=True)
    assert not detector.is_unchanged(KEY, EXPECTED)  # the watch is behind it


def test_after_a_restart_what_the_watch_shows_is_believed() -> None:
    detector = DriftDetector()
    detector.observe(cronjob())
    assert detector.is_unchanged(KEY, EXPECTED)
    changes: list[dict[str, Any]] = [{"generation": 3}, {"uid": "cj-2"}, {"ownerReferences": []}, {"labels": {}}]
    for change in changes:
        detector.observe(cronjob(**change))
        assert not detector.is_unchanged(KEY, EXPECTED)


def test_one_that_the_watch_never_showed_is_drift_only_after_a_full_list(
    detector: DriftDetector, drifts: list[str]
) -> None:
    assert drifts == []
    detector.observe_list("people", set())
    assert drifts == ["ada"]


def test_a_deletion_that_the_watch_missed_is_found_by_the_next_list(detector: DriftDetector, drifts: list[str]) -> None:
    detector.observe(cronjob())
    detector.observe_list("people", set())
    assert drifts == ["ada"]


def test_a_list_of_one_namespace_says_nothing_of_another(detector: DriftDetector, drifts: list[str]) -> None:
    detector.observe(cronjob())
    detector.observe_list("others", set())
    assert drifts == []


def test_before_the_first_list_nothing_is_drift() -> None:
    drifts: list[str] = []
    detector = reporting_to(drifts)
    detector.expect(KEY, EXPECTED, just_applied=False)
    detector.observe(cronjob(generation=9))
    assert drifts == []
    detector.observe_list(None, {KEY})
    assert drifts == ["ada"]


def test_a_cronjob_whose_resource_is_gone_is_forgotten(detector: DriftDetector, drifts: list[str]) -> None:
    detector.forget(KEY)
    detector.observe(cronjob(generation=9))
    detector.observe_deletion(KEY)
    assert drifts == []


def test_one_that_is_missing_when_a_restarted_operator_remembers_it_is_drift(drifts: list[str]) -> None:
    detector = reporting_to(drifts)
    detector.observe_list(None, set())
    detector.expect(KEY, EXPECTED, just_applied=False)
    assert drifts == ["ada"]


def test_a_cronjob_that_another_pod_of_the_release_has_applied_is_expected_as_the_status_names_it(
    detector: DriftDetector, drifts: list[str]
) -> None:
    detector.expect(KEY, EXPECTED, just_applied=True)
    detector.observe(cronjob(generation=3))
    assert detector.has_drifted(KEY)
    assert not detector.adopt(KEY, EXPECTED)  # an edit: the status still names the one before
    assert detector.has_drifted(KEY)
    assert detector.adopt(KEY, replace(EXPECTED, generation=3))
    assert not detector.has_drifted(KEY)
    detector.observe(cronjob(generation=4))
    assert detector.adopt(KEY, replace(EXPECTED, generation=5))  # of which the watch has not told yet
    assert not detector.has_drifted(KEY)


@pytest.mark.parametrize(
    ("change", "was_expected"),
    [({}, True), ({"generation": 4}, False), ({"labels": {}}, False), ({"ownerReferences": []}, False)],
)
def test_a_cronjob_was_restored_only_if_the_apply_has_changed_it(
    detector: DriftDetector, change: dict[str, Any], was_expected: bool
) -> None:
    detector.expect(KEY, EXPECTED, just_applied=True)
    detector.observe(cronjob(**{"generation": 3, **change}))
    was_as_expected = detector.was_as_expected(KEY)
    detector.expect(KEY, replace(EXPECTED, generation=3), just_applied=True)
    assert was_as_expected() is was_expected
