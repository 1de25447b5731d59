from datetime import UTC, datetime

import pytest

from catchup_jobs.adapters.google.http import retry_after_seconds

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("Mon, 23 Nov 2026 11:00:45 GMT", 45),
        ("Mon, 23 Nov 2026 10:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("9" * 5000, 86400),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_more_than_a_day(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, now=NOW) == seconds


def test_without_the_header_no_wait_is_named() -> None:
    assert retry_after_seconds({}, now=NOW) is None
