from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import DIGEST, SYNC
from catchup_operator.manifests.names import USER_SCHEDULE
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.known_statuses import KnownStatuses
from catchup_operator.status import patches
from catchup_operator.status.conditions import Condition
from catchup_operator.status.results import FinishedJob

KEY = ("people", "ada")
DUE = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def digest(*next_runs: str) -> dict[str, Any]:
    return {"digest": {"nextRunTimes": list(next_runs)}}


@pytest.fixture
def statuses() -> KnownStatuses:
    return KnownStatuses()


@pytest.fixture
def due(statuses: KnownStatuses) -> KnownStatuses:
    statuses.note_next_runs(KEY, digest("2026-11-29T08:00:00Z"))
    return statuses


def test_a_digest_is_overdue_only_after_the_deadline_of_its_run(due: KnownStatuses) -> None:
    assert due.overdue(DUE + timedelta(minutes=15)) == set()
    assert due.overdue(DUE + timedelta(minutes=21)) == {KEY}


def test_the_next_runs_in_the_digests_own_result_replace_those_before(due: KnownStatuses) -> None:
    due.note_next_runs(KEY, digest("2026-12-06T08:00:00Z"))
    assert due.overdue(DUE + timedelta(hours=1)) == set()


def test_a_sync_is_overdue_at_the_third_run_that_its_last_one_named_and_leaves_the_digest_alone(
    due: KnownStatuses,
) -> None:
    times = [f"2026-11-28T{time}:00Z" for time in ("07:00", "07:30", "08:00")]
    due.note_next_runs(KEY, {"sync": {"nextRunTimes": times}})
    assert due.overdue(DUE - timedelta(days=1, seconds=1)) == set()
    assert due.overdue(DUE - timedelta(days=1)) == {KEY}
    due.note_next_runs(KEY, {"sync": {"nextRunTimes": None}})
    assert due.overdue(DUE - timedelta(hours=1)) == set()
    assert due.overdue(DUE + timedelta(hours=1)) == {KEY}


def test_a_digest_that_is_switched_off_or_gone_is_not_overdue(due: KnownStatuses) -> None:
    due.note_next_runs(KEY, {"digest": {"nextRunTimes": None}})
    assert due.overdue(DUE + timedelta(days=1)) == set()
    due.note_next_runs(KEY, digest("2026-11-29T08:00:00Z"))
    due.forget(KEY)
    assert due.overdue(DUE + timedelta(days=1)) == set()


def test_a_status_is_refreshed_to_future_times_and_only_if_it_names_others() -> None:
    spec = {"timeZone": "Europe/Berlin"}
    ready = [{"type": "Ready", "status": "True", "reason": "x", "message": "x", "lastTransitionTime": "x"}]
    now = DUE + timedelta(minutes=30)
    before = body(spec, status={"conditions": ready, **digest("2026-11-29T08:00:00Z")})
    absent = {DIGEST: Condition("DigestHealthy", "False", "RunMissing", "no digest has ended")}
    patch = patches.refreshed(before, UserSchedule.from_body(before), absent, now=now)
    assert patch is not None
    assert patch["digest"]["nextRuns"][0] == "2026-12-06 09:00 CET (UTC+01:00)"
    after = body(spec, status={"conditions": ready, **patch})
    assert patches.refreshed(after, UserSchedule.from_body(after), absent, now=now) is None
    assert patches.refreshed(after, UserSchedule.from_body(after), {}, now=now) is None
    assert set(patch) == {"digest", "conditions"}
    assert [condition["reason"] for condition in patch["conditions"][1:]] == ["RunMissing"]


def test_a_written_status_is_of_its_generation_only_and_only_until_it_is_observed(statuses: KnownStatuses) -> None:
    assert not statuses.is_written(body())
    statuses.write_started(body())
    assert statuses.is_written(body(labels={"a": "b"}))
    assert not statuses.is_written(body(generation=2))
    assert not statuses.is_written(body(uid="recreated"))
    statuses.observe(body(status={"observedGeneration": 1}))
    assert not statuses.is_written(body())


def test_a_status_of_an_earlier_generation_is_not_the_one_that_was_written(statuses: KnownStatuses) -> None:
    statuses.write_started(body(generation=2))
    statuses.observe(body(generation=2, status={"observedGeneration": 1}))
    assert statuses.is_written(body(generation=2))


@pytest.mark.parametrize("end", ["forget", "write_failed"])
def test_a_status_that_is_gone_or_was_not_written_is_not_awaited(statuses: KnownStatuses, end: str) -> None:
    statuses.write_started(body())
    getattr(statuses, end)(KEY)
    assert not statuses.is_unobserved(KEY)


def test_a_status_is_unobserved_from_its_write_until_the_watch_reports_it(statuses: KnownStatuses) -> None:
    assert not statuses.is_unobserved(KEY)
    statuses.write_started(body())
    assert statuses.is_unobserved(KEY)
    statuses.observe(body(status={"observedGeneration": 1}))
    assert not statuses.is_unobserved(KEY)


def test_a_status_whose_next_runs_nobody_replaces_is_not_overdue_again(due: KnownStatuses) -> None:
    due.forget_next_runs(KEY)
    assert due.overdue(DUE + timedelta(days=1)) == set()


def finished(name: str, at: datetime) -> FinishedJob:
    return FinishedJob(
        namespace=KEY[0],
        name=name,
        uid="u",
        kind=SYNC,
        owner=USER_SCHEDULE,
        owner_name=KEY[1],
        cronjob_uid="c",
        slot=None,
        finished_at=at,
        failure=None,
    )


def test_a_result_that_the_status_has_is_known_without_a_request(statuses: KnownStatuses) -> None:
    older, same, newer = DUE - timedelta(hours=1), DUE, DUE + timedelta(seconds=1)
    assert statuses.is_recorded(KEY, finished("a", older)) is None  # not listed yet
    statuses.note_last_runs(KEY, {})
    assert statuses.is_recorded(KEY, finished("a", older)) is False  # no run is recorded
    statuses.note_last_runs(KEY, {"sync": {"lastRunTime": "2026-11-29T08:00:00Z", "lastJobName": "b"}})
    assert statuses.is_recorded(KEY, finished("a", older)) is True
    assert statuses.is_recorded(KEY, finished("b", same)) is True
    assert statuses.is_recorded(KEY, finished("a", same)) is False  # two ended in the same second
    assert statuses.is_recorded(KEY, finished("c", newer)) is False
    statuses.note_last_runs(KEY, {"digest": {"nextRunTimes": None}})
    assert statuses.is_recorded(KEY, finished("b", same)) is True
    statuses.forget(KEY)
    assert statuses.is_recorded(KEY, finished("b", same)) is None
