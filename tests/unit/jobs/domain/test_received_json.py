"""What an interrupted sync keeps is what it read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.calendar.events import (
    AllDaySpan,
    CalendarEvent,
    Received,
    TimedSpan,
    Tombstone,
    UnreadableEvent,
)
from catchup_jobs.domain.calendar.received_json import from_json, to_json
from catchup_jobs.domain.stored_enums import EventStatus

INSTANTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31))  # noqa: DTZ001
TEXTS = st.none() | st.text(max_size=20)
EVENTS = st.builds(
    CalendarEvent,
    google_id=st.text(min_size=1, max_size=20),
    status=st.sampled_from(EventStatus),
    busy=st.booleans(),
    span=st.builds(TimedSpan, INSTANTS, INSTANTS) | st.builds(AllDaySpan, st.dates(), st.dates()),
    summary=TEXTS,
    description=TEXTS,
    location=TEXTS,
    event_type=TEXTS,
    recurring_event_id=TEXTS,
    original_start=TEXTS,
    ical_uid=TEXTS,
    etag=TEXTS,
    updated_at=st.none() | INSTANTS,
    has_conference=st.booleans(),
)


@given(EVENTS | st.builds(Tombstone, st.text()) | st.builds(UnreadableEvent, st.text(), st.text()))
def test_what_is_kept_as_json_is_read_as_it_was(event: Received) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_what_another_version_kept_is_refused() -> None:
    with pytest.raises(TypeError):
        from_json({"google_id": "a", "mood": "sunny"})
