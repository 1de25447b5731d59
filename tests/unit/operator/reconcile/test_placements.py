from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from unit.operator.factories import TEMPLATE, body
from unit.operator.status.test_patches import merge

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Reason
from catchup_operator.reconcile.list_writer import ListWriter
from catchup_operator.reconcile.placements import Dedicated, Pooled
from catchup_operator.reconcile.pool_waits import WaitsForPoolError
from catchup_operator.reconcile.refusals import RefusedError
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.pools import PoolFacts, Pools
from catchup_operator.status import member_status
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


def pools(*, admits: bool | None = True, off: dict[Kind, str] | None = None) -> Pools:
    found = Pools()
    if admits is not None:
        found.note_listed("people")
        found.note(("people", "night"), PoolFacts(admits, off or {}))
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


def test_a_digest_is_missing_only_after_the_deadline_of_the_job_template() -> None:
    template = replace(TEMPLATE, limits={"digest": {"activeDeadlineSeconds": 7200}})
    statuses = Dedicated(template, pools()).statuses()
    statuses.note_next_runs(("people", "ada"), {"digest": {"nextRunTimes": ["2026-11-29T08:00:00Z"]}})
    assert not statuses.overdue(NOW + timedelta(minutes=64))
    assert statuses.overdue(NOW + timedelta(minutes=65)) == {("people", "ada")}


def test_in_a_pool_nothing_stays_of_what_cronjobs_and_their_runs_left_but_since_when_digests_are_due() -> None:
    known = pools()
    known.note_list("people", {"uid-1": 1})
    after = reconciled({**POOLED, "status": {"digest": RAN, "sync": {"cronJobName": "ada-sync-x"}}}, known)
    assert ready(after) == ("True", "Pooled")
    assert after["status"]["pool"] == "night"
    assert after["status"]["sync"] == {"display": "every 30m"}
    digest = after["status"]["digest"]
    assert digest == {"display": "Sunday 09:00", "activeSince": CREATED}
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


def test_who_waits_for_a_list_that_the_server_refuses_says_so() -> None:
    known = pools()
    known.note_refused("people", "exceeded quota")
    mover = {**POOLED, "status": {"digest": RAN}}
    new_pool = {**body(name="night", uid="uid-2", status={}), "spec": {}}
    for placement, waits in ((Dedicated(TEMPLATE, known), mover), (Pooled(TEMPLATE, known), new_pool)):
        with pytest.raises(RefusedError, match="exceeded quota") as refused:
            placement.desired(waits, older=None, now=NOW)
        assert refused.value.patch is not None
        assert find_condition(refused.value.patch, "Ready")["reason"] == "ListRefused"
        assert refused.value.log_level == logging.DEBUG  # who writes the list warns


def test_a_new_one_in_a_pool_need_not_wait_for_its_pods() -> None:
    assert ready(reconciled(POOLED, pools())) == ("True", "Pooled")


def test_without_its_pool_nobody_serves_the_user_and_no_digest_is_announced() -> None:
    after = reconciled(POOLED, pools(admits=False))
    assert ready(after) == ("False", "PoolNotFound")
    assert "nextRuns" not in after["status"]["digest"]


def test_cronjobs_that_a_user_has_stay_until_the_pool_is_there_and_knows() -> None:
    served = {**POOLED, "status": {"digest": RAN, "sync": {"cronJobName": "ada-sync-x"}}}
    desired = Dedicated(TEMPLATE, pools(admits=False)).desired(served, older=None, now=NOW)
    assert desired.manifests.keys() == {SYNC, DIGEST}
    after = dict(merge(served, {"status": desired.patch({})}))
    assert ready(after) == ("False", "PoolNotFound")
    assert "go on serving" in find_condition(after["status"], "Ready")["message"]
    assert find_condition(after["status"], "Stalled")["status"] == "True"
    with pytest.raises(WaitsForPoolError):
        Dedicated(TEMPLATE, pools()).desired(after, older=None, now=NOW)
    known = pools()
    known.note_list("people", {"uid-1": 1})
    assert ready(reconciled(after, known)) == ("True", "Pooled")


def test_the_cronjobs_of_a_pool_start_once_the_list_was_written_since_the_pool_appeared() -> None:
    def pool(**status: Any) -> dict[str, Any]:
        return {**body(name="night", uid="uid-2", status=status), "spec": {}}

    known = pools()
    with pytest.raises(WaitsForPoolError):
        Pooled(TEMPLATE, known).desired(pool(), older=None, now=NOW)
    # One that has CronJobs, as at a restart of the operator, need not wait.
    assert Pooled(TEMPLATE, known).desired(pool(sync={"cronJobName": "x"}), older=None, now=NOW).manifests
    known.note_list("people", {}, ["night"])
    assert Pooled(TEMPLATE, known).desired(pool(), older=None, now=NOW).manifests.keys() == {SYNC, DIGEST}


async def test_members_of_a_pool_that_is_not_there_count_as_told_only_by_a_list_that_was_made_since_it_is() -> None:
    known = Pools()
    known.note_listed("people")
    known.note(("people", "other"), PoolFacts(admits=True))
    client = MagicMock(
        get=AsyncMock(return_value=None), apply=AsyncMock(side_effect=lambda _, manifest, **__: manifest)
    )
    queue = MagicMock()
    served = MagicMock(require=AsyncMock())
    lists = ListWriter(
        client,
        ["people"],
        digest_spread=0,
        served=served,
        queue=queue,
        pools=known,
        now=lambda: NOW,
    )
    lists.known.observe(POOLED)
    await lists.write("people")
    known.note(("people", "night"), PoolFacts(admits=True))
    assert not known.is_on_list("people", "uid-1", 1)
    lists.changed()
    await lists.write("people")
    assert known.is_on_list("people", "uid-1", 1)


OFF = {SYNC: "PoolSuspended", DIGEST: "PoolSuspended"}


def test_members_of_a_suspended_pool_say_so_and_announce_nothing() -> None:
    after = reconciled(reconciled(POOLED, pools()), pools(off=OFF))
    assert ready(after) == ("True", "PoolSuspended")
    assert after["status"]["digest"] == {"display": "Suspended", "activeSince": CREATED}
    assert find_condition(after["status"], "SyncHealthy")["reason"] == "PoolSuspended"
    assert Dedicated(TEMPLATE, pools(off=OFF)).refreshed(after, {}, now=NOW) is None
    again = reconciled(after, pools())
    assert ready(again) == ("True", "Pooled")
    assert again["status"]["digest"] == {"display": "Sunday 09:00", "activeSince": CREATED}


@pytest.mark.parametrize(
    ("spec", "off", "is_current"),
    [
        ({}, {}, True),
        ({}, {DIGEST: "PoolDisabled"}, False),
        ({}, OFF, False),
        ({"suspend": True}, OFF, True),
        ({"digest": {"enabled": False}}, {DIGEST: "PoolDisabled"}, True),
        ({"digest": {"enabled": False}}, OFF, False),
    ],
    ids=["all", "pool's digest", "pool suspended", "both suspended", "both without digest", "without, suspended"],
)
def test_a_member_is_current_while_its_status_says_what_the_pool_has_switched_off(
    spec: dict[str, Any], off: dict[Kind, str], is_current: bool
) -> None:
    before = body({"pool": "night", **spec}, creationTimestamp=CREATED)
    after = reconciled(before, pools())
    for known, expected in ((pools(off=off), is_current), (pools(), True)):
        placement = Dedicated(TEMPLATE, known)
        assert placement.is_current(after, placement.template_hash(after)) is expected
    if not is_current:
        after = reconciled(after, pools(off=off))
        placement = Dedicated(TEMPLATE, pools(off=off))
        assert placement.is_current(after, placement.template_hash(after))


def troubled(before: dict[str, Any], troubles: dict[Kind, Reason | None]) -> dict[str, Any] | None:
    patch = member_status.troubled(before, UserSchedule.from_body(before), troubles, now=NOW)
    return None if patch is None else dict(merge(before, {"status": patch}))


def test_trouble_of_a_member_is_told_as_of_a_user_with_cronjobs_and_taken_back() -> None:
    well = reconciled(POOLED, pools())
    after = troubled(well, {SYNC: Reason.RECONNECT, DIGEST: None})
    assert after is not None
    told = find_condition(after["status"], "SyncHealthy")
    assert (told["status"], told["reason"]) == ("False", "Reconnect")
    assert "connect the calendar again" in told["message"]
    assert find_condition(after["status"], "DigestHealthy") == find_condition(well["status"], "DigestHealthy")
    assert (after["status"]["sync"], ready(after)) == (well["status"]["sync"], ("True", "Pooled"))
    assert troubled(after, {SYNC: Reason.RECONNECT}) is None
    placement = Dedicated(TEMPLATE, pools())
    assert placement.is_current(after, placement.template_hash(after))
    assert troubled(after, {SYNC: None}) == well


@pytest.mark.parametrize(
    "before",
    [
        POOLED,
        reconciled(POOLED, pools(admits=False)),
        reconciled(POOLED, pools(), older="people/older"),
        reconciled(POOLED, pools(off=OFF)),
    ],
    ids=["without a status", "without a pool", "in conflict", "in a suspended pool"],
)
def test_of_a_user_whom_no_pool_serves_no_trouble_is_told(before: dict[str, Any]) -> None:
    assert troubled(before, {SYNC: Reason.RECONNECT}) is None


def test_an_edit_takes_back_what_was_told_until_a_tick_says_it_again() -> None:
    after = troubled(reconciled(POOLED, pools()), {SYNC: Reason.RECONNECT})
    assert after is not None
    assert find_condition(reconciled(after, pools())["status"], "SyncHealthy")["reason"] == "Pooled"


def test_a_younger_one_of_the_user_is_in_conflict_in_a_pool_too() -> None:
    after = reconciled(POOLED, pools(), older="people/older")
    assert (ready(after), after["status"]["conflictsWith"]) == (("False", "Conflict"), "people/older")


def test_it_is_current_while_its_pool_is_there_or_is_not_known_yet_and_whatever_the_job_template() -> None:
    after = reconciled(POOLED, pools())
    for known, is_current in ((pools(), True), (pools(admits=None), True), (pools(admits=False), False)):
        placement = Dedicated(TEMPLATE, known)
        assert placement.is_current(after, placement.template_hash(after)) is is_current


def test_a_next_digest_that_an_operator_of_before_announced_is_taken_back_and_none_is_announced() -> None:
    after = reconciled(POOLED, pools())
    placement = Dedicated(TEMPLATE, pools())
    assert placement.refreshed(after, {}, now=NOW) is None
    announced = {"nextRuns": ["2026-11-29 09:00 CET (UTC+01:00)"], "nextRunTimes": ["2026-11-29T08:00:00Z"]}
    before = merge(after, {"status": {"digest": announced}})
    patch = placement.refreshed(before, {}, now=datetime(2026, 12, 7, 9, 0, tzinfo=UTC))
    assert merge(before, {"status": patch}) == after
