"""`Retry-After` as RFC 9110 has it, and as servers send it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.adapters.retry_after import retry_after_seconds

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        # RFC 9110, 10.2.3: its own examples.
        ("120", 120),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        # 5.6.7: the three forms of a date.
        ("Mon, 23 Nov 2026 11:00:45 GMT", 45),
        ("Monday, 23-Nov-26 11:00:45 GMT", 45),
        ("Mon Nov 23 11:00:45 2026", 45),
        ("Mon, 23 Nov 2026 10:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("Mon, 23 Nov 99999999999 11:00:45 GMT", None),
        ("9" * 30, DAY),
        ("9" * 5000, DAY),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e400", None),
        ("inf", None),
        ("soon", None),
        ("٣", None),
        ("\u00b2", None),
        (None, None),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_never_more_than_a_day(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, now=NOW) == seconds


@given(st.integers(0, 2 * 86400))
def test_seconds_and_the_date_after_them_are_the_same_wait(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_seconds(date, now=NOW) == retry_after_seconds(str(seconds), now=NOW) == min(seconds, DAY)


@given(st.text(max_size=60))
def test_whatever_a_server_sends_is_a_wait_of_at_most_a_day_or_none(value: str) -> None:
    wait = retry_after_seconds(value, now=NOW)
    assert wait is None or 0 <= wait <= DAY
