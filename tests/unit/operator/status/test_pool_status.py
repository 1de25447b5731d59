from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from unit.operator.manifests.test_pooled import pool
from unit.operator.status.test_patches import merge

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Reason
from catchup_contract.trouble import TroublePage
from catchup_operator.status import patches, pool_status, ready
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.results import JobResult
from catchup_operator.status.validation import with_valid_status

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
COUNTED = {"members": 100, "membersSynced": 98, "membersFailing": 2, "membersLate": 0, "oldestSyncSeconds": 1800}
CRONJOBS = {
    kind: {
        "cronJobName": f"people-pool-{kind}",
        "cronJobUID": "u",
        "cronJobGeneration": 1,
        "schedule": "* * * * *",
        "timeZone": "Etc/UTC",
        "fingerprint": "f",
    }
    for kind in (SYNC, DIGEST)
}
SUCCESS = JobResult(SYNC, "people-pool-sync-29401201", NOW, "Succeeded", counts={"usersServed": 3})
FAILURE = replace(SUCCESS, result="Failed", reason="Unavailable", message="the database does not answer")


def body(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "here", "name": "people", "uid": "uid-1", "generation": 1}
    return {"metadata": metadata, "spec": spec}


def new(**spec: Any) -> dict[str, Any]:
    patch = pool_status.reconciled(body(**spec), pool(**spec), CRONJOBS, template_hash="h", active_since={}, now=NOW)
    return dict(merge(body(**spec), {"status": patch}))


def after(before: dict[str, Any], result: JobResult) -> dict[str, Any]:
    patch = pool_status.recorded(before, pool(), result, now=NOW)
    assert patch is not None
    found = dict(merge(before, {"status": patch}))
    assert with_valid_status(found) is found
    return found


def told(found: dict[str, Any], name: str = "SyncHealthy") -> tuple[str, str]:
    condition = find_condition(found["status"], name)
    return condition["status"], condition["reason"]


def test_a_new_pool_says_that_no_tick_has_ended_and_the_same_again_is_no_patch() -> None:
    found = new()
    assert (told(found, "Ready"), told(found), told(found, "DigestHealthy")) == (
        ("True", "Reconciled"),
        ("Unknown", "NoRunYet"),
        ("Unknown", "NoRunYet"),
    )
    assert (
        pool_status.reconciled(found, pool(), CRONJOBS, template_hash="h", active_since={}, now=NOW + timedelta(days=1))
        is None
    )


def test_a_quiet_tick_is_written_only_where_it_changes_a_condition() -> None:
    found = after(new(), SUCCESS)
    assert told(found) == ("True", "TicksSucceed")
    assert pool_status.recorded(found, pool(), SUCCESS, now=NOW) is None
    found = after(found, FAILURE)
    assert told(found) == ("False", "Unavailable")
    assert pool_status.recorded(found, pool(), FAILURE, now=NOW) is None
    assert told(after(found, replace(FAILURE, reason="Misconfigured"))) == ("False", "Misconfigured")
    assert told(after(found, SUCCESS)) == ("True", "TicksSucceed")


def test_a_tick_that_counts_the_pool_is_always_written() -> None:
    found = after(new(), replace(SUCCESS, counts=COUNTED))
    status = found["status"]
    assert [status[name] for name in ("members", "synced", "failing", "late")] == [100, 98, 2, 0]
    assert status["oldestSync"] == "2026-11-29T08:30:00Z"
    assert pool_status.recorded(found, pool(), replace(SUCCESS, counts=COUNTED), now=NOW) is not None
    assert "consecutiveFailures" not in status["sync"]


def test_the_numbers_stay_until_the_pool_is_counted_again() -> None:
    found = after(new(), replace(SUCCESS, counts=COUNTED))
    found = after(found, FAILURE)
    assert (found["status"]["members"], found["status"]["sync"]["counts"]["members"]) == (100, 100)


def test_members_are_late_until_a_count_says_otherwise() -> None:
    late = replace(SUCCESS, counts={**COUNTED, "membersLate": 7})
    found = after(new(), late)
    assert told(found) == ("False", "MembersLate")
    assert "7 of 100 members are late" in find_condition(found["status"], "SyncHealthy")["message"]
    assert pool_status.recorded(found, pool(), SUCCESS, now=NOW) is None
    assert told(after(found, replace(SUCCESS, counts=COUNTED))) == ("True", "TicksSucceed")


def test_a_cause_that_many_share_is_told_of_the_pool_until_a_count_says_otherwise() -> None:
    counted = replace(SUCCESS, counts={**COUNTED, "membersFailing": 9})
    shared = replace(counted, trouble=TroublePage("s", 0, 1, {}, {Reason.RECONNECT: 7}))
    found = after(new(), shared)
    assert told(found) == ("False", "MembersFailing")
    message = find_condition(found["status"], "SyncHealthy")["message"]
    assert message.startswith("9 of 100 members fail, 7 with Reconnect: ")
    patch = pool_status.reconciled(found, pool(), CRONJOBS, template_hash="h2", active_since={}, now=NOW)
    assert told(dict(merge(found, {"status": patch}))) == ("False", "MembersFailing")
    later = replace(counted, job_name="people-pool-sync-29401205", finished_at=NOW + timedelta(minutes=5))
    assert told(after(found, later)) == ("True", "TicksSucceed")


def test_of_both_kinds_the_larger_number_of_members_in_trouble_counts() -> None:
    found = after(new(), replace(SUCCESS, counts={**COUNTED, "membersLate": 7}))
    digest = replace(SUCCESS, kind=DIGEST, counts={"members": 99, "membersFailing": 5, "membersLate": 1})
    status = after(found, digest)["status"]
    assert [status[name] for name in ("members", "synced", "failing", "late")] == [99, 98, 5, 7]


def test_members_of_a_kind_that_is_switched_off_are_in_no_trouble_any_more() -> None:
    digest = replace(SUCCESS, kind=DIGEST, counts={"members": 99, "membersFailing": 5, "membersLate": 7})
    found = after(new(), digest)

    patch = pool_status.recorded(found, pool(digest={"enabled": False}), replace(SUCCESS, counts=COUNTED), now=NOW)

    assert patch is not None
    assert [patch[name] for name in ("failing", "late")] == [2, 0]


@pytest.mark.parametrize(
    ("spec", "name", "reason"),
    [({"suspend": True}, "SyncHealthy", "Suspended"), ({"digest": {"enabled": False}}, "DigestHealthy", "Disabled")],
)
def test_what_is_switched_off_is_neither_well_nor_ill(spec: dict[str, Any], name: str, reason: str) -> None:
    found = new(**spec)
    assert told(found, name) == ("Unknown", reason)


def test_a_tick_by_hand_of_a_pool_that_is_switched_off_says_nothing_of_it() -> None:
    by_hand = replace(SUCCESS, result="Skipped", reason=Reason.SWITCHED_OFF.camel_case)
    assert pool_status.recorded(new(), pool(), by_hand, now=NOW) is None


def test_what_is_told_of_ticks_that_do_not_come_is_told_once_and_stays_at_an_edit() -> None:
    missing = Condition("SyncHealthy", "False", "RunMissing", "none")
    patch = pool_status.with_conditions(new(), [missing], now=NOW)
    found = merge(new(), {"status": patch})
    assert pool_status.with_conditions(found, [replace(missing, message="none, still")], now=NOW) is None
    edited = pool_status.reconciled(found, pool(), CRONJOBS, template_hash="other", active_since={}, now=NOW)
    assert edited is not None
    assert told({"status": edited}) == ("False", "RunMissing")
    assert told(after(found, SUCCESS)) == ("True", "TicksSucceed")


def test_a_conflict_names_the_older_pool_and_stalls() -> None:
    patch = pool_status.reconciled(
        body(),
        pool(suspend=True),
        CRONJOBS,
        template_hash="h",
        active_since={},
        now=NOW,
        older="there/people",
    )
    assert patch is not None
    assert (patch["conflictsWith"], told({"status": patch}, "Ready")) == ("there/people", ("False", "Conflict"))
    assert told({"status": patch}, "Stalled") == ("True", "Conflict")


def test_a_pool_says_since_when_it_was_resumed_and_nothing_of_when_it_was_made() -> None:
    spec: dict[str, Any] = {"suspension": {"reason": "ops", "until": "2026-11-29T12:00:00Z"}}
    made = new()
    assert pool_status.active_since(made, pool(), now=NOW) == {DIGEST: None}
    paused = pool(**spec).at(NOW)
    patch = pool_status.reconciled(made, paused, CRONJOBS, template_hash="h", active_since={DIGEST: None}, now=NOW)
    suspended = merge(made, {"status": patch})
    assert suspended["status"]["suspendedUntil"] == "2026-11-29T12:00:00Z"
    assert told(suspended, "Ready") == ("True", "Suspended")
    # The operator was away at the end of the suspension.
    late = NOW + timedelta(hours=4)
    assert pool_status.active_since(suspended, pool(**spec).at(late), now=late) == {DIGEST: "2026-11-29T12:00:00Z"}
    uninstalled = merge(suspended, {"status": patches.unserved(suspended, now=NOW)})
    assert pool_status.active_since(uninstalled, pool(**spec).at(late), now=late) == {DIGEST: "2026-11-29T12:00:00Z"}
    by_hand = pool_status.active_since(suspended, pool(), now=NOW + timedelta(hours=1))
    assert by_hand == {DIGEST: "2026-11-29T10:00:00Z"}
    refused = merge(suspended, {"status": patches.not_ready(suspended, ready.refused("quota"), now=NOW)})
    assert pool_status.active_since(refused, pool(), now=NOW + timedelta(hours=1)) == by_hand
    younger = pool_status.reconciled(
        made, paused, CRONJOBS, template_hash="h", active_since={DIGEST: None}, now=NOW, older="people/older"
    )
    assert pool_status.active_since(merge(made, {"status": younger}), pool(), now=NOW) == {DIGEST: None}
    resumed = pool_status.reconciled(
        suspended, pool(), CRONJOBS, template_hash="h", active_since=by_hand, now=NOW + timedelta(hours=1)
    )
    running = merge(suspended, {"status": resumed})
    assert "suspendedUntil" not in running["status"]
    assert pool_status.active_since(running, pool(), now=NOW + timedelta(days=9)) == by_hand


def test_the_alert_of_pools_that_do_not_serve_leaves_out_what_other_alerts_are_for() -> None:
    rules = Path(__file__).parents[4] / "helm/catchup-jobs/files/alerts.yaml"
    (reasons,) = re.findall(r'catchup_operator_pool_jobs\{status="False", reason!~"([^"]+)"\}', rules.read_text())
    assert set(reasons.split("|")) == pool_status.OF_MEMBERS
