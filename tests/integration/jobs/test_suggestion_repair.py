"""What a sync does to suggestions, in the transaction that changes the events; on both databases."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.database_faults import after, refusing, statements
from integration.jobs.fleet_world import FleetWorld, at, person
from integration.jobs.sync_world import EMAIL, NOW, SyncWorld, outcome
from sqlalchemy import select

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import calendars, suggestions, users
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers
from catchup_jobs.domain.stored_enums import SuggestionStatus, Trigger

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
TUESDAY = "2026-11-24"


@pytest.fixture
def fleet(world: SyncWorld, tmp_path: Path) -> FleetWorld:
    """The same database and user, as the suggestion job sees them; synced once, with one contact and a suggestion."""
    made = FleetWorld(world.database, tmp_path / "locks")
    made.know("ada", [person("Ben", tags=("climbing",))])
    world.sync()
    return made


def pending(fleet: FleetWorld, **values: Any) -> int:
    """Store a suggestion for Tuesday 10:00 to 12:00."""
    return fleet.add_suggestion(at("24 10:00"), at("24 12:00"), **values)


def activity(fleet: FleetWorld, world: SyncWorld, **values: Any) -> None:
    """Have an event on Tuesday evening, synced, and a suggestion about it."""
    world.google.add_event(EMAIL, "climb", title="Climbing", at=f"{TUESDAY} 18:00")
    world.sync()
    with world.database.read() as connection:
        calendar = connection.execute(select(calendars.c.id).where(calendars.c.google_id == EMAIL)).scalar_one()
    about = {"source_calendar_id": calendar, "source_event_id": "climb", "source_event_title": "Climbing"}
    fleet.add_suggestion(at("24 18:00"), at("24 19:00"), trigger=Trigger.SHARED_ACTIVITY, **about | values)


def test_a_suggestion_not_yet_delivered_moves_when_an_event_comes_in_its_time(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    pending(fleet)
    world.add_event("dentist", f"{TUESDAY} 11:00")
    assert world.sync().summary.counts[Count.SUGGESTIONS_MOVED] == 1
    assert fleet.shown() == ["ben pending 23 14:00-16:00"]
    (row,) = fleet.rows()
    assert (row.version, row.reasoning) == (2, "42 days since you last met; you usually catch up monthly")


def test_a_delivered_suggestion_does_not_move_under_the_users_eyes_it_expires(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    pending(fleet, delivered_at=NOW - DAY)
    world.add_event("dentist", f"{TUESDAY} 11:00")
    assert world.sync().summary.counts[Count.SUGGESTIONS_EXPIRED] == 1
    assert fleet.shown() == ["ben clash 24 10:00-12:00"]


def test_an_accepted_suggestion_and_what_does_not_clash_stay_untouched(world: SyncWorld, fleet: FleetWorld) -> None:
    pending(fleet, status=SuggestionStatus.ACCEPTED, answered_at=NOW)
    world.add_event("dentist", f"{TUESDAY} 11:00")
    world.add_event("lunch", "2026-11-25 12:00")
    world.sync()
    assert fleet.shown() == ["ben accepted 24 10:00-12:00"]
    assert fleet.rows()[0].version == 1


def test_a_sync_makes_no_new_suggestion(world: SyncWorld, fleet: FleetWorld) -> None:
    world.add_event("dentist", f"{TUESDAY} 11:00")
    world.sync()
    assert fleet.rows() == []


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [(False, "ben pending 24 20:00-21:00"), (True, "ben event_moved 24 18:00-19:00")],
)
def test_a_shared_activity_follows_its_event_or_expires_once_delivered(
    world: SyncWorld, fleet: FleetWorld, delivered: bool, expected: str
) -> None:
    activity(fleet, world, delivered_at=NOW - DAY if delivered else None)
    world.google.move_event(EMAIL, "climb", at=f"{TUESDAY} 20:00")
    world.sync()
    assert fleet.shown() == [expected]


def test_a_shared_activity_expires_with_its_event_and_still_tells_what_it_was(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    activity(fleet, world)
    world.google.delete_event(EMAIL, "climb")
    world.sync()
    (row,) = fleet.rows()
    assert (row.expiry_reason, row.source_event_id, row.source_event_title) == ("event_gone", "climb", "Climbing")


@pytest.mark.parametrize("booked", [False, True])
@pytest.mark.parametrize("how", ["deleted", "moved away"])
def test_an_accepted_suggestion_whose_event_is_cancelled_is_off_and_does_not_count_as_contact(
    world: SyncWorld, fleet: FleetWorld, booked: bool, how: str
) -> None:
    accepted: dict[str, Any] = {"status": SuggestionStatus.ACCEPTED, "answered_at": NOW - DAY}
    if booked:
        world.add_event("climb", f"{TUESDAY} 18:00")
        world.sync()
        fleet.add_suggestion(at("24 18:00"), at("24 19:00"), booked_event_id="climb", **accepted)
    else:
        activity(fleet, world, **accepted)
    world.sync(full=True)
    assert fleet.rows(SuggestionStatus.ACCEPTED)
    if how == "deleted":
        world.google.delete_event(EMAIL, "climb")
    else:
        world.google.move_event(EMAIL, "climb", at="2027-11-24 18:00")
    assert world.sync().summary.counts[Count.SUGGESTIONS_EXPIRED] == 1
    assert fleet.shown() == ["ben event_gone 24 18:00-19:00"]
    fleet.pass_time(days=3)
    fleet.run()
    assert "45 days" in fleet.rows(SuggestionStatus.PENDING)[0].reasoning, "the two did not meet"


@pytest.mark.parametrize("booked", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_an_accepted_suggestion_follows_its_event_within_the_window(
    world: SyncWorld, fleet: FleetWorld, booked: bool, full: bool
) -> None:
    accepted: dict[str, Any] = {
        "status": SuggestionStatus.ACCEPTED,
        "answered_at": NOW - DAY,
        "delivered_at": NOW - DAY,
    }
    if booked:
        world.add_event("climb", f"{TUESDAY} 18:00")
        world.sync()
        fleet.add_suggestion(at("24 18:00"), at("24 19:00"), booked_event_id="climb", **accepted)
    else:
        activity(fleet, world, **accepted)
    world.google.move_event(EMAIL, "climb", at="2026-11-26 20:00")
    assert world.sync(full=full).summary.counts[Count.SUGGESTIONS_MOVED] == 1
    assert fleet.shown() == ["ben accepted 26 20:00-21:00"]
    (row,) = fleet.rows()
    assert (row.version, row.delivered_at) == (2, NOW - DAY)
    assert world.sync(full=full).summary.counts.get(Count.SUGGESTIONS_MOVED, 0) == 0
    views = DatabaseAnswers(world.database).listing("ada", [SuggestionStatus.ACCEPTED])
    assert [view.item.start_at for view in views] == [at("26 20:00")]


def test_an_accepted_suggestion_follows_its_event_to_the_date_on_which_it_is_all_day(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    activity(fleet, world, status=SuggestionStatus.ACCEPTED, answered_at=NOW - DAY)
    world.google.move_event(EMAIL, "climb", at="2026-11-26", days=1)
    assert world.sync().summary.counts[Count.SUGGESTIONS_MOVED] == 1
    assert fleet.shown() == ["ben accepted 26 18:00-19:00"]


def test_an_accepted_suggestion_counts_as_contact_when_the_moved_event_has_ended(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    activity(fleet, world, status=SuggestionStatus.ACCEPTED, answered_at=NOW - DAY)
    world.google.move_event(EMAIL, "climb", at="2026-11-26 20:00")
    world.sync()
    fleet.pass_time(days=2)
    fleet.run()
    assert fleet.shown() == ["ben accepted 26 20:00-21:00"]
    fleet.pass_time(days=2)
    fleet.run()
    assert fleet.shown() == ["ben accepted 26 20:00-21:00"], "the two met: no other suggestion is due"


def test_another_suggestion_gives_way_to_an_accepted_one_that_moved_with_its_event(
    world: SyncWorld, fleet: FleetWorld
) -> None:
    activity(fleet, world, status=SuggestionStatus.ACCEPTED, answered_at=NOW - DAY)
    fleet.know("ada", [person("Ben", tags=("climbing",)), person("Cleo")])
    pending(fleet, contact="cleo")
    world.google.move_event(EMAIL, "climb", at=f"{TUESDAY} 11:00")
    world.sync()
    shown = dict(line.split(" ", 1) for line in fleet.shown())
    assert shown["ben"] == "accepted 24 11:00-12:00"
    assert shown["cleo"].startswith("pending")
    assert shown["cleo"] != "pending 24 10:00-12:00"


def test_what_is_tidied_away_long_after_it_took_place_stays_a_contact(world: SyncWorld, fleet: FleetWorld) -> None:
    activity(fleet, world, status=SuggestionStatus.ACCEPTED, answered_at=NOW - DAY)
    world.pass_time(days=3)
    world.google.delete_event(EMAIL, "climb")
    world.sync()
    assert len(fleet.rows(SuggestionStatus.ACCEPTED)) == 1


def test_an_accepted_suggestion_outlives_the_choice_of_its_calendar(world: SyncWorld, fleet: FleetWorld) -> None:
    activity(fleet, world, status=SuggestionStatus.ACCEPTED, answered_at=NOW - DAY)
    world.select(EMAIL, selected=False)
    world.sync()
    assert len(fleet.rows(SuggestionStatus.ACCEPTED)) == 1


def test_a_shared_activity_survives_a_full_sync(world: SyncWorld, fleet: FleetWorld) -> None:
    activity(fleet, world)
    world.sync(full=True)
    assert fleet.shown() == ["ben pending 24 18:00-19:00"]


@pytest.mark.parametrize("how", ["deselected", "gone from the list"])
def test_a_shared_activity_expires_with_its_calendar(world: SyncWorld, fleet: FleetWorld, how: str) -> None:
    world.google.add_calendar(EMAIL, "team")
    activity(fleet, world)
    with world.database.write() as connection:
        connection.execute(suggestions.delete())
    world.sync(full=True)  # reads the list of calendars
    world.select("team")
    world.google.add_event("team", "boulder", title="Climbing", at=f"{TUESDAY} 15:00")
    world.sync()
    with world.database.read() as connection:
        team = connection.execute(select(calendars.c.id).where(calendars.c.google_id == "team")).scalar_one()
    about = {"source_calendar_id": team, "source_event_id": "boulder", "source_event_title": "Climbing"}
    fleet.add_suggestion(at("24 15:00"), at("24 16:00"), trigger=Trigger.SHARED_ACTIVITY, **about)
    if how == "deselected":
        world.select("team", selected=False)
    else:
        world.google.remove_calendar(EMAIL, "team")
        world.sync()
    assert fleet.shown() == ["ben event_gone 24 15:00-16:00"]


def test_a_calendar_that_fails_changes_no_suggestion(world: SyncWorld, fleet: FleetWorld) -> None:
    world.google.add_calendar(EMAIL, "team")
    activity(fleet, world)
    world.google.delete_event(EMAIL, "climb")
    world.google.add_fault(kind="events", calendar=EMAIL, status=404, reason="notFound", times=None)
    report = world.sync()
    assert any(fault["fired"] for fault in world.google.faults())
    assert (report.summary.outcome, report.summary.reason) == (Outcome.DONE, Reason.CALENDAR_UNREADABLE)
    assert fleet.shown() == ["ben pending 24 18:00-19:00"]


def test_events_and_what_they_make_clash_are_stored_together_or_not_at_all(world: SyncWorld, fleet: FleetWorld) -> None:
    pending(fleet)
    world.add_event("dentist", f"{TUESDAY} 11:00")
    seen: list[bool] = []
    with (
        refusing("UPDATE ON suggestions", world.database),
        # Another connection sees nothing of what is written: it is one transaction.
        after("INSERT INTO events", world.database, lambda: seen.append("dentist" in world.stored_events())),
    ):
        assert outcome(world.sync()) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BAD_DATA)
    assert seen == [False]
    assert "dentist" not in world.stored_events()
    assert fleet.shown() == ["ben pending 24 10:00-12:00"]
    world.sync()
    assert "dentist" in world.stored_events()
    assert fleet.shown() == ["ben pending 23 14:00-16:00"]


def test_an_unchanged_sync_reads_and_writes_no_suggestion(world: SyncWorld, fleet: FleetWorld) -> None:
    pending(fleet)
    world.sync()
    with statements(world.database) as seen:
        world.sync()
    assert seen
    assert not [text for text in seen if "suggestions" in text or "contacts" in text]


def test_a_user_without_suggestions_costs_one_statement_more(world: SyncWorld, fleet: FleetWorld) -> None:
    world.add_event("dentist", f"{TUESDAY} 11:00")
    with statements(world.database) as seen:
        world.sync()
    assert len([text for text in seen if "suggestions" in text]) == 1


def test_changed_events_void_plans_that_are_being_made(world: SyncWorld, fleet: FleetWorld) -> None:
    def version() -> int:
        with world.database.read() as connection:
            return int(connection.execute(select(users.c.planning_version)).scalar_one())

    before = version()
    world.sync()
    assert version() == before
    world.add_event("dentist", f"{TUESDAY} 11:00")
    world.sync()
    assert version() == before + 1


def test_without_another_free_hour_a_suggestion_expires(world: SyncWorld, fleet: FleetWorld) -> None:
    pending(fleet)
    world.google.add_event(EMAIL, "leave", title="Leave", at="2026-11-23", days=20)
    world.sync()
    assert fleet.shown() == ["ben clash 24 10:00-12:00"]


def test_a_plan_waits_for_a_sync_that_is_storing_events_and_is_made_anew(world: SyncWorld, fleet: FleetWorld) -> None:
    """The job has read the old events; the sync stores new ones while the job wants to write."""
    reports: list[Any] = []
    read, stored = threading.Event(), threading.Event()
    planning = threading.Thread(target=lambda: reports.append(fleet.run()))

    def wait_for_the_sync() -> None:
        read.set()
        assert stored.wait(20)

    def wait_for_the_job() -> None:
        # The sync has locked the user's row: the job goes on and must wait.
        stored.set()
        planning.join(1)
        assert planning.is_alive(), "the job did not wait for the sync's transaction"

    world.add_event("long", "2026-11-23 13:00", minutes=5 * 60)
    with (
        after("FROM events", world.database, wait_for_the_sync),
        after("UPDATE users SET availability_computed_at", world.database, wait_for_the_job),
    ):
        planning.start()
        assert read.wait(20)
        assert outcome(world.sync()) == (ExitCode.DONE, Outcome.DONE, None)
        planning.join(20)
    assert reports[0].exit_code == ExitCode.DONE
    assert fleet.shown() == ["ben pending 23 18:00-19:00"]
