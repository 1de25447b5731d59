"""The calendar sync against the double of Google, on both databases: domain.md's rules for job 1."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.database_faults import refusing, statements
from integration.jobs.sync_world import ADA, EMAIL, NOW, SyncWorld, outcome
from sqlalchemy import event, insert

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import commute_windows, manual_blocks
from catchup_jobs.domain.stored_enums import Weekday

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = (ExitCode.DONE, Outcome.DONE, None)
TUESDAY = "2026-11-24"


def counts(report: Any) -> dict[str, int]:
    """Return a run's counts without zeros."""
    return {count.value: number for count, number in report.summary.counts.items() if number}


@pytest.fixture
def writes(world: SyncWorld) -> Iterator[list[str]]:
    """The statements that change rows, as they are made."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.split(None, 1)[0] in {"INSERT", "UPDATE", "DELETE"}:
            seen.append(" ".join(statement.split()[:3]))

    event.listen(world.database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(world.database.engine, "before_cursor_execute", note)


# Who is synced, and what is selected --------------------------------------------------------------------------------


def test_an_unknown_user_is_a_permanent_error_65(world: SyncWorld) -> None:
    assert outcome(world.sync("nobody")) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.UNKNOWN_USER)


def test_a_user_who_never_connected_is_skipped_with_exit_0(world: SyncWorld) -> None:
    world.add_user("bo")
    assert outcome(world.sync("bo")) == (ExitCode.DONE, Outcome.SKIPPED, Reason.NOT_CONNECTED)
    assert world.google.requests() == []


def test_without_an_oauth_client_the_sync_is_skipped_with_exit_0(world: SyncWorld) -> None:
    world.client_id = None
    assert outcome(world.sync()) == (ExitCode.DONE, Outcome.SKIPPED, Reason.NOT_CONFIGURED)


def test_a_new_users_primary_calendar_is_selected_by_default_and_only_that(world: SyncWorld) -> None:
    world.google.add_calendar(EMAIL, "team")
    world.add_event("a", "2026-11-24 10:00")
    world.add_event("b", "2026-11-24 12:00", calendar="team")
    assert outcome(world.sync()) == DONE
    assert world.calendar(EMAIL).selected
    assert not world.calendar("team").selected
    assert set(world.stored_events()) == {"a"}
    assert not world.stored_events("team")


def test_googles_own_selected_flag_decides_nothing(world: SyncWorld) -> None:
    world.google.add_calendar(EMAIL, "team")
    world.sync()
    assert not world.calendar("team").selected
    world.select(EMAIL, selected=False)
    world.sync()
    assert not world.calendar(EMAIL).selected


def test_a_deselected_calendars_events_stop_blocking(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.add_event("t", f"{TUESDAY} 10:00", calendar="team")
    world.sync()
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    world.select("team", selected=False)
    world.sync()
    assert world.free(TUESDAY) == ["09:00-21:00"]
    assert not world.stored_events("team")


def test_a_calendar_selected_again_is_read_whole_and_blocks_again(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.select(EMAIL, selected=False)
    world.select(EMAIL)
    world.sync()
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]


def test_a_calendar_that_left_the_list_goes_with_its_events_and_may_come_back(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.add_event("t", f"{TUESDAY} 10:00", calendar="team")
    world.sync()
    world.google.remove_calendar(EMAIL, "team")
    assert counts(world.sync())["eventsRemoved"] == 1
    assert world.calendar("team").removed_at == world.now
    assert world.free(TUESDAY) == ["09:00-21:00"]
    world.google.add_calendar(EMAIL, "team")
    world.forget_list()
    world.sync()
    assert set(world.stored_events("team")) == {"t"}


def test_a_renamed_calendar_is_renamed(world: SyncWorld) -> None:
    world.google.add_calendar(EMAIL, "team", summary="Team")
    world.sync()
    world.google.add_calendar(EMAIL, "team", summary="Crew")
    world.forget_list()
    world.sync()
    assert world.calendar("team").summary == "Crew"


def test_the_calendar_list_is_read_on_all_its_pages(world: SyncWorld) -> None:
    for number in range(5):
        world.google.add_calendar(EMAIL, f"c{number}")
    world.google.set(page_size=2)
    world.sync()
    assert len(world.selection.listing(ADA)) == 6
    assert [entry["page"] for entry in world.google.requests() if entry["kind"] == "calendarList"] == [1, 2, 3]


# Events -------------------------------------------------------------------------------------------------------------


def test_events_are_read_on_all_their_pages_and_counted(world: SyncWorld) -> None:
    for number in range(7):
        world.add_event(f"e{number}", f"2026-11-2{number % 3 + 4} 1{number}:00")
    world.google.set(page_size=3)
    report = world.sync()
    assert len(world.stored_events()) == 7
    assert counts(report) == {
        "calendars": 1,
        "eventsAdded": 7,
        "fullSyncs": 1,
        "apiRequests": 4,
        "pages": 4,
        "freeSlots": report.summary.counts[Count.FREE_SLOTS],
    }


def test_added_changed_and_removed_events_are_counted_for_what_they_are(world: SyncWorld) -> None:
    for name in ("keep", "move", "drop"):
        world.add_event(name, f"{TUESDAY} 10:00")
    world.sync()
    world.add_event("new", f"{TUESDAY} 12:00")
    world.google.move_event(EMAIL, "move", at=f"{TUESDAY} 14:00")
    world.google.delete_event(EMAIL, "drop")
    found = counts(world.sync())
    assert {name: found[name] for name in ("eventsAdded", "eventsChanged", "eventsRemoved", "incrementalSyncs")} == {
        "eventsAdded": 1,
        "eventsChanged": 1,
        "eventsRemoved": 1,
        "incrementalSyncs": 1,
    }
    assert "fullSyncs" not in found


def test_an_unchanged_calendar_costs_one_events_request_and_no_event_write(world: SyncWorld, writes: list[str]) -> None:
    world.add_calendar("team")
    for number in range(5):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.sync()
    world.google.clear_requests()
    writes.clear()
    world.pass_time(minutes=30)
    report = world.sync()
    assert [(entry["kind"], entry["sync"]) for entry in world.google.requests()] == [
        ("events", "incremental"),
        ("events", "incremental"),
    ]
    assert counts(report)["apiRequests"] == 2
    assert not [statement for statement in writes if {"events", "free_slots", "users"} & set(statement.split())]
    assert sum(statement.startswith("UPDATE calendars") for statement in writes) == 2


def test_a_moved_event_blocks_where_it_is_now_and_no_longer_where_it_was(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    world.google.move_event(EMAIL, "a", at=f"{TUESDAY} 15:00")
    world.sync()
    assert world.free(TUESDAY) == ["09:00-15:00", "16:00-21:00"]


def test_deleted_events_are_not_busy_for_ever(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.google.delete_event(EMAIL, "a")
    world.sync()
    assert not world.stored_events()
    assert world.free(TUESDAY) == ["09:00-21:00"]


def test_an_event_moved_beyond_the_horizon_is_gone_and_comes_back_when_moved_back(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.google.move_event(EMAIL, "a", at="2028-01-01 10:00")
    assert counts(world.sync())["eventsRemoved"] == 1
    world.google.move_event(EMAIL, "a", at=f"{TUESDAY} 12:00")
    assert counts(world.sync())["eventsAdded"] == 1


def test_a_touched_endless_series_fills_the_window_and_not_the_years_after(world: SyncWorld) -> None:
    world.sync()
    world.add_event("daily", f"{TUESDAY} 08:00", repeat="FREQ=DAILY")
    world.sync()
    stored = world.stored_events()
    assert len(stored) == 45
    assert max(row.start_at for row in stored.values()) < NOW + timedelta(days=45)
    assert {row.recurring_event_id for row in stored.values()} == {"daily"}


def test_one_cancelled_instance_and_a_deleted_series(world: SyncWorld) -> None:
    world.add_event("s", f"{TUESDAY} 10:00", repeat="FREQ=DAILY;COUNT=3")
    world.sync()
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    world.google.put_instance(EMAIL, "s_20261124T090000Z", {"status": "cancelled"})
    world.sync()
    assert world.free(TUESDAY) == ["09:00-21:00"]
    assert len(world.stored_events()) == 2
    world.google.delete_event(EMAIL, "s")
    world.sync()
    assert not world.stored_events()


@pytest.mark.parametrize(
    "fields",
    [
        {"transparency": "transparent"},
        {"attendees": [{"self": True, "email": EMAIL, "responseStatus": "declined"}]},
        {"eventType": "workingLocation", "transparency": "transparent"},
    ],
    ids=["free", "declined", "working location"],
)
def test_an_event_that_is_free_or_declined_does_not_block(world: SyncWorld, fields: dict[str, Any]) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.google.put_event(EMAIL, "a", fields)
    world.sync()
    assert not world.stored_events()["a"].busy
    assert world.free(TUESDAY) == ["09:00-21:00"]


def test_an_event_that_the_user_declines_later_stops_blocking(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.google.put_event(EMAIL, "a", {"attendees": [{"self": True, "responseStatus": "accepted"}]})
    world.sync()
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    world.google.put_event(EMAIL, "a", {"attendees": [{"self": True, "responseStatus": "declined"}]})
    world.sync()
    assert world.free(TUESDAY) == ["09:00-21:00"]


def test_an_all_day_event_blocks_its_days_only_when_it_is_busy(world: SyncWorld) -> None:
    world.add_event("holiday", TUESDAY, days=1, free=True)
    world.add_event("offsite", "2026-11-25", days=2)
    world.sync()
    stored = world.stored_events()["offsite"]
    assert (stored.start_date, stored.end_date) == (date(2026, 11, 25), date(2026, 11, 27))
    assert world.free(TUESDAY) == ["09:00-21:00"]
    assert world.free("2026-11-25") == world.free("2026-11-26") == []
    assert world.free("2026-11-27") == ["09:00-21:00"]


def test_an_all_day_event_is_meant_in_the_users_zone_not_the_calendars(world: SyncWorld) -> None:
    world.add_event("offsite", TUESDAY, days=1)
    world.user(time_zone="Pacific/Kiritimati")
    world.sync()
    assert world.free(TUESDAY, "Pacific/Kiritimati") == []
    assert world.free("2026-11-25", "Pacific/Kiritimati") == ["09:00-21:00"]


# Full syncs ---------------------------------------------------------------------------------------------------------


def test_410_makes_a_full_sync_that_reconciles_without_duplicates_or_lost_deletions(world: SyncWorld) -> None:
    for name in ("keep", "drop", "move"):
        world.add_event(name, f"{TUESDAY} 10:00")
    world.sync()
    before = world.stored_events()["keep"].id
    world.google.delete_event(EMAIL, "drop")
    world.google.move_event(EMAIL, "move", at="2026-11-25 10:00")
    world.google.invalidate_sync_tokens(EMAIL)
    world.google.clear_requests()
    found = counts(world.sync())
    assert [(entry["sync"], entry["status"]) for entry in world.google.requests() if entry["kind"] == "events"] == [
        ("incremental", 410),
        ("full", 200),
    ]
    assert set(world.stored_events()) == {"keep", "move"}
    assert world.stored_events()["keep"].id == before
    assert (found["eventsChanged"], found["eventsRemoved"], found["fullSyncs"]) == (1, 1, 1)
    assert "eventsAdded" not in found


def test_a_token_that_google_refuses_with_400_is_mended_by_a_full_sync(world: SyncWorld) -> None:
    world.sync()
    fault = world.google.add_fault(kind="events", status=400, reason="invalid")
    assert counts(world.sync())["fullSyncs"] == 1
    assert [entry["fired"] for entry in world.google.faults() if entry["id"] == fault] == [1]


def test_untouched_events_that_come_into_the_window_are_found_before_30_days_are_left(world: SyncWorld) -> None:
    world.add_event("far", "2027-01-15 10:00")
    world.sync()
    assert not world.stored_events()
    horizon = world.calendar().horizon_end
    for _ in range(16):
        world.pass_time(days=1)
        world.sync()
        assert world.calendar().horizon_end - world.now > timedelta(days=30)
    assert set(world.stored_events()) == {"far"}
    assert world.calendar().horizon_end > horizon
    assert 1 <= world.google.count("events", sync="full") - 1 <= 2


def test_a_full_sync_can_be_asked_for(world: SyncWorld) -> None:
    world.sync()
    assert counts(world.sync(full=True))["fullSyncs"] == 1


def test_a_full_sync_of_unchanged_events_writes_none(world: SyncWorld, writes: list[str]) -> None:
    for number in range(5):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.sync()
    writes.clear()
    world.sync(full=True)
    assert not [statement for statement in writes if "events" in statement or "free_slots" in statement]


def test_the_number_of_statements_does_not_grow_with_the_number_of_events(world: SyncWorld, writes: list[str]) -> None:
    def cost(events: int) -> int:
        for number in range(events):
            world.google.put_event(
                EMAIL,
                f"e{number}",
                {
                    "summary": f"{events}",
                    "start": {"dateTime": f"{TUESDAY}T10:00:00Z"},
                    "end": {"dateTime": f"{TUESDAY}T11:00:00Z"},
                },
            )
        writes.clear()
        world.sync()
        return len(writes)

    world.sync()
    few = cost(10)
    assert cost(10) <= few
    world.sync(full=True)
    assert cost(120) <= few + 2


def test_a_sync_in_which_nothing_changed_makes_few_statements(world: SyncWorld) -> None:
    world.add_event("e", f"{TUESDAY} 10:00")
    world.sync()
    with statements(world.database) as seen:
        world.sync()
    # One of them tells a pool of a sync by hand.
    assert len(seen) <= 13, "\n".join(seen)


def test_past_events_are_cleared_out_by_full_syncs_and_not_counted_as_removed(world: SyncWorld) -> None:
    world.add_event("old", "2026-11-23 15:00")
    world.sync()
    world.pass_time(days=3)
    assert "eventsRemoved" not in counts(world.sync(full=True))
    assert not world.stored_events()


# Availability -------------------------------------------------------------------------------------------------------


def test_free_slots_reach_30_days_ahead_and_none_starts_in_the_past(world: SyncWorld) -> None:
    world.sync()
    assert world.free("2026-11-23") == ["12:00-21:00"]
    assert world.free("2026-12-22") == ["09:00-21:00"]
    assert world.free("2026-12-23") == ["09:00-12:00"]
    assert world.free("2026-12-24") == []
    assert world.user().availability_horizon_end == NOW + timedelta(days=30)


def test_free_slots_are_computed_anew_each_local_day_as_the_window_moves(world: SyncWorld) -> None:
    world.sync()
    world.pass_time(hours=24)
    world.sync()
    assert world.free("2026-11-23") == []
    assert world.free("2026-12-23") == ["09:00-21:00"]


def test_only_the_free_slots_that_differ_are_written(world: SyncWorld, writes: list[str]) -> None:
    world.sync()
    world.add_event("a", f"{TUESDAY} 09:00", minutes=120)
    writes.clear()
    world.sync()
    assert world.free(TUESDAY) == ["11:00-21:00"]
    assert [statement for statement in writes if "free_slots" in statement] == [
        "DELETE FROM free_slots",
        "INSERT INTO free_slots",
    ]


@pytest.mark.parametrize("change", ["zone", "night", "block", "commute"])
def test_free_slots_follow_the_users_parameters_and_zone_at_once(world: SyncWorld, change: str) -> None:
    world.sync()
    window = {"user_id": ADA, "weekday": Weekday.TUESDAY, "start_time": time(10), "end_time": time(12)}
    if change == "zone":
        world.user(time_zone="America/New_York")
    elif change == "night":
        world.user(night_start=time(20), night_end=time(10))
    else:
        with world.database.write() as connection:
            connection.execute(insert(manual_blocks if change == "block" else commute_windows), window)
    world.sync()
    assert (
        world.free(TUESDAY, "America/New_York" if change == "zone" else "Europe/Berlin")
        == {
            "zone": ["09:00-21:00"],
            "night": ["10:00-20:00"],
            "block": ["10:00-12:00"],
            "commute": ["09:00-10:00", "12:00-21:00"],
        }[change]
    )


def test_hours_are_local_on_both_sides_of_a_clock_change(world: SyncWorld) -> None:
    world.now = datetime.fromisoformat("2027-03-20T12:00:00+00:00")
    world.connect()
    world.sync()
    assert world.free("2027-03-27") == world.free("2027-03-28") == world.free("2027-03-29") == ["09:00-21:00"]


def test_a_free_fortnight_is_a_slot_each_day(world: SyncWorld) -> None:
    assert world.sync().summary.counts[Count.FREE_SLOTS] == 31


def test_nobody_is_free_while_a_selected_calendar_was_never_read(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.google.add_fault(kind="events", calendar="team", status=503, times=None)
    assert outcome(world.sync()) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert world.free(TUESDAY) == []
    assert world.user().availability_horizon_end is None
    world.google.clear_faults()
    world.sync()
    assert world.free(TUESDAY) == ["09:00-21:00"]


def test_availability_is_computed_by_the_next_run_when_it_could_not_be_stored(world: SyncWorld) -> None:
    world.sync()
    world.add_event("a", f"{TUESDAY} 10:00")
    with refusing("INSERT ON free_slots", world.database):
        assert outcome(world.sync()) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BAD_DATA)
    assert "eventsAdded" not in counts(world.sync())
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
