"""The zone that end-to-end tests of SMS are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from daytime import daytime_zone

from catchup_contract.digest_rule import QUIET_FROM, QUIET_UNTIL


def test_at_every_hour_of_a_year_there_is_a_zone_that_is_far_from_the_night() -> None:
    for hours in range(366 * 24):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        local = now.astimezone(ZoneInfo(daytime_zone(now)))
        later = (local + timedelta(hours=1)).time()
        assert QUIET_UNTIL <= local.time() < QUIET_FROM
        assert QUIET_UNTIL <= later <= QUIET_FROM
