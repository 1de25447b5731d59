"""The list of UserSchedules survives its way through ConfigMaps, whole or in parts of different age."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.schedule_list import (
    INDEX_FILE,
    ORDER_MAX,
    SCHEDULES_PER_PART,
    InvalidListError,
    ListedSchedule,
    decode,
    encode,
    order_after,
    order_of,
    part_name,
    part_of,
    parts_for,
)

ADA = ListedSchedule(
    "ada", "uid-1", 3, "people", "Europe/Berlin", "30m", "Sunday", "09:07", "high", digest_since="2026-11-29T08:00:00Z"
)
BOB = ListedSchedule("bob", "uid-2", 1, is_served=False)

schedules = st.builds(
    ListedSchedule,
    user_id=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    uid=st.uuids().map(str),
    generation=st.integers(1, 10**6),
    pool=st.sampled_from(["", "people"]),
    time_zone=st.sampled_from(["", "Etc/UTC", "Asia/Kathmandu"]),
    is_served=st.booleans(),
)


@given(st.lists(schedules, max_size=30, unique_by=lambda schedule: schedule.uid), st.sampled_from([None, 1, 2, 8]))
def test_a_list_is_read_as_it_was_written(listed: list[ListedSchedule], parts: int | None) -> None:
    read = decode(encode(listed, parts))

    assert sorted(read.schedules) == sorted(listed)
    assert read.is_complete


def test_each_list_is_newer_than_the_one_before_and_than_all_that_is_forgotten() -> None:
    files = encode([ADA], order=7)
    assert (decode(files).order, order_of(files[INDEX_FILE])) == (7, 7)
    assert [order_of(index) for index in (None, b"", b"nonsense", b'{"parts": ["x"]}')] == [0, 0, 0, 0]
    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert order_after(0, now) == now.timestamp() * 1000
    assert order_after(ORDER_MAX - 1, now) == ORDER_MAX  # another clock was ahead


def test_the_order_in_which_schedules_are_known_changes_no_byte() -> None:
    assert encode([ADA, BOB], 4) == encode([BOB, ADA], 4)


def test_one_changed_schedule_changes_one_part_and_the_index() -> None:
    before = encode([ADA, BOB], 16)
    after = encode([ADA, ListedSchedule("bob", "uid-2", 2)], 16)

    changed = {name for name in before if before[name] != after[name]}
    assert changed == {INDEX_FILE, part_name(part_of("bob", 16))}


def test_a_part_of_another_age_still_says_who_is_listed_but_is_not_complete() -> None:
    older, newer = encode([ADA], 2), encode([ADA, BOB], 2)
    mixed = {**newer, part_name(part_of("bob", 2)): older[part_name(part_of("bob", 2))]}

    read = decode(mixed)

    assert read.schedules == (ADA,)
    assert not read.is_complete


def test_a_list_without_one_of_its_parts_is_not_complete() -> None:
    files = encode([ADA, BOB], 2)
    del files[part_name(part_of("bob", 2))]

    assert not decode(files).is_complete


def test_fields_of_a_newer_operator_are_left_out() -> None:
    files = encode([], 1)
    files[part_name(0)] = gzip.compress(b'[{"user_id":"ada","uid":"u","generation":1,"colour":"red"}]')

    assert decode(files).schedules == (ListedSchedule("ada", "u", 1),)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {INDEX_FILE: b"[]"},
        {INDEX_FILE: b'{"parts": 5}'},
        {INDEX_FILE: b'{"parts": []}'},
        {INDEX_FILE: b"\xff"},
        {INDEX_FILE: b'{"parts":["x"],"order":"7"}'},
        {INDEX_FILE: b'{"parts":["x"],"order":-1}'},
        {INDEX_FILE: b'{"parts":["x"]}', part_name(0): b"not gzip"},
        {INDEX_FILE: b'{"parts":["x"]}', part_name(0): gzip.compress(b"{")},
        {INDEX_FILE: b'{"parts":["x"]}', part_name(0): gzip.compress(b"[]")[:10] + b"\xff" * 8},
        {INDEX_FILE: b'{"parts":["x"]}', part_name(0): gzip.compress(b'[{"user_id": 5, "uid": "u", "generation": 1}]')},
        {INDEX_FILE: b'{"parts":["x"]}', part_name(0): gzip.compress(b'[{"user_id": "ada"}]')},
    ],
)
def test_a_file_that_is_no_part_of_a_list_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidListError):
        decode(files)


@pytest.mark.parametrize(
    ("number", "parts"), [(0, 1), (SCHEDULES_PER_PART, 1), (SCHEDULES_PER_PART + 1, 2), (10_000, 8), (10**7, 64)]
)
def test_the_number_of_parts_is_a_power_of_two_that_suffices(number: int, parts: int) -> None:
    assert parts_for(number) == parts
