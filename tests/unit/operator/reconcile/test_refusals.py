from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_operator.kube.errors import ApiError
from catchup_operator.manifests.names import key_of
from catchup_operator.reconcile.refusals import Refusals, RefusedError
from catchup_operator.status import ready
from catchup_operator.status.conditions import find_condition

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    monkeypatch.setattr("random.uniform", lambda _, highest: highest)
    return Refusals(lambda: NOW)


def delay(refusals: Refusals, error: ApiError) -> float:
    with pytest.raises(RefusedError) as refused, refusals.reported(body(), ready.refused):
        raise error
    return refused.value.seconds


def test_what_is_refused_is_tried_again_soon_at_first_and_every_ten_minutes_later(refusals: Refusals) -> None:
    quota = ApiError(403, 'cronjobs.batch "a" is forbidden: exceeded quota')
    assert [delay(refusals, quota) for _ in range(7)] == [30, 60, 120, 240, 480, 600, 600]
    assert refusals.is_known(key_of(body()))
    refusals.end(key_of(body()))
    assert not refusals.is_known(key_of(body()))
    assert delay(refusals, quota) == 30


def test_what_the_server_does_not_keep_is_tried_again_as_seldom_as_what_it_refuses(
    refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, key = 1000.0, key_of(body())
    monkeypatch.setattr("time.monotonic", lambda: at)
    for pause in (30, 60, 120, 240, 480, 600, 600):
        refusals.put_off(key)
        assert refusals.due(at + pause - 1) == []
        assert refusals.due(at + pause) == [key]
        assert refusals.due(at + pause) == []  # until it was tried
    refusals.put_off(key)
    refusals.end(key)
    assert (refusals.due(at + 10_000), refusals.is_known(key)) == ([], False)


def test_a_kind_that_cannot_be_resumed_is_not_said_to_be_switched_off_by_the_spec(refusals: Refusals) -> None:
    suspended = {"type": "SyncHealthy", "status": "Unknown", "reason": "Suspended", "message": "x"}
    disabled = {**suspended, "type": "DigestHealthy", "reason": "Disabled"}
    before = body(
        status={
            "conditions": [{**each, "lastTransitionTime": "2026-11-01T00:00:00Z"} for each in (suspended, disabled)]
        }
    )

    def told(off: dict[Kind, str | None]) -> list[str]:
        with pytest.raises(RefusedError) as refused, refusals.reported(before, ready.refused, off=off):
            raise ApiError(422, "no CronJobs on Sundays")
        before["status"] |= refused.value.patch or {}
        return [find_condition(before["status"], name)["reason"] for name in ("SyncHealthy", "DigestHealthy")]

    assert told({SYNC: "Suspended", DIGEST: "Disabled"}) == ["Suspended", "Disabled"]
    assert told({SYNC: None, DIGEST: "Disabled"}) == ["NotResumed", "Disabled"]
    assert told({SYNC: None, DIGEST: None}) == ["NotResumed", "NotResumed"]
    assert told({SYNC: None, DIGEST: "Suspended"}) == ["NotResumed", "Suspended"]
    assert told({}) == ["NotResumed", "Suspended"]


def test_a_missing_permission_and_a_webhook_that_is_away_are_tried_every_twenty_seconds(refusals: Refusals) -> None:
    for error in (
        ApiError(403, 'User "x" cannot patch resource "cronjobs" in API group "batch"'),
        ApiError(500, 'Internal error occurred: failed calling webhook "w"'),
    ):
        assert [delay(refusals, error) for _ in range(3)] == [20, 20, 20]


def test_a_suspension_that_is_refused_says_that_the_cronjobs_go_on_and_why(refusals: Refusals) -> None:
    explain = partial(ready.not_suspended, ("a.example/b",))
    with pytest.raises(RefusedError) as refused, refusals.reported(body(), explain):
        raise ApiError(422, "no CronJobs on Sundays")
    assert refused.value.patch is not None
    condition = refused.value.patch["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "CronJobRefused")
    assert "waits for a.example/b; its CronJobs go on starting runs" in condition["message"]
    assert "no CronJobs on Sundays; retried within half a minute" in condition["message"]


def test_any_error_that_goes_on_is_told_at_the_fifth_time_and_one_success_ends_the_count(refusals: Refusals) -> None:
    broken = ApiError(500, "Internal error occurred: the server could not apply the patch")
    for _ in range(2):
        for _ in range(4):
            with pytest.raises(ApiError, match="could not apply"), refusals.reported(body(), ready.refused):
                raise broken
        with pytest.raises(RefusedError) as told, refusals.reported(body(), ready.refused):
            raise broken
        assert told.value.seconds == 2 * 2**4
        assert told.value.patch is not None
        condition = told.value.patch["conditions"][0]
        assert (condition["status"], condition["reason"]) == ("False", "CronJobFailed")
        assert "could not apply the patch; retried every five minutes or sooner" in condition["message"]
        refusals.end(key_of(body()))


def test_what_a_retry_may_solve_is_no_refusal(refusals: Refusals) -> None:
    with pytest.raises(ApiError, match="the object has been modified"), refusals.reported(body(), ready.refused):
        raise ApiError(409, "the object has been modified")


def test_what_a_namespace_refuses_since_it_is_deleted_is_told_to_nobody(refusals: Refusals) -> None:
    with pytest.raises(ApiError, match="new content"), refusals.reported(body(), ready.refused):
        raise ApiError(403, "unable to create new content", causes=["NamespaceTerminating"])
    assert not refusals.is_known(key_of(body()))
