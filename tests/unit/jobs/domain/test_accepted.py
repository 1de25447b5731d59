"""An accepted suggestion follows its event, and is off when the event is gone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.calendar.events import AllDaySpan, TimedSpan
from catchup_jobs.domain.planning.accepted import Accepted, EventChanges, becomes
from catchup_jobs.domain.planning.suggestions import Source
from catchup_jobs.domain.stored_enums import ExpiryReason

HERE, ELSEWHERE = 1, 2
BERLIN = ZoneInfo("Europe/Berlin")
SIX = datetime(2026, 11, 24, 18, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def all_day(start: str, end: str) -> AllDaySpan:
    return AllDaySpan(date.fromisoformat(f"2026-{start}"), date.fromisoformat(f"2026-{end}"))


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
        (SHARED, EventChanges(HERE, BERLIN, spans={"climb": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (SHARED, EventChanges(HERE, BERLIN, spans={"climb": TimedSpan(AGREED.start, AGREED.end)}), None),
        (SHARED, EventChanges(HERE, BERLIN, spans={"other": LATER}), None),
        (SHARED, EventChanges(ELSEWHERE, BERLIN, spans={"climb": LATER}), None),
        (SHARED, EventChanges(HERE, BERLIN, spans={"climb": TIMELESS}), Interval(SIX + 2 * HOUR, SIX + 3 * HOUR)),
        (SHARED, EventChanges(HERE, BERLIN, spans={"climb": all_day("11-24", "11-25")}), None),
        (SHARED, EventChanges(HERE, BERLIN, spans={"climb": all_day("11-20", "11-30")}), None),
        (
            SHARED,
            EventChanges(HERE, BERLIN, spans={"climb": all_day("11-26", "11-28")}),
            Interval(SIX + 2 * DAY, SIX + 2 * DAY + HOUR),
        ),
        (
            BOOKED,
            EventChanges(HERE, BERLIN, spans={"dinner": all_day("11-23", "11-24")}),
            Interval(SIX - DAY, SIX - DAY + HOUR),
        ),
        # Berlin's clock goes back an hour on 25 October: the time of day is what was agreed.
        (
            BOOKED,
            EventChanges(HERE, BERLIN, spans={"dinner": all_day("10-24", "10-25")}),
            Interval(SIX - 31 * DAY - HOUR, SIX - 31 * DAY),
        ),
        (SHARED, EventChanges(HERE, BERLIN, removed={"climb"}), ExpiryReason.EVENT_GONE),
        (SHARED, EventChanges(ELSEWHERE, BERLIN, removed={"climb"}), None),
        (BOOKED, EventChanges(ELSEWHERE, BERLIN, spans={"dinner": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (BOOKED, EventChanges(HERE, BERLIN, removed={"dinner"}), None),
        (UNBOOKED, EventChanges(HERE, BERLIN, removed={"dinner"}), ExpiryReason.EVENT_GONE),
        (UNBOOKED, EventChanges(HERE, BERLIN, removed={"other"}), None),
        (BOTH, EventChanges(HERE, BERLIN, spans={"climb": LATER}), None),
        (BOTH, EventChanges(HERE, BERLIN, spans={"dinner": LATER}), Interval(LATER.start_at, LATER.end_at)),
        (Accepted(AGREED), EventChanges(HERE, BERLIN, {"climb"}, {"climb": LATER}), None),
    ],
    ids=[
        "its event moved and became longer",
        "its event changed, but not its time",
        "another event moved",
        "an event of that id moved in another calendar",
        "its event has no length any more",
        "its event became all-day, on the day that was agreed",
        "its event became several days long, with the day that was agreed",
        "its event became all-day, on a later date",
        "the event that it got became all-day, on an earlier date",
        "the event that it got became all-day, on a date with another offset",
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
