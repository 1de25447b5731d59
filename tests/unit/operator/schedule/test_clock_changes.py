from datetime import UTC, date, datetime

from catchup_operator.schedule.clock_changes import FIRST, Jump, jumps, offsets, zone_data_version


def test_jumps_of_a_zone() -> None:
    (spring, *_) = [jump for jump in jumps("Asia/Beirut") if jump.at.year == 2027]
    assert spring == Jump(datetime(2027, 3, 27, 22, 0, tzinfo=UTC), 120, 180)
    assert spring.skipped_date(0) == spring.skipped_date(59) == date(2027, 3, 28)
    assert spring.skipped_date(60) is None
    assert (jumps("Asia/Kathmandu"), offsets("Asia/Kathmandu")) == ((), (345,))
    assert offsets("Australia/Lord_Howe") == (630, 660)


def test_offsets_count_from_the_year_of_the_zone_data_on() -> None:
    assert f"{FIRST:%Y-%m-%d}" == f"{zone_data_version()[:4]}-01-01"
    # Until 2022 Tehran's clock was set forward in spring.
    assert offsets("Asia/Tehran") == (210,)
