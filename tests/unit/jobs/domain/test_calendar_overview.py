"""What commands say of a calendar, and whether plans need it."""

from datetime import UTC, datetime, timedelta

import pytest

from catchup_jobs.domain.calendar.freshness import SyncedCalendar, known_until, read_until
from catchup_jobs.domain.calendar.overview import CalendarOverview, problems
from catchup_jobs.domain.stored_enums import CalendarError

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
HORIZON = NOW + timedelta(days=40)
ENDS = "no new suggestions"
KEEPS = "it keeps its last events and blocks as before"
FORBIDDEN, UNAVAILABLE, NOT_FOUND = CalendarError.FORBIDDEN, CalendarError.UNAVAILABLE, CalendarError.NOT_FOUND


def synced(*, primary: bool = False, error: CalendarError | None = None, hours: float | None = 1) -> SyncedCalendar:
    """Return a calendar whose last sync succeeded so many hours ago, None for one that was never read."""
    at = None if hours is None else NOW - hours * HOUR
    return SyncedCalendar(1, primary, error, at, at, None if at is None else HORIZON - (NOW - at))


@pytest.mark.parametrize(
    ("calendars", "known"),
    [
        ([], False),
        ([synced(primary=True)], True),
        ([synced(primary=True, hours=25)], False),
        ([synced(primary=True, hours=25, error=FORBIDDEN)], False),
        ([synced(primary=True, hours=None, error=FORBIDDEN)], False),
        ([synced(primary=True), synced(hours=25)], False),
        ([synced(primary=True), synced(hours=None)], False),
        ([synced(primary=True), synced(hours=25, error=FORBIDDEN)], True),
        ([synced(primary=True), synced(hours=25, error=UNAVAILABLE)], True),
        ([synced(primary=True), synced(hours=None, error=FORBIDDEN)], True),
        ([synced(primary=True), synced(hours=None, error=UNAVAILABLE)], False),
        ([synced(hours=25, error=FORBIDDEN)], False),
        ([synced()], True),
    ],
)
def test_only_required_calendars_decide_whether_time_is_known(calendars: list[SyncedCalendar], known: bool) -> None:
    assert (known_until(calendars, NOW) is not None) is known


def test_the_horizon_is_that_of_the_required_calendars() -> None:
    calendars = [synced(primary=True), synced(hours=30 * 24, error=FORBIDDEN)]
    assert read_until(calendars) == HORIZON - HOUR


def calendar(
    *,
    primary: bool = False,
    selected: bool = True,
    error: CalendarError | None = None,
    hours: float | None = 1,
    unreadable: int = 0,
) -> CalendarOverview:
    at = None if hours is None else NOW - hours * HOUR
    return CalendarOverview("id", "Team", primary, "reader", selected, at, error, unreadable)


@pytest.mark.parametrize(
    ("shown", "state", "said"),
    [
        (calendar(), "synced", []),
        (calendar(hours=None), "not synced", []),
        (calendar(selected=False), "-", []),
        (calendar(selected=False, error=FORBIDDEN), "-", []),
        (
            calendar(selected=False, error=NOT_FOUND, hours=None),
            "not_found",
            ["gone, or no longer shared with the user: deselected, it does not block"],
        ),
        (
            calendar(error=FORBIDDEN),
            "forbidden",
            [f"cannot be read (forbidden, last synced 2026-11-23 10:00 UTC): {KEEPS}"],
        ),
        (calendar(error=FORBIDDEN, hours=None), "forbidden", ["cannot be read (forbidden): it does not block"]),
        (
            calendar(error=UNAVAILABLE, hours=None),
            "unavailable",
            ["cannot be read (unavailable): no new suggestions until it was read once"],
        ),
        (
            calendar(primary=True, error=FORBIDDEN),
            "forbidden",
            [f"cannot be read (forbidden, last synced 2026-11-23 10:00 UTC): {ENDS} from 2026-11-24 10:00 UTC on"],
        ),
        (
            calendar(primary=True, error=NOT_FOUND, hours=None),
            "not_found",
            ["cannot be read (not_found): no new suggestions until it can be read"],
        ),
        (calendar(unreadable=2), "synced", ["2 of its events cannot be read and do not block"]),
    ],
)
def test_a_calendars_state_and_what_follows_from_it(shown: CalendarOverview, state: str, said: list[str]) -> None:
    assert (shown.state, list(problems(shown, NOW))) == (state, said)
