"""Limits that hold only beside others."""

from __future__ import annotations

import pytest

from catchup_jobs.adapters.google.calendar_api import _EVENT_PARAMETERS, MOST_PAGES
from catchup_jobs.adapters.messaging import smtp_email, twilio_http
from catchup_jobs.jobs.digest.due_digest import LEASE
from catchup_jobs.jobs.sync.reading import _MOST_KEPT


@pytest.mark.parametrize("seconds", [smtp_email.CONVERSATION_SECONDS, twilio_http.REQUEST_SECONDS])
def test_a_call_to_a_provider_ends_before_the_lease_of_its_claim(seconds: float) -> None:
    assert seconds < LEASE.total_seconds()


def test_an_interrupted_sync_keeps_as_many_events_as_are_read_of_a_list() -> None:
    assert MOST_PAGES * int(str(_EVENT_PARAMETERS["maxResults"])) == _MOST_KEPT
