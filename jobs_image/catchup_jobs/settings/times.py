"""Settings that are times, zones and intervals."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from catchup_contract.api import SYNC_INTERVALS_MINUTES, TIME_OF_DAY_PATTERN
from catchup_contract.local_time import is_time_zone
from catchup_contract.pools import TICKS_MINUTES


def _zone(value: str) -> str:
    if not is_time_zone(value):
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return value


def _interval(value: str) -> str:
    if value not in SYNC_INTERVALS_MINUTES:
        raise ValueError(f"must be one of {', '.join(SYNC_INTERVALS_MINUTES)}")
    return value


def _tick(value: str) -> str:
    if value not in TICKS_MINUTES:
        raise ValueError(f"must be one of {', '.join(TICKS_MINUTES)}")
    return value


def _hours(value: str) -> str:
    start, _, end = value.partition("-")
    if not (re.fullmatch(TIME_OF_DAY_PATTERN, start) and re.fullmatch(TIME_OF_DAY_PATTERN, end) and start < end):
        raise ValueError("must be hours of one day as HH:MM-HH:MM")
    return value


TimeZone = Annotated[str, AfterValidator(_zone)]
Interval = Annotated[str, AfterValidator(_interval)]
Tick = Annotated[str, AfterValidator(_tick)]
Hours = Annotated[str, AfterValidator(_hours)]
TimeOfDay = Annotated[str, Field(pattern=f"^{TIME_OF_DAY_PATTERN}$")]
