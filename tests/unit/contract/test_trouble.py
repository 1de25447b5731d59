"""Pages of members in trouble: complete by themselves, bounded, and silent of what many share."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.pools import SNAPSHOT_MINUTES, TICKS_MINUTES, counts_the_pool, pages_max, turn_of
from catchup_contract.summary import SUMMARY_MAX_BYTES, Count, InvalidSummaryError, Summary
from catchup_contract.trouble import PAGE_MEMBERS, SHARED_FROM, TroublePage, page_of, uid_hash

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
reasons = st.sampled_from(Reason)
troubles = st.dictionaries(st.integers(0, 5000).map("uid-{}".format), reasons, max_size=60)


def pages_of(known: dict[str, Reason], members: int = 10_000, pages: int = 5) -> list[TroublePage]:
    first = page_of(known.items(), members, pages_max=pages)
    return [page_of(known.items(), members, turn=turn, pages_max=pages) for turn in range(first.pages)]


def told(pages: list[TroublePage]) -> dict[str, Reason]:
    return {hashed: reason for page in pages for hashed, reason in page.members.items()}


@given(troubles)
def test_all_pages_together_name_each_member_once_with_the_cause(known: dict[str, Reason]) -> None:
    pages = pages_of(known)
    assert told(pages) == {uid_hash(uid): reason for uid, reason in known.items()}
    assert sum(len(page.members) for page in pages) == len(known)
    assert len({page.set_hash for page in pages}) == 1


@given(troubles, troubles)
def test_a_page_is_complete_by_itself_whatever_the_others_are_of(
    before: dict[str, Reason], after: dict[str, Reason]
) -> None:
    """Pages of several sets mix while members come and go: what is told last of a member's page holds."""
    known: dict[str, Reason] = {}
    for page in [*pages_of(before), *pages_of(after)]:
        known = {hashed: reason for hashed, reason in known.items() if not page.covers(hashed)} | dict(page.members)
    assert known == {uid_hash(uid): reason for uid, reason in after.items()}


def test_many_troubles_come_round_in_several_pages() -> None:
    known = dict(zip(map(str, range(1000)), [Reason.RECONNECT, Reason.BUDGET_SPENT] * 500, strict=True))
    pages = pages_of(known, members=20_000)
    assert len(pages) > 1
    assert max(len(page.members) for page in pages) <= PAGE_MEMBERS
    assert told(pages) == {uid_hash(uid): reason for uid, reason in known.items()}


def test_what_has_no_room_is_told_of_the_pool_alone_the_most_frequent_cause_first() -> None:
    known = {f"a{number}": Reason.RECONNECT for number in range(900)}
    known |= {f"b{number}": Reason.BUDGET_SPENT for number in range(400)} | {"c": Reason.CRASHED}
    (page,) = pages_of(known, members=100_000, pages=1)
    assert page.shared == {Reason.RECONNECT: 900, Reason.BUDGET_SPENT: 400}
    assert page.members == {uid_hash("c"): Reason.CRASHED}


@pytest.mark.parametrize(
    ("failing", "members", "is_shared"),
    [(SHARED_FROM, 10, False), (SHARED_FROM + 1, 11, True), (50, 1000, False), (51, 1000, True)],
)
def test_a_cause_that_a_twentieth_and_more_than_ten_share_is_told_of_the_pool_alone(
    failing: int, members: int, is_shared: bool
) -> None:
    known = {f"uid-{number}": Reason.UNAVAILABLE for number in range(failing)} | {"other": Reason.RECONNECT}
    pages = pages_of(known, members)
    assert [page.shared for page in pages] == [{Reason.UNAVAILABLE: failing} if is_shared else {}] * len(pages)
    assert Counter(told(pages).values())[Reason.UNAVAILABLE] == (0 if is_shared else failing)
    assert told(pages)[uid_hash("other")] is Reason.RECONNECT


def test_the_fullest_page_fits_beside_all_that_a_tick_counts() -> None:
    members = {uid_hash(str(number)): list(Reason)[number % len(Reason)] for number in range(PAGE_MEMBERS)}
    page = TroublePage("f" * 16, 63, 64, members, dict.fromkeys(Reason, 10**5))
    counts = {
        count: 10**9
        for count in Count
        if count.startswith("members") or count in {Count.USERS_SERVED, Count.USERS_FAILED, Count.USERS_DEFERRED}
    } | {Count.OLDEST_SYNC_SECONDS: 10**9}
    summary = Summary(SYNC, Outcome.RETRY, NOW, NOW, 0, Reason.CALENDAR_UNREADABLE, counts, page)
    assert len(summary.to_json().encode()) <= SUMMARY_MAX_BYTES
    assert Summary.from_json(summary.to_json()) == summary


@given(troubles)
def test_a_page_survives_the_termination_message(known: dict[str, Reason]) -> None:
    page = page_of(known.items(), 5000, turn=3, pages_max=5)
    assert TroublePage.from_document(json.loads(json.dumps(page.to_document()))) == page


@pytest.mark.parametrize(
    "changed",
    [
        {"page": 1},
        {"page": -1},
        {"page": True},
        {"pages": 65, "page": 64},
        {"set": 1},
        {"set": "x" * 17},
        {"members": []},
        {"members": {"nonsense": "abcdefgh"}},
        {"members": {"reconnect": 1}},
        {"shared": {"reconnect": 0}},
        {"shared": {"reconnect": "1"}},
    ],
    ids=str,
)
def test_a_page_that_is_none_makes_the_message_invalid(changed: dict[str, object]) -> None:
    document = json.loads(Summary(SYNC, Outcome.DONE, NOW, NOW).to_json())
    document["trouble"] = {**page_of([], 1).to_document(), **changed}
    with pytest.raises(InvalidSummaryError):
        Summary.from_json(json.dumps(document))


@pytest.mark.parametrize("tick", TICKS_MINUTES)
def test_a_tick_counts_the_pool_once_in_each_time_between_two_counts_or_each_time(tick: str) -> None:
    minutes = TICKS_MINUTES[tick]
    slots = [NOW + timedelta(minutes=minutes * number) for number in range(24 * 60 // minutes)]
    counts = [slot for slot in slots if counts_the_pool(slot, tick)]
    windows = Counter(int(slot.timestamp()) // (60 * SNAPSHOT_MINUTES) for slot in counts)
    assert set(windows.values()) == {1}
    assert len(counts) == min(len(slots), 24 * 60 // SNAPSHOT_MINUTES)
    assert counts_the_pool(None, tick)


def test_users_whom_no_resource_shows_count_by_their_cause_alone() -> None:
    known, unnamed = {"uid-1": Reason.RECONNECT}, {Reason.RECONNECT: SHARED_FROM, Reason.BAD_DATA: 3}
    page = page_of(known.items(), 100, unnamed=unnamed)
    assert (page.shared, page.members) == ({Reason.RECONNECT: SHARED_FROM + 1}, {})
    page = page_of(known.items(), 1000, unnamed=unnamed)
    assert (page.shared, page.members) == ({}, {uid_hash("uid-1"): Reason.RECONNECT})


@pytest.mark.parametrize("tick", TICKS_MINUTES)
def test_all_pages_come_round_within_the_time_between_two_counts(tick: str) -> None:
    minutes, most = TICKS_MINUTES[tick], pages_max(tick)
    slots = [NOW + timedelta(minutes=minutes * number) for number in range(max(1, SNAPSHOT_MINUTES // minutes))]
    assert {turn_of(slot, tick) % most for slot in slots} == set(range(most))
    assert turn_of(None, tick) == 0
