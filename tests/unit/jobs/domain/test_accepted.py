"""An accepted suggestion follows its event, and is off when the event is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.calendar.events import TimedSpan
from catchup_jobs.domain.planning.accepted import Accepted, EventChanges, becomes
from catchup_jobs.domain.planning.suggestions import Source
from catchup_jobs.domain.stored_enums import ExpiryReason

HERE, ELSEWHERE = 1, 2
SIX = datetime(2026, 11, 24, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGREED = Interval(SIX, SIX + HOUR)
LATER = TimedSpan(SIX + 2 * HOUR, SIX + 4 * HOUR)
SHARED = Accepted(AGREED, Source(HERE, "climb"))
BOOKED = Accepted(AGREED, booked_event_id="dinner", is_booked=True)
BOTH = Accepted(AGREED, Source(HERE, "climb"), "dinner", is_booked=True)
UNBOOKED = Accepted(AGREED, booked_event_id="dinner")
TIMELESS = TimedSpan(SIX + 2 * HOUR, SIX + 2 * HOUR)


@pytest.mark.parametrize(
    ("accepted", "changes", "expected"),
    [
        (SHARED, EventChanges(HERE, times={"climb": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (SHARED, EventChanges(HERE, times={"climb": TimedSpan(AGREED.start, AGREED.end)}), None),
        (SHARED, EventChanges(HERE, times={"other": LATER}), None),
        (SHARED, EventChanges(ELSEWHERE, times={"climb": LATER}), None),
        (SHARED, EventChanges(HERE, times={"climb": TIMELESS}), Interval(SIX + 2 * HOUR, SIX + 3 * HOUR)),
        (SHARED, EventChanges(HERE, removed={"climb"}), ExpiryReason.EVENT_GONE),
        (SHARED, EventChanges(ELSEWHERE, removed={"climb"}), None),
        (BOOKED, EventChanges(ELSEWHERE, times={"dinner": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (BOOKED, EventChanges(HERE, removed={"dinner"}), None),
        (UNBOOKED, EventChanges(HERE, removed={"dinner"}), ExpiryReason.EVENT_GONE),
        (UNBOOKED, EventChanges(HERE, removed={"other"}), None),
        (BOTH, EventChanges(HERE, times={"climb": LATER}), None),
        (BOTH, EventChanges(HERE, times={"dinner": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (Accepted(AGREED), EventChanges(HERE, {"climb"}, {"climb": LATER}), None),
    ],
    ids=[
        "its event moved and became longer",
        "its event changed, but not its time",
        "another event moved",
        "an event of that id moved in another calendar",
        "its event has no length any more",
        "its event is gone",
        "an event of that id is gone from another calendar",
        "the event that it got moved, in whichever calendar",
        "the event that it got is in another calendar still",
        "the event that it got is gone",
        "another event is gone",
        "it follows the event that it got, not the one it is about",
        "the event that it got moved",
        "it has no event",
    ],
)
def test_an_accepted_suggestion_follows_its_own_event(
    accepted: Accepted, changes: EventChanges, expected: Interval | ExpiryReason | None
) -> None:
    assert becomes(accepted, changes) == expected
