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


def test_a_run_is_not_overdue_before_the_deadline_that_the_installation_gives_its_jobs() -> None:
    long = KnownStatuses({SYNC: timedelta(days=1), DIGEST: timedelta(days=2)})
    long.note_next_runs(KEY, digest("2026-11-29T08:00:00Z"))
    assert long.overdue(DUE + timedelta(days=2, minutes=4)) == set()
    assert long.overdue(DUE + timedelta(days=2, minutes=5)) == {KEY}
    times = [f"2026-11-29T{time}:00Z" for time in ("08:00", "08:30", "09:00")]
    long.note_next_runs(KEY, {"sync": {"nextRunTimes": times}, **digest("2027-11-29T08:00:00Z")})
    assert long.overdue(DUE + timedelta(days=1, minutes=4)) == set()
    assert long.overdue(DUE + timedelta(days=1, minutes=5)) == {KEY}


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


def test_runs_of_which_the_status_tells_are_overdue_again_only_by_the_next_ones_that_it_names(
    due: KnownStatuses,
) -> None:
    due.note_overdue_written(KEY, [DIGEST])
    assert due.overdue(DUE + timedelta(days=1)) == set()
    due.note_due(KEY, digest("2026-12-06T08:00:00Z"))
    assert due.overdue(DUE + timedelta(days=8)) == {KEY}


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


def test_a_job_that_had_nothing_to_add_is_known_once_the_status_names_it(statuses: KnownStatuses) -> None:
    statuses.note_last_runs(KEY, {"sync": {"lastRunTime": "2026-11-29T08:00:00Z", "lastJobName": "b"}})
    later = finished("c", DUE + timedelta(hours=1))
    statuses.note_idle(KEY, SYNC, "c")
    assert statuses.is_recorded(KEY, later) is False  # the next operator would not know
    assert statuses.unwritten_idle(KEY) == {SYNC: "c"}
    patch = patches.with_idle(
        body(status={"sync": {"cronJobName": "x"}}),
        {"digest": {"a": 1}, "sync": {"b": 2}},
        statuses.unwritten_idle(KEY),
    )
    assert patch == {"digest": {"a": 1}, "sync": {"b": 2, "lastIdleJobName": "c"}}
    statuses.note_last_runs(KEY, patch)
    assert statuses.is_recorded(KEY, later) is True
    assert statuses.is_recorded(KEY, finished("d", DUE + timedelta(hours=1))) is False
    assert not statuses.unwritten_idle(KEY)
    statuses.note_idle(KEY, SYNC, "e")
    statuses.forget(KEY)
    assert not statuses.unwritten_idle(KEY)


def test_what_had_nothing_to_add_is_worth_no_write_and_goes_with_the_cronjobs() -> None:
    assert patches.with_idle(body(status={"sync": {"cronJobName": "x"}}), None, {SYNC: "c"}) is None
    assert patches.with_idle(body(status={"sync": {}}), {"digest": {"a": 1}}, {SYNC: "c"}) == {"digest": {"a": 1}}


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
