from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.calendar.week import BUSY, CLOSED, FREE, SKIPPED, draw

BERLIN = ZoneInfo("Europe/Berlin")


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def cells(row: str) -> str:
    return row[11:].ljust(48)


def test_a_row_shows_local_half_hours() -> None:
    free = [Interval(at(24, 8), at(24, 14)), Interval(at(24, 15, 30), at(24, 20))]
    ruler, row = draw([Interval(at(24, 14), at(24, 15, 30))], free, BERLIN, first=date(2026, 11, 24), days=1)
    assert cells(row) == CLOSED * 18 + FREE * 12 + BUSY * 3 + FREE * 9 + CLOSED * 6
    assert row.startswith("Tue 24 Nov ")
    assert ruler.index("15") == row.index(BUSY)


def test_an_event_that_touches_a_half_hour_makes_it_busy() -> None:
    _, row = draw([Interval(at(24, 8, 29), at(24, 8, 31))], [], BERLIN, first=date(2026, 11, 24), days=1)
    assert cells(row).strip(CLOSED) == BUSY * 2


def test_half_hours_that_the_clock_skips_are_blank() -> None:
    _, row = draw([], [], BERLIN, first=date(2026, 3, 29), days=1)
    assert cells(row) == CLOSED * 4 + SKIPPED * 2 + CLOSED * 42


def test_a_week_has_a_ruler_and_seven_rows() -> None:
    assert len(draw([], [], BERLIN, first=date(2026, 11, 24))) == 8
