"""Settings that are times, zones and intervals."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from catchup_contract.api import TIME_OF_DAY_PATTERN
from catchup_contract.pools import TICKS_MINUTES
from catchup_jobs.domain.people.schedule_values import one_of, sync_interval, time_zone


def _tick(value: str) -> str:
    return one_of(value, TICKS_MINUTES)


def _hours(value: str) -> str:
    start, _, end = value.partition("-")
    if not (re.fullmatch(TIME_OF_DAY_PATTERN, start) and re.fullmatch(TIME_OF_DAY_PATTERN, end) and start < end):
        raise ValueError("must be hours of one day as HH:MM-HH:MM")
    return value


TimeZone = Annotated[str, AfterValidator(time_zone)]
Interval = Annotated[str, AfterValidator(sync_interval)]
Tick = Annotated[str, AfterValidator(_tick)]
Hours = Annotated[str, AfterValidator(_hours)]
TimeOfDay = Annotated[str, Field(pattern=f"^{TIME_OF_DAY_PATTERN}$")]
