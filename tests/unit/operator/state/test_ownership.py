from __future__ import annotations

from typing import Any

import pytest

from catchup_contract.kinds import SYNC
from catchup_operator.manifests.names import LABEL_BY_HAND, SCHEDULE_POOL, USER_SCHEDULE, labels
from catchup_operator.state.ownership import change, has_applied, may_be_abandoned, other_managers, taken_over


def entry(manager: str, operation: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "batch/v1", "fieldsV1": fields, **more}


OURS = entry("catchup-operator", "Apply", {"f:spec": {"f:schedule": {}, "f:env": {'k:{"name":"A"}': {".": {}}}}})
THEIRS = entry(
    "kubectl-patch",
    "Update",
    {"f:metadata": {"f:labels": {"f:team": {}}}, "f:spec": {"f:env": {'k:{"name":"B"}': {".": {}, "f:value": {}}}}},
)
CONTROLLER = entry("kube-controller-manager", "Update", {"f:status": {}, "f:spec": {}}, subresource="status")
UNKNOWN = "somebody removes fields, labels or its owner, or applies in the name of catchup-operator"
LABELLER = entry("kubectl-label", "Update", {"f:metadata": {"f:labels": {"f:x": {}}}})


@pytest.mark.parametrize(
    ("managed", "others"),
    [
        ([], []),
        ([OURS, CONTROLLER, LABELLER], []),
        ([OURS, THEIRS], ["kubectl-patch"]),
        ([entry("catchup-operator", "Update", {"f:spec": {}}), OURS], []),
        ([entry("argocd", "Apply", {"f:spec": {"f:suspend": {}}}), THEIRS], ["argocd", "kubectl-patch"]),
    ],
)
def test_whoever_else_owns_fields_of_the_spec_is_named(managed: list[dict[str, Any]], others: list[str]) -> None:
    assert other_managers({"managedFields": managed}) == others


@pytest.mark.parametrize(
    ("managed", "told"),
    [
        ([OURS, CONTROLLER, THEIRS], 'kubectl-patch sets spec.env[{"name":"B"}].value'),
        (
            [
                entry("old", "Update", {"f:spec": {"f:suspend": {}}}, time="2026-11-24T09:00:00Z"),
                entry(
                    "argocd",
                    "Apply",
                    {"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}, "f:d": {}}},
                    time="2026-11-24T09:00:01Z",
                ),
            ],
            "argocd sets spec.a, spec.b, spec.c and 1 more",
        ),
        (
            [OURS, entry("catchup-operator", "Update", {"f:spec": {"f:suspend": {}}})],
            "somebody in the name of catchup-operator sets spec.suspend",
        ),
        ([OURS, LABELLER], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_who_changed_a_cronjob_last_is_told_with_the_fields(managed: list[dict[str, Any]], told: str) -> None:
    assert change({"managedFields": managed}, "uid-1") == told


def test_an_owner_that_somebody_adds_is_named() -> None:
    owners = [{"kind": "UserSchedule", "name": "ada", "uid": "uid-1"}, {"kind": "ConfigMap", "name": "x", "uid": "2"}]
    told = change({"managedFields": [OURS, LABELLER], "ownerReferences": owners}, "uid-1")
    assert told == "somebody adds the owner ConfigMap x"


ADA, BOB, MORE, POOL = (
    {"kind": kind, "name": name, "uid": name}
    for kind, name in (("UserSchedule", "ada"), ("UserSchedule", "bob"), ("ConfigMap", "ada"), ("SchedulePool", "ada"))
)
OF_ADA, OF_POOL = labels(USER_SCHEDULE, "ada", SYNC), labels(SCHEDULE_POOL, "ada", SYNC)


@pytest.mark.parametrize(
    ("metadata", "may_be"),
    [
        ({"labels": OF_ADA, "ownerReferences": [ADA]}, False),
        ({"labels": OF_POOL, "ownerReferences": [POOL]}, False),
        ({"labels": OF_ADA, "ownerReferences": [ADA, MORE]}, True),
        ({"labels": OF_ADA, "ownerReferences": [MORE]}, True),
        ({"labels": OF_ADA, "ownerReferences": [BOB]}, True),
        ({"labels": OF_ADA, "ownerReferences": [POOL]}, True),
        ({"labels": OF_POOL, "ownerReferences": [MORE]}, True),
        ({"labels": OF_ADA}, False),
        ({"labels": {"team": "people"}, "ownerReferences": [MORE]}, False),
        ({"ownerReferences": [MORE]}, False),
        ({"labels": {**OF_ADA, LABEL_BY_HAND: "true"}, "ownerReferences": [MORE]}, False),
        ({"labels": OF_ADA, "ownerReferences": [MORE], "deletionTimestamp": "2026-11-24T09:00:00Z"}, False),
    ],
)
def test_a_cronjob_of_ours_may_be_abandoned_where_it_has_owners_that_may_outlive_its_resource(
    metadata: dict[str, Any], may_be: bool
) -> None:
    assert may_be_abandoned(metadata) is may_be


@pytest.mark.parametrize(
    ("managed", "has"),
    [
        ([], False),
        ([OURS], True),
        ([THEIRS, LABELLER], False),
        ([entry("catchup-operator", "Update", {"f:spec": {}})], False),
    ],
)
def test_only_what_the_operator_has_applied_is_its_own(managed: list[dict[str, Any]], has: bool) -> None:
    assert has_applied({"managedFields": managed}) is has


@pytest.mark.parametrize("managed", [[], [OURS], [OURS, CONTROLLER, LABELLER]])
def test_where_nobody_else_owns_the_spec_nothing_is_taken_over(managed: list[dict[str, Any]]) -> None:
    assert taken_over({"managedFields": managed}) is None


def test_the_whole_spec_becomes_ours_and_the_metadata_stays_with_its_managers() -> None:
    record = taken_over({"managedFields": [OURS, THEIRS, CONTROLLER, LABELLER]})
    ours = entry(
        "catchup-operator",
        "Apply",
        {
            "f:spec": {
                "f:schedule": {},
                "f:env": {'k:{"name":"A"}': {".": {}}, 'k:{"name":"B"}': {".": {}, "f:value": {}}},
            }
        },
    )
    theirs = entry("kubectl-patch", "Update", {"f:metadata": {"f:labels": {"f:team": {}}}})
    assert record == [ours, theirs, CONTROLLER, LABELLER]


def test_a_record_that_was_stripped_gets_an_entry_of_ours_and_one_that_is_left_empty_goes() -> None:
    stripped = entry("before-first-apply", "Update", {"f:spec": {"f:schedule": {}}})
    assert taken_over({"managedFields": [stripped]}) == [
        entry("catchup-operator", "Apply", {"f:spec": {"f:schedule": {}}}, fieldsType="FieldsV1")
    ]


def test_the_record_that_was_read_is_not_changed() -> None:
    managed = [entry("x", "Update", {"f:spec": {"f:suspend": {}}})]
    taken_over({"managedFields": managed})
    assert managed == [entry("x", "Update", {"f:spec": {"f:suspend": {}}})]
