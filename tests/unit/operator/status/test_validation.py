from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body, schedule
from unit.operator.status.test_patches import NOW, after_reconcile, merge, run

from catchup_operator.status import patches, ready
from catchup_operator.status.validation import replacement_patch, with_valid_status

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "sync", "x"]), inner),
    max_leaves=12,
)


def all_told() -> dict[str, Any]:
    """A resource whose status has every field that the operator writes."""
    current = after_reconcile({"timeZone": "Asia/Beirut"})
    for each in (run("Succeeded", 1, counts={"calendars": 2}), run("Failed", 2, reason="x", message="m")):
        patch = patches.recorded(current, schedule(), each, now=NOW)
        current = merge(current, {"status": patch})
    return current


def test_what_the_operator_writes_is_with_valid_status() -> None:
    assert "status" not in with_valid_status(body())
    for written in (after_reconcile(), all_told()):
        assert with_valid_status(written) is written
        refused = merge(written, {"status": patches.not_ready(written, ready.refused("quota"), now=NOW)})
        assert with_valid_status(refused) is refused


@pytest.mark.parametrize(
    "wrong",
    [
        "broken",
        [1],
        7,
        {"conditions": "x"},
        {"conditions": [7]},
        {"conditions": [{"status": "True"}]},
        {"observedGeneration": "1"},
        {"templateHash": 1},
        {"conflictsWith": 7},
        {"conflictsWith": "no-slash"},
        {"conflictsWith": "a/b/c"},
        {"sync": 7},
        {"digest": [1]},
        {"sync": {"cronJobName": 7}},
        {"sync": {"consecutiveFailures": "many"}},
        {"sync": {"counts": "none"}},
        {"sync": {"counts": {"calendars": "two"}}},
        {"sync": {"lastError": {"message": 7}}},
        {"sync": {"lastRunTime": "yesterday"}},
        {"digest": {"nextRuns": "soon"}},
        {"digest": {"nextRuns": [7]}},
        {"digest": {"nextRunTimes": "soon"}},
        {"digest": {"nextRunTimes": ["2026-11-29 09:00 CET (UTC+01:00)"]}},
        {"digest": {"activeSince": "2026"}},
    ],
    ids=str,
)
def test_a_status_of_another_form_is_taken_for_none(wrong: Any) -> None:
    stored = {**body(), "status": wrong}
    assert with_valid_status(stored) == {**body(), "status": {}}
    half = all_told()
    if isinstance(wrong, dict):
        half["status"] = {**half["status"], **wrong}
        assert with_valid_status(half)["status"] == {}


@given(
    json_values, st.dictionaries(st.sampled_from(["a", "b", "sync", "x"]), json_values.filter(lambda v: v is not None))
)
def test_a_replacing_patch_leaves_exactly_what_is_wanted(stored: Any, wanted: dict[str, Any]) -> None:
    assert merge(stored, replacement_patch(stored, wanted)) == merge({}, wanted)


@given(json_values)
def test_anything_at_all_can_be_looked_at(wrong: Any) -> None:
    assert with_valid_status({**body(), "status": wrong})["metadata"]["name"] == "ada"
