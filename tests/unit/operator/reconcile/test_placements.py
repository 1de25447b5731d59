from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from unit.operator.factories import TEMPLATE, body
from unit.operator.status.test_patches import merge

from catchup_contract.kinds import DIGEST
from catchup_operator.reconcile.placements import Dedicated, WaitsForPoolError
from catchup_operator.state.pools import Pools
from catchup_operator.status.conditions import find_condition
from catchup_operator.status.validation import with_valid_status

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
CREATED = "2026-11-01T00:00:00Z"
POOLED = body({"pool": "night"}, creationTimestamp=CREATED)
RAN = {
    "cronJobName": "ada-digest-x",
    "cronJobUID": "cj",
    "activeSince": CREATED,
    "lastRunTime": CREATED,
    "lastResult": "Failed",
    "lastError": {"message": "old", "reason": "BadData", "time": CREATED},
    "counts": {"smsSent": 1},
}


def pools(*, admits: bool | None = True) -> Pools:
    found = Pools()
    if admits is not None:
        found.note_listed("people")
        found.note(("people", "night"), admits=admits)
    return found


def reconciled(before: dict[str, Any], known: Pools, older: object = None) -> dict[str, Any]:
    desired = Dedicated(TEMPLATE, known).desired(before, older=older, now=NOW)
    assert desired.manifests == {}
    after = dict(merge(before, {"status": desired.patch({})}))
    assert with_valid_status(after) is after
    return after


def ready(found: dict[str, Any]) -> tuple[str, str]:
    condition = find_condition(found["status"], "Ready")
    return condition["status"], condition["reason"]


def test_in_a_pool_nothing_stays_of_what_cronjobs_and_their_runs_left_but_since_when_digests_are_due() -> None:
    known = pools()
    known.note_told("people", {"uid-1": 1})
    after = reconciled({**POOLED, "status": {"digest": RAN, "sync": {"cronJobName": "ada-sync-x"}}}, known)
    assert ready(after) == ("True", "Pooled")
    assert after["status"]["sync"] == {"display": "every 30m"}
    digest = after["status"]["digest"]
    assert digest.keys() == {"display", "activeSince", "nextRuns", "nextRunTimes"}
    assert digest["activeSince"] == CREATED
    assert find_condition(after["status"], "DigestHealthy")["reason"] == "Pooled"
    again = Dedicated(TEMPLATE, known).desired(after, older=None, now=NOW)
    assert again.patch({}) is None


@pytest.mark.parametrize(
    ("known", "status"),
    [(pools(admits=None), {}), (pools(), {"digest": RAN})],
    ids=["pools are not listed", "the pods do not know"],
)
def test_until_the_pool_is_known_and_knows_all_stays_as_it_is(known: Pools, status: dict[str, Any]) -> None:
    with pytest.raises(WaitsForPoolError):
        Dedicated(TEMPLATE, known).desired({**POOLED, "status": status}, older=None, now=NOW)


def test_a_new_one_in_a_pool_need_not_wait_for_its_pods() -> None:
    assert ready(reconciled(POOLED, pools())) == ("True", "Pooled")


def test_without_its_pool_nobody_serves_the_user_and_no_digest_is_announced() -> None:
    after = reconciled(POOLED, pools(admits=False))
    assert ready(after) == ("False", "PoolNotFound")
    assert "nextRuns" not in after["status"]["digest"]


def test_a_younger_one_of_the_user_is_in_conflict_in_a_pool_too() -> None:
    after = reconciled(POOLED, pools(), older="people/older")
    assert (ready(after), after["status"]["conflictsWith"]) == (("False", "Conflict"), "people/older")


def test_it_is_current_while_its_pool_is_there_or_is_not_known_yet_and_whatever_the_job_template() -> None:
    after = reconciled(POOLED, pools())
    for known, is_current in ((pools(), True), (pools(admits=None), True), (pools(admits=False), False)):
        placement = Dedicated(TEMPLATE, known)
        assert placement.is_current(after, placement.template_hash(after)) is is_current


def test_what_is_refreshed_is_the_next_digest_alone() -> None:
    after = reconciled(POOLED, pools())
    placement = Dedicated(TEMPLATE, pools())
    assert placement.refreshed(after, {}, now=NOW) is None
    later = datetime(2026, 12, 7, 9, 0, tzinfo=UTC)
    patch = placement.refreshed(after, {}, now=later)
    assert patch is not None
    assert patch.keys() == {DIGEST.user_work.status_section if DIGEST.user_work else ""}
