from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.trouble import TroublePage
from catchup_operator.manifests.names import SCHEDULE_POOL
from catchup_operator.state.pool_ticks import PoolTicks
from catchup_operator.state.pools import Pools
from catchup_operator.status.results import FinishedJob, JobResult

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
KEY = ("here", "people")
COUNTS, COUNTS_NOT = NOW, NOW + timedelta(minutes=1)


def body(sync: str = "True", reason: str = "TicksSucceed", uid: str = "u", **spec: Any) -> dict[str, Any]:
    condition = {"type": "SyncHealthy", "status": sync, "reason": reason}
    metadata = {"namespace": KEY[0], "name": KEY[1], "uid": uid, "generation": 1}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": [condition]}}


def finished(
    slot: datetime | None, *, at: datetime | None = None, failure: str | None = None, kind: Kind = SYNC
) -> FinishedJob:
    return FinishedJob(
        namespace=KEY[0],
        name="people-pool-sync-1",
        uid="j",
        kind=kind,
        owner=SCHEDULE_POOL,
        owner_name=KEY[1],
        cronjob_uid="c",
        slot=slot,
        finished_at=at or NOW,
        failure=failure,
    )


def known(**changes: Any) -> PoolTicks:
    found = PoolTicks(Pools())
    found.note(body(**changes), NOW)
    return found


def test_the_tick_of_an_unknown_pool_waits() -> None:
    assert PoolTicks(Pools()).is_recorded(KEY, finished(COUNTS)) is None


@pytest.mark.parametrize(
    ("tick", "is_needed"),
    [
        (finished(COUNTS_NOT), False),
        (finished(COUNTS), True),
        (finished(None), True),  # by hand
        (finished(COUNTS_NOT, failure="BackoffLimitExceeded"), True),
    ],
    ids=["quiet", "counts", "by hand", "failed"],
)
def test_of_a_healthy_pool_only_ticks_that_count_or_fail_are_read(tick: FinishedJob, is_needed: bool) -> None:
    assert known().is_recorded(KEY, tick) is not is_needed


@pytest.mark.parametrize(
    ("status", "reason", "is_needed"),
    [
        ("Unknown", "NoRunYet", True),
        ("False", "Unavailable", True),
        ("False", "RunMissing", True),
        ("False", "MembersLate", False),  # until the next count
    ],
)
def test_a_tick_that_ends_well_is_read_where_the_status_says_otherwise(
    status: str, reason: str, is_needed: bool
) -> None:
    assert known(sync=status, reason=reason).is_recorded(KEY, finished(COUNTS_NOT)) is not is_needed


def page(number: int, pages: int, set_hash: str = "s") -> JobResult:
    told = TroublePage(set_hash, number, pages, {}, {})
    return JobResult(SYNC, "people-pool-sync-1", NOW, "Succeeded", trouble=told)


def test_ticks_are_read_until_all_pages_of_the_members_in_trouble_are_known() -> None:
    statuses = known()
    needed = []
    for result in (page(0, 1), page(0, 3, "t"), page(1, 3, "t"), page(1, 3, "t"), page(2, 3, "t"), page(0, 3, "u")):
        statuses.note_result(KEY, result)
        needed.append(not statuses.is_recorded(KEY, finished(COUNTS_NOT)))
    assert needed == [False, True, True, True, False, True]
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, kind=DIGEST)) is not None


def test_a_failed_tick_is_no_news_once_a_later_one_has_ended() -> None:
    statuses = known()
    statuses.note_finished(KEY, finished(COUNTS_NOT, at=NOW + timedelta(minutes=2)))
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, at=NOW + timedelta(minutes=1), failure="x")) is True
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, at=NOW + timedelta(minutes=1), failure="x", kind=DIGEST)) is (
        False
    )


def test_ticks_are_missing_after_three_of_them_and_the_deadline_of_one() -> None:
    statuses = known()
    at = NOW + timedelta(minutes=3, seconds=300)
    assert statuses.overdue(at) == set()
    later = at + timedelta(seconds=1)
    assert statuses.overdue(later) == {KEY}
    statuses.note_finished(KEY, finished(COUNTS_NOT, at=NOW + timedelta(minutes=1)))
    assert statuses.overdue_kinds(body(), later) == [DIGEST]
    assert statuses.overdue(later) == set()  # told once in that time
    assert statuses.overdue(later + timedelta(minutes=9)) == {KEY}


@pytest.mark.parametrize("spec", [{"suspend": True}, {"calendarSync": {"tick": "3m"}}], ids=["suspended", "invalid"])
def test_nothing_is_missing_of_a_pool_that_does_not_tick_and_silence_begins_when_it_does(spec: dict[str, Any]) -> None:
    statuses = known(**spec)
    later = NOW + timedelta(days=1)
    assert statuses.overdue(later) == set()
    statuses.note(body(), later)
    assert statuses.overdue(later + timedelta(minutes=8)) == set()
    assert statuses.overdue(later + timedelta(minutes=9)) == {KEY}


def test_a_pool_that_another_one_replaces_or_that_is_gone_is_forgotten() -> None:
    statuses = known()
    statuses.note(body(uid="other"), NOW + timedelta(days=1))
    assert statuses.overdue(NOW + timedelta(days=1)) == set()
    statuses.forget(KEY)
    assert statuses.overdue(NOW + timedelta(days=9)) == set()
    assert statuses.is_recorded(KEY, finished(COUNTS)) is None
