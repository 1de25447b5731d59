"""Requests for runs by hand: which of those that the annotations of a UserSchedule make are new."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.requests import is_live, requested_at
from catchup_contract.timestamps import parse_utc
from catchup_operator.status.job_section import section_of


def new_requests(body: Mapping[str, Any], now: datetime) -> dict[Kind, datetime]:
    """Return by kind the requests (UTC) that are to be taken at `now` (aware): newer than the status says."""
    found = {}
    for kind in user_kinds():
        at = requested_at(body["metadata"], kind)
        if at is None or not is_live(at, now):
            continue
        taken = section_of(body, kind).get("requestedAt")
        if taken is None or parse_utc(taken) < at:
            found[kind] = at
    return found
