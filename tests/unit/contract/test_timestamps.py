from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.timestamps import format_utc, parse_rfc3339, parse_utc


@given(st.datetimes(min_value=datetime(1, 1, 3), timezones=st.timezones()))  # noqa: DTZ001 - hypothesis adds the zone
def test_what_is_written_is_read_as_the_same_second(instant: datetime) -> None:
    assert parse_utc(format_utc(instant)) == instant.astimezone(UTC).replace(microsecond=0)


def test_a_time_is_aware_and_in_utc() -> None:
    assert parse_utc("2026-11-23T08:30:00Z") == datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    assert parse_utc("2026-11-23T08:30:00Z").tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T08:30Z",
        "2026-11-23 08:30:00Z",
        "2026-11-23T08:30:00",
        "2026-11-23T08:30:00+00:00",
        "2026-11-23T08:30:00.5Z",
        "2026-11-23T08:30:00z",
        "2026-11-23T08:30:00Z\n",
        "2026-1-23T08:30:00Z",
        "2026-13-23T08:30:00Z",
        "2026-02-30T08:30:00Z",
        "2026-W48-1T08:30:00Z",
        "\uff12026-11-23T08:30:00Z",
        None,
        5,
    ],
)
def test_any_other_form_is_an_error(text: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse_utc(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T08:30:00Z",
        "2026-11-23t08:30:00z",
        "2026-11-23T09:30:00+01:00",
        "2026-11-23T08:30:00.999999999Z",
        "2026-11-23T08:30:00-00:00",
    ],
)
def test_all_forms_of_rfc_3339_are_read_as_utc_to_the_second(text: str) -> None:
    assert format_utc(parse_rfc3339(text)) == "2026-11-23T08:30:00Z"


@pytest.mark.parametrize(
    "text", ["", "2026-11-23T08:30:00", "2026-11-23T08:30Z", "2026-02-30T08:30:00Z", "0001-01-01T00:00:00+23:59"]
)
def test_a_time_without_a_zone_or_that_does_not_exist_is_no_rfc_3339(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_rfc3339(text)
