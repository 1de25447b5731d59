from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.summary import Count
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


def started(**changes: Any) -> PoolTicks:
    """Return what an operator knows that has just started."""
    found = PoolTicks(Pools())
    found.note(body(**changes), NOW)
    return found


def known(**changes: Any) -> PoolTicks:
    """Return what it knows once ticks have told that nobody is in trouble."""
    found = started(**changes)
    for kind in (SYNC, DIGEST):
        found.note_result(KEY, page(0, 1, kind=kind))
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


def page(number: int, pages: int, set_hash: str = "s", kind: Kind = SYNC) -> JobResult:
    told = TroublePage(set_hash, number, pages, {}, {})
    return JobResult(kind, f"people-pool-{kind}-1", NOW, "Succeeded", trouble=told)


def counted(kind: Kind, slot: datetime | None = COUNTS) -> JobResult:
    return JobResult(kind, f"people-pool-{kind}-1", NOW, "Succeeded", counts={Count.MEMBERS: 7}, slot=slot)


def test_ticks_are_read_until_all_pages_of_the_members_in_trouble_are_known() -> None:
    statuses = known()
    needed = []
    for result in (page(0, 1), page(0, 3, "t"), page(1, 3, "t"), page(1, 3, "t"), page(2, 3, "t"), page(0, 3, "u")):
        statuses.note_result(KEY, result)
        needed.append(not statuses.is_recorded(KEY, finished(COUNTS_NOT)))
    assert needed == [False, True, True, True, False, True]
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, kind=DIGEST)) is not None


def test_after_a_start_each_tick_is_read_until_a_first_set_of_pages_is_whole() -> None:
    statuses = started()
    needed = []
    for number in (3, 4, 0, 1, 2):
        needed.append(not statuses.is_recorded(KEY, finished(COUNTS_NOT)))
        statuses.note_result(KEY, page(number, 5))
    assert needed == [True] * 5
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT)) is True
    # Pods of an older image tell no pages.
    statuses.note_result(KEY, counted(DIGEST))
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, kind=DIGEST)) is False  # no digest has ended well yet
    statuses.note(with_digest(body()), NOW)
    assert statuses.is_recorded(KEY, finished(COUNTS_NOT, kind=DIGEST)) is True


def with_digest(pool: dict[str, Any]) -> dict[str, Any]:
    pool["status"]["conditions"].append({"type": "DigestHealthy", "status": "True", "reason": "TicksSucceed"})
    return pool


def test_of_a_pool_with_a_longer_tick_the_first_one_in_five_minutes_is_read() -> None:
    statuses = known(calendarSync={"tick": "2m"})
    slots = [NOW + timedelta(minutes=2 * number) for number in range(10)]
    read = [slot.minute for slot in slots if not statuses.is_recorded(KEY, finished(slot))]
    assert read == [0, 6, 10, 16]


def test_counts_of_both_kinds_are_written_together() -> None:
    statuses = known()
    assert statuses.hold(KEY, counted(SYNC)) is True
    assert statuses.hold(KEY, counted(DIGEST)) is False
    assert statuses.take_held(KEY, DIGEST) == [counted(SYNC)]
    assert statuses.take_held(KEY, DIGEST) == []


def test_a_count_that_the_other_kind_does_not_follow_is_written_at_the_next_one() -> None:
    statuses = known()
    assert statuses.hold(KEY, counted(SYNC)) is True
    later = counted(SYNC, COUNTS + timedelta(minutes=5))
    assert statuses.hold(KEY, later) is False
    assert statuses.take_held(KEY, SYNC) == []  # the newer one has its place


@pytest.mark.parametrize(
    ("spec", "result"),
    [
        ({}, counted(SYNC, None)),  # somebody looks at what a tick by hand did
        ({"digest": {"enabled": False}}, counted(SYNC)),
        ({}, page(0, 1)),
    ],
    ids=["by hand", "the only kind", "it counted nothing"],
)
def test_what_need_not_wait_is_written_at_once(spec: dict[str, Any], result: JobResult) -> None:
    assert known(**spec).hold(KEY, result) is False


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
