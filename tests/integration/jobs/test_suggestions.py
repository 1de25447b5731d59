"""The suggestion job for a fleet, on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.database_faults import after, outage, statements, work
from integration.jobs.fleet_world import BERLIN, NOW, FleetWorld, at, counts, person
from samples import IN_FULL
from sqlalchemy import insert, select, update

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import (
    calendars,
    commute_windows,
    contacts,
    events,
    oauth_tokens,
    preferred_windows,
    runs,
    suggestions,
    users,
)
from catchup_jobs.adapters.database.suggestions import bounded
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS
from catchup_jobs.domain.stored_enums import (
    CalendarError,
    ExpiryReason,
    Frequency,
    Mode,
    SuggestionStatus,
    TokenState,
    Trigger,
    Weekday,
)
from catchup_jobs.jobs.suggestions.job import FATAL
from catchup_jobs.jobs.suggestions.ports import TOO_MUCH, UNREADABLE
from catchup_jobs.jobs.suggestions.reading import Shard, shard_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from catchup_jobs.adapters.database.engine import Database

DAY = timedelta(days=1)
DONE = (ExitCode.DONE, Outcome.DONE, None)
PENDING, ACCEPTED = SuggestionStatus.PENDING, SuggestionStatus.ACCEPTED
WIDENED = {
    "sqlite": "PRAGMA ignore_check_constraints = ON",
    "postgresql": "ALTER TABLE oauth_tokens DROP CONSTRAINT ck_oauth_tokens_state",
}
# What every batch asks: who is in it, and the last of what their plans are made from.
IDS, FACTS = "WHERE users.id >", "FROM events"


def outcome(report: Any) -> tuple[int, Outcome, Reason | None]:
    return report.exit_code, report.summary.outcome, report.summary.reason


# What is stored ------------------------------------------------------------------------------------------------------


def test_a_time_bound_suggestion_is_stored_with_its_reason(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person("Ben", tags=("IRL preferred",))])
    assert outcome(fleet.run()) == DONE
    (row,) = fleet.rows()
    assert (row.user_id, row.name, row.trigger, row.status, row.mode) == (
        "ada",
        "Ben",
        Trigger.TIME_BOUND,
        PENDING,
        Mode.IN_PERSON,
    )
    assert (row.start_at, row.end_at) == (at("23 14:00"), at("23 16:00"))
    assert row.reasoning == "42 days since you last met; you usually catch up monthly"
    assert (row.source_event_id, row.booked_event_id, row.delivered_at, row.version) == (None, None, None, 1)


def test_a_shared_activity_is_stored_with_its_events_id_and_title_and_not_as_a_booked_one(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person("Ben", 5, tags=("climbing",))])
    fleet.add_event(at("25 18:15"), at("25 20:00"), event_id="evt", summary="Climbing", description="Top rope")
    fleet.run()
    (row,) = fleet.rows()
    assert (row.trigger, row.start_at, row.end_at) == (Trigger.SHARED_ACTIVITY, at("25 18:15"), at("25 20:00"))
    assert (row.source_event_id, row.source_event_title, row.booked_event_id) == ("evt", "Climbing", None)
    assert row.source_calendar_id is not None
    assert "both like climbing" in row.reasoning


def test_busy_events_commutes_and_the_night_are_read_and_free_ones_are_not(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()], night_start=time(20), night_end=time(9))
    with fleet.database.write() as connection:
        window = {"user_id": "ada", "weekday": Weekday.MONDAY}
        hours = {
            "start_time": at("23 16:00").time().replace(hour=16),
            "end_time": at("23 17:00").time().replace(hour=17),
        }
        connection.execute(insert(commute_windows).values(**window, **hours))
    fleet.add_event(at("23 13:00"), at("23 15:30"))
    fleet.add_event(at("23 17:00"), at("23 19:00"), busy=False)
    fleet.run()
    assert fleet.shown() == ["ben pending 23 17:00-18:00"]


def test_a_busy_all_day_event_blocks_its_days_in_the_users_zone(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()], time_zone="Pacific/Kiritimati")
    fleet.add_event(None, None, start_date=date(2026, 11, 24), end_date=date(2026, 11, 26))
    fleet.run()
    assert fleet.shown("Pacific/Kiritimati") == ["ben pending 26 09:00-10:00"]


def test_events_of_calendars_that_are_deselected_or_removed_do_not_block(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.add_event(at("23 13:00"), at("23 19:00"))
    with fleet.database.write() as connection:
        other = {"summary": "x", "is_primary": False, "access_role": "owner", "user_id": "ada", "google_id": "x"}
        fresh = {"horizon_end": NOW + 45 * DAY, "last_full_sync_at": NOW, "last_success_at": NOW}
        connection.execute(insert(calendars).values(**other, **fresh, selected=True))
        connection.execute(update(calendars).where(calendars.c.google_id == "primary").values(selected=False))
    fleet.run()
    assert fleet.shown() == ["ben pending 23 14:00-15:00"]


def test_groups_are_known_by_name_not_by_id(fleet: FleetWorld) -> None:
    """Close Friends tested against group ids: what the first implementation got wrong."""
    fleet.add_user("ada", [person("Ben"), person("Cleo", groups=("Close Friends",)), person("Dan", groups=("7",))])
    fleet.run()
    assert [row.name for row in fleet.rows()] == ["Cleo", "Ben", "Dan"]


def test_excluded_and_archived_contacts_get_none(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person("Ben", excluded=True), person("Cleo", archived=True), person("Dan")])
    fleet.run()
    assert [row.name for row in fleet.rows()] == ["Dan"]


def test_an_interaction_in_the_future_is_no_contact_yet(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person("Ben", interactions=(NOW - 42 * DAY, NOW + DAY))])
    fleet.run()
    assert "42 days" in fleet.rows()[0].reasoning


# History -------------------------------------------------------------------------------------------------------------


def test_running_twice_changes_nothing(fleet: FleetWorld) -> None:
    """Every run inserted duplicates: what the first implementation got wrong."""
    fleet.add_user("ada", [person(f"P{number}") for number in range(60)])
    fleet.add_event(at("25 18:15"), at("25 20:00"), summary="Climbing")
    assert counts(fleet.run())["suggestionsCreated"] == 3 * 15
    before = [tuple(row) for row in fleet.rows()]
    assert counts(fleet.run()) == {"users": 1}
    assert [tuple(row) for row in fleet.rows()] == before


def test_a_past_slot_expires_once_and_is_not_sent_again(fleet: FleetWorld) -> None:
    """Past slots never expired and were re-sent weekly: what the first implementation got wrong."""
    fleet.add_user("ada", [person()])
    fleet.run()
    fleet.change(suggestions, delivered_at=fleet.now)
    fleet.pass_time(days=2)
    assert counts(fleet.run()) == {"users": 1, "suggestionsExpired": 1}
    assert fleet.shown() == ["ben passed 23 14:00-15:00"]
    fleet.pass_time(days=5)
    assert counts(fleet.run()) == {"users": 1}, "delivered and unanswered: a week's rest"
    fleet.pass_time(days=1)
    assert counts(fleet.run()) == {"users": 1, "suggestionsCreated": 1}


def test_an_accepted_suggestion_counts_as_contact_when_its_slot_ends(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person(frequency=Frequency.WEEKLY)])
    fleet.add_suggestion(at("24 10:00"), at("24 11:00"), status=ACCEPTED, answered_at=NOW)
    for _ in range(2):
        assert counts(fleet.run()) == {"users": 1}
        fleet.pass_time(days=7)
    fleet.pass_time(days=1)
    fleet.run()
    assert fleet.rows(PENDING)[0].reasoning == "14 days since you last met; you aim for weekly"


def test_an_interaction_that_an_import_brings_late_ends_the_suggestion_as_met(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person(days=42)])
    fleet.run()
    fleet.pass_time(hours=1)
    fleet.know("ada", [person(days=3)])
    assert counts(fleet.run()) == {"users": 1, "suggestionsExpired": 1}
    assert [row.expiry_reason for row in fleet.rows()] == [ExpiryReason.MET]
    assert counts(fleet.run()) == {"users": 1}


@pytest.mark.parametrize(("days", "made"), [(29, 0), (31, 1)])
def test_a_dismissed_contact_rests_for_one_threshold(fleet: FleetWorld, days: int, made: int) -> None:
    fleet.add_user("ada", [person()])
    answered: dict[str, Any] = {"status": SuggestionStatus.DISMISSED, "answered_at": NOW - days * DAY}
    fleet.add_suggestion(at("01 10:00"), at("01 11:00"), **answered)
    fleet.run()
    assert len(fleet.rows(PENDING)) == made


def test_a_snoozed_suggestion_returns_as_a_new_one_would_be(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    key = fleet.add_suggestion(
        at("10 10:00"),
        at("10 11:00"),
        status=SuggestionStatus.SNOOZED,
        snoozed_until=NOW,
        delivered_at=NOW - 9 * DAY,
        version=4,
    )
    assert counts(fleet.run()) == {"users": 1, "suggestionsMoved": 1}
    (row,) = fleet.rows()
    assert (row.id, row.status, row.snoozed_until, row.delivered_at, row.version) == (key, PENDING, None, None, 5)
    assert row.reasoning.startswith("42 days")


def test_the_days_in_a_reason_are_todays_and_an_answer_to_yesterdays_still_counts(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.run()
    (before,) = fleet.rows()
    fleet.change(suggestions, start_at=NOW + 5 * DAY, end_at=NOW + 5 * DAY + timedelta(hours=1))
    fleet.pass_time(days=1)
    assert counts(fleet.run()) == {"users": 1}
    (after,) = fleet.rows()
    assert (before.reasoning[:7], after.reasoning[:7]) == ("42 days", "43 days")
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    with statements(fleet.database) as seen:
        fleet.run()
    assert not [text for text in seen if text.startswith("UPDATE suggestions")]


def test_a_suggestion_of_a_contact_that_was_archived_expires(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.run()
    fleet.know("ada", [])
    fleet.run()
    assert fleet.shown() == ["ben contact_excluded 23 14:00-15:00"]


def test_expired_suggestions_are_forgotten_in_the_end_and_answered_ones_are_not(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    expired = {"status": SuggestionStatus.EXPIRED, "expiry_reason": ExpiryReason.PASSED}
    kept = []
    for days, delivered in ((89, False), (91, False), (365, True), (367, True)):
        start = NOW - days * DAY - timedelta(hours=1)
        key = fleet.add_suggestion(start, NOW - days * DAY, delivered_at=start if delivered else None, **expired)
        kept += [key] if days in {89, 365} else []
    old = (NOW - 900 * DAY, NOW - 899 * DAY)
    kept.append(fleet.add_suggestion(*old, status=SuggestionStatus.DISMISSED, answered_at=NOW - 900 * DAY))
    kept.append(fleet.add_suggestion(*old, status=ACCEPTED, answered_at=NOW - 900 * DAY))
    fleet.run()
    assert {row.id for row in fleet.rows() if row.status is not PENDING} == set(kept)
    assert len(fleet.rows(PENDING)) == 1


# Who is skipped ------------------------------------------------------------------------------------------------------


def stale(**values: Any) -> Callable[[FleetWorld], None]:
    return lambda fleet: fleet.change(calendars, **values)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda fleet: fleet.change(users, paused=True), Reason.PAUSED),
        (lambda fleet: fleet.change(oauth_tokens, state=TokenState.RECONNECT), Reason.RECONNECT),
        (lambda fleet: fleet.change(oauth_tokens, user_id="other"), Reason.NOT_CONNECTED),
        (stale(selected=False), Reason.CALENDAR_STALE),
        (stale(removed_at=NOW), Reason.CALENDAR_STALE),
        (stale(last_full_sync_at=None), Reason.CALENDAR_STALE),
        (stale(last_success_at=None), Reason.CALENDAR_STALE),
        (stale(last_success_at=NOW - DAY - timedelta(seconds=1)), Reason.CALENDAR_STALE),
    ],
)
def test_a_user_who_paused_or_is_not_connected_and_fresh_is_skipped_and_counted(
    fleet: FleetWorld, break_it: Callable[[FleetWorld], None], reason: Reason
) -> None:
    fleet.add_user("ada", [person()])
    with fleet.database.write() as connection:
        row = connection.execute(select(users)).mappings().one()
        connection.execute(insert(users).values(**{**row, "id": "other"}))
    break_it(fleet)
    by_hand = fleet.run(user_id="ada")
    assert outcome(by_hand) == (ExitCode.DONE, Outcome.SKIPPED, reason)
    found = counts(fleet.run())
    assert found["usersSkipped"] >= 1
    assert fleet.rows() == []


def test_a_calendar_synced_24_hours_ago_is_fresh_enough(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.change(calendars, last_success_at=NOW - DAY)
    assert counts(fleet.run()) == {"users": 1, "suggestionsCreated": 1}


def test_one_stale_calendar_of_two_makes_the_user_wait(fleet: FleetWorld) -> None:
    """A failed calendar counted as free: what the first implementation got wrong."""
    fleet.add_user("ada", [person()])
    with fleet.database.write() as connection:
        other = {"summary": "x", "is_primary": False, "access_role": "owner", "selected": True}
        connection.execute(insert(calendars).values(user_id="ada", google_id="new", **other))
    assert counts(fleet.run()) == {"users": 1, "usersSkipped": 1, "usersCalendarStale": 1}


@pytest.mark.parametrize(
    ("primary", "error", "stale_for", "planned"),
    [
        (False, CalendarError.FORBIDDEN, 30, True),
        (False, CalendarError.BAD_DATA, 30, True),
        (False, CalendarError.UNAVAILABLE, 30, True),
        (False, None, 30, False),
        (True, CalendarError.FORBIDDEN, 0, True),
        (True, CalendarError.FORBIDDEN, 2, False),
    ],
)
def test_one_unreadable_calendar_ends_no_suggestions_unless_it_is_the_primary_one(
    fleet: FleetWorld, primary: bool, error: CalendarError | None, stale_for: int, planned: bool
) -> None:
    """It keeps its last events, which block as before."""
    fleet.add_user("ada", [person()])
    with fleet.database.write() as connection:
        row = connection.execute(select(calendars)).mappings().one()
        connection.execute(update(calendars).values(is_primary=not primary))
        then = NOW - DAY * stale_for
        values = {"google_id": "other", "is_primary": primary, "last_success_at": then, "last_error": error}
        kept = {name: value for name, value in row.items() if name != "id"}
        connection.execute(insert(calendars).values(**{**kept, **values, "horizon_end": then + 45 * DAY}))
    assert bool(counts(fleet.run()).get("suggestionsCreated")) is planned


def test_a_skipped_users_past_suggestion_expires_all_the_same(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.add_suggestion(NOW - DAY, NOW - DAY / 2)
    fleet.change(oauth_tokens, state=TokenState.RECONNECT)
    found = counts(fleet.run())
    assert found == {"users": 1, "usersSkipped": 1, "usersReconnect": 1, "suggestionsExpired": 1}


def test_an_unknown_user_by_hand_is_permanent(fleet: FleetWorld) -> None:
    assert outcome(fleet.run(user_id="nobody")) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.UNKNOWN_USER)


def test_one_user_by_hand_gets_what_the_fleets_run_would_give(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    fleet.add_user("bob", [person()])
    assert outcome(fleet.run(user_id="bob")) == DONE
    assert [row.user_id for row in fleet.rows()] == ["bob"]
    assert counts(fleet.run()) == {"users": 2, "suggestionsCreated": 1}


# The fleet -----------------------------------------------------------------------------------------------------------


def names(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
def test_every_user_is_planned_exactly_once(fleet: FleetWorld, count: int) -> None:
    """Only the first 50 users processed: what the first implementation got wrong."""
    fleet.add_users(names(count))
    fleet.add_contacts(names(count))
    report = fleet.run()
    assert outcome(report) == DONE
    assert report.summary.counts.get(Count.USERS, 0) == count
    assert [row.user_id for row in fleet.rows()] == sorted(names(count))


@pytest.mark.sampled
def test_thousands_of_users_are_planned_each_once(fleet: FleetWorld) -> None:
    count = 10_000 if IN_FULL else 2_000
    fleet.add_users(names(count))
    fleet.add_contacts(names(count))
    assert counts(fleet.run()) == {"users": count, "suggestionsCreated": count}
    assert [row.user_id for row in fleet.rows()] == sorted(names(count))


@pytest.mark.parametrize("shards", [2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 5, 50])
def test_shards_together_plan_every_user_exactly_once(fleet: FleetWorld, shards: int, batch_size: int) -> None:
    fleet.add_users(names(60))
    fleet.add_contacts(names(60))
    planned = 0
    for index in range(shards):
        found = counts(fleet.run(shard=Shard(index, shards), batch_size=batch_size))
        assert found.get("suggestionsCreated", 0) == found.get("users", 0)
        planned += found.get("users", 0)
    assert planned == 60
    assert [row.user_id for row in fleet.rows()] == sorted(names(60))


def test_the_shard_of_a_user_is_the_same_for_ever() -> None:
    assert [shard_of(user_id, 8) for user_id in ("ada", "grace", "zaha", "u1", "u2")] == [6, 3, 2, 2, 7]
    sizes = [sum(shard_of(f"u{number}", 4) == index for number in range(4000)) for index in range(4)]
    assert min(sizes) > 900


def test_a_run_by_hand_may_begin_after_an_id(fleet: FleetWorld) -> None:
    fleet.add_users(names(9))
    fleet.add_contacts(names(9))
    fleet.run(after="u5", batch_size=2)
    assert [row.user_id for row in fleet.rows()] == ["u6", "u7", "u8"]


@pytest.mark.parametrize("contacts_each", [1, 40])
def test_the_number_of_statements_per_batch_is_a_constant(fleet: FleetWorld, contacts_each: int) -> None:
    """N+1 queries everywhere: what the first implementation got wrong."""
    fleet.add_users(names(100))
    fleet.add_contacts(names(100), contacts_each)
    with statements(fleet.database) as seen:
        fleet.run(batch_size=50)
    reads = [text for text in seen if text.startswith("SELECT") and "FROM runs" not in text and "FROM dead" not in text]
    # The count and the ids; then per batch users, calendars, open suggestions, hours, history, contacts and events;
    # then the lock.
    assert len(reads) == 1 + 3 + 2 * (7 + 1)
    writes = [text.split()[:3] for text in seen if not text.startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert writes.count(["UPDATE", "users", "SET"]) == 2
    assert writes.count(["INSERT", "INTO", "suggestions"]) == 2


def test_a_batch_in_which_nothing_changes_writes_the_checkpoint_alone(fleet: FleetWorld) -> None:
    fleet.add_users(names(10))
    fleet.add_contacts(names(10))
    fleet.run()
    with statements(fleet.database) as seen:
        fleet.run()
    written = [text for text in seen if not text.startswith("SELECT")]
    allowed = ("UPDATE runs", "INSERT INTO runs", "INSERT INTO run_counts", "DELETE FROM")
    assert all(text.startswith(allowed) for text in written), written


# A bad user, a killed run --------------------------------------------------------------------------------------------


def test_a_bad_user_among_50_is_recorded_and_the_other_49_get_theirs(
    fleet: FleetWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet.add_users(names(50))
    fleet.add_contacts(names(50))
    # Delivered, over, and with an end after which no week's rest can be counted.
    over = {"start_at": NOW - DAY, "end_at": datetime.max.replace(tzinfo=UTC), "delivered_at": NOW - 2 * DAY}
    row = other_row(fleet, "u7") | over
    with fleet.database.write() as connection:
        connection.execute(suggestions.insert().values(row))
    report = fleet.run()
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert counts(report) == {"users": 50, "usersFailed": 1, "suggestionsCreated": 49}
    assert [row.start_at for row in fleet.rows() if row.user_id == "u7"] == [NOW - DAY], "its own is as it was"
    printed = capfd.readouterr()
    assert "OverflowError" in printed.out + printed.err
    assert "out of range" not in printed.out + printed.err, "an error's message may quote anything"


def test_a_user_whose_zone_is_unknown_is_recorded_and_the_others_go_on(fleet: FleetWorld) -> None:
    fleet.add_users(["ada", "bob"])
    fleet.add_contacts(["ada", "bob"])
    with fleet.database.write() as connection:
        connection.execute(update(users).where(users.c.id == "ada").values(time_zone="Mars/Base"))
    assert counts(fleet.run()) == {"users": 2, "usersFailed": 1, "suggestionsCreated": 1}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("suggestions", "end_at", "infinity"),
        ("suggestions", "created_at", "-infinity"),
        ("events", "end_at", "infinity"),
        ("calendars", "last_success_at", "infinity"),
        ("contacts", "created_at", "20000-01-01 00:00:00"),
        # As a newer version would write it, whose migration widened the check.
        ("oauth_tokens", "state", "hibernating"),
    ],
)
def test_a_value_that_this_version_cannot_load_costs_its_user_alone(
    fleet: FleetWorld, capfd: pytest.CaptureFixture[str], table: str, column: str, value: str
) -> None:
    fleet.add_users(names(50))
    fleet.add_contacts(names(50))
    fleet.add_event(NOW + DAY, NOW + 2 * DAY, user_id="u7")
    row = other_row(fleet, "u7")
    owner = "calendar_id = (SELECT id FROM calendars WHERE user_id = 'u7')" if table == "events" else "user_id = 'u7'"
    with fleet.database.write() as connection:
        connection.execute(suggestions.insert().values(row))
        connection.exec_driver_sql(WIDENED[fleet.database.backend])
        written = connection.exec_driver_sql(f"UPDATE {table} SET {column} = '{value}' WHERE {owner}").rowcount  # noqa: S608
    assert written == 1
    report = fleet.run()
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert counts(report) == {"users": 50, "usersFailed": 1, "suggestionsCreated": 49}
    assert UNREADABLE in "".join(capfd.readouterr()), "the log says why"
    assert outcome(fleet.run(user_id="u7"))[:2] == (ExitCode.PERMANENT, Outcome.FAILED)


def test_what_the_database_refuses_costs_its_user_alone(fleet: FleetWorld) -> None:
    fleet.add_users(names(50))
    fleet.add_contacts(names(50))
    row = other_row(fleet, "u7")

    def interfere() -> None:
        with fleet.database.write() as connection:
            # An application that writes a suggestion without raising the user's version.
            connection.execute(suggestions.insert().values(row))

    with after(FACTS, fleet.database, interfere):
        report = fleet.run()
    assert counts(report) == {"users": 50, "usersFailed": 1, "suggestionsCreated": 49}
    assert len(fleet.rows()) == 50, "the application's own is there, and none beside it"


def other_row(fleet: FleetWorld, user_id: str) -> dict[str, Any]:
    with fleet.database.read() as connection:
        contact_id = connection.execute(select(contacts.c.id).where(contacts.c.user_id == user_id)).scalar_one()
    return {
        "user_id": user_id,
        "contact_id": contact_id,
        "trigger": Trigger.TIME_BOUND,
        "status": PENDING,
        "mode": Mode.CALL,
        "start_at": NOW + DAY,
        "end_at": NOW + DAY + timedelta(minutes=30),
        "reasoning": "-",
        "created_at": NOW,
        "updated_at": NOW,
    }


def test_facts_that_change_between_reading_and_writing_are_planned_anew(fleet: FleetWorld) -> None:
    fleet.add_users(names(3))
    fleet.add_contacts(names(3))

    def change() -> None:
        fleet.add_event(at("23 13:00"), at("23 18:00"), user_id="u1")
        with fleet.database.write() as connection:
            raised = users.c.planning_version + 1
            connection.execute(update(users).where(users.c.id == "u1").values(planning_version=raised))

    with after(FACTS, fleet.database, change):
        assert counts(fleet.run()) == {"users": 3, "suggestionsCreated": 3}
    starts = {row.user_id: row.start_at for row in fleet.rows()}
    assert starts == {"u0": at("23 14:00"), "u1": at("23 18:00"), "u2": at("23 14:00")}


def test_a_user_deleted_between_reading_and_writing_is_left_out(fleet: FleetWorld) -> None:
    fleet.add_users(names(3))
    fleet.add_contacts(names(3))
    with after(FACTS, fleet.database, lambda: fleet.delete_user("u1")):
        assert counts(fleet.run())["suggestionsCreated"] == 2
    assert [row.user_id for row in fleet.rows()] == ["u0", "u2"]


def test_a_user_deleted_between_batches_is_not_missed_nor_a_reason_to_miss_another(fleet: FleetWorld) -> None:
    fleet.add_users(names(6))
    fleet.add_contacts(names(6))

    def delete() -> None:
        # The one after whom the next batch begins, and one of that batch.
        fleet.delete_user("u1")
        fleet.delete_user("u3")

    with after(IDS, fleet.database, delete, nth=2):
        fleet.run(batch_size=2)
    assert [row.user_id for row in fleet.rows()] == ["u0", "u2", "u4", "u5"]


def test_a_run_goes_on_at_the_batch_where_it_stopped(fleet: FleetWorld) -> None:
    fleet.add_users(names(9))
    fleet.add_contacts(names(9))
    with after("INSERT INTO suggestions", fleet.database, lambda: setattr(fleet, "stopping", True), nth=2):
        first = fleet.run(batch_size=2, slot=NOW)
    assert outcome(first) == (ExitCode.TEMPORARY, Outcome.RETRY, Reason.TERMINATED)
    assert [row.user_id for row in fleet.rows()] == ["u0", "u1", "u2", "u3"]
    fleet.stopping = False
    with statements(fleet.database) as seen:
        second = fleet.run(batch_size=2, slot=NOW)
    assert sum(FACTS in text for text in seen) == 3, "the batches of u4, u6 and u8"
    assert counts(second) == {"users": 9, "suggestionsCreated": 9}, "counted over both processes, each user once"
    assert [row.user_id for row in fleet.rows()] == names(9)
    assert fleet.run(slot=NOW).summary.reason is Reason.ALREADY_DONE


def test_an_outage_in_the_middle_repeats_the_batch_alone(fleet: FleetWorld) -> None:
    fleet.add_users(names(5))
    fleet.add_contacts(names(5))
    with (
        statements(fleet.database) as seen,
        outage(fleet.database) as go_away,
        after(FACTS, fleet.database, go_away, nth=2),
    ):
        report = fleet.run(batch_size=2)
    assert (outcome(report), report.summary.attempts) == (DONE, 1)
    assert counts(report) == {"users": 5, "suggestionsCreated": 5}
    read = sum(FACTS in text for text in seen)
    assert read in {4, 5}, "three batches, once more the one that failed, and perhaps the one that was read meanwhile"
    assert [row.user_id for row in fleet.rows()] == names(5)


def test_a_batch_is_stored_and_counted_once_whatever_happens_to_its_commit(
    commit_fails: tuple[Database, Callable[[], None]], tmp_path: Path
) -> None:
    database, fail = commit_fails
    fleet = FleetWorld(database, tmp_path / "locks")
    fleet.add_users(names(6))
    fleet.add_contacts(names(6))
    with after("INSERT INTO suggestions", database, fail, nth=2):
        report = fleet.run(batch_size=2)
    assert outcome(report) == DONE
    assert counts(report) == {"users": 6, "suggestionsCreated": 6}
    assert [row.user_id for row in fleet.rows()] == names(6)


def test_the_checkpoint_is_stored_with_the_batch_or_not_at_all(fleet: FleetWorld) -> None:
    fleet.add_users(names(4))
    fleet.add_contacts(names(4))
    seen: list[Any] = []
    with after(
        "UPDATE runs SET checkpoint",
        fleet.database,
        # The second batch is written, and not committed yet.
        lambda: seen.append((fleet.run_row().checkpoint["after"], len(fleet.rows()))),
        # After the one with which the pass begins.
        nth=3,
    ):
        fleet.run(batch_size=2)
    assert seen == [("u1", 2)]
    assert len(fleet.rows()) == 4
    assert fleet.run_row().checkpoint is None, "a run that is done needs none"


def test_a_replaced_process_cannot_write(fleet: FleetWorld) -> None:
    fleet.add_users(names(1))
    fleet.add_contacts(names(1))
    with after(FACTS, fleet.database, lambda: fleet.change(runs, owner="another pod")):
        assert fleet.run().exit_code == ExitCode.TEMPORARY
    assert fleet.rows() == []


class Board:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, dict[str, Any]]] = []

    def show(self, subject: str, fields: Any) -> None:
        self.shown.append((subject, dict(fields)))


def test_progress_is_shown_while_it_runs_in_counts_and_times_only(fleet: FleetWorld) -> None:
    fleet.add_users(names(5), name="Canary", city="Canaryville")
    fleet.add_contacts(names(5))
    fleet.board = Board()
    fleet.run(batch_size=2, slot=NOW)
    states = [(fields["state"], fields.get("users", 0), fields["total"]) for _, fields in fleet.board.shown]
    assert states == [("running", 0, 5), ("running", 2, 5), ("running", 4, 5), ("done", 5, 5)]
    assert "Canary" not in repr(fleet.board.shown)
    assert not any(name in repr(fleet.board.shown) for name in names(5))


def test_hours_are_the_users_own(fleet: FleetWorld) -> None:
    """Filters in server time: what the first implementation got wrong."""
    zones: dict[str, datetime] = {}
    for zone in ("America/New_York", "Asia/Kathmandu", BERLIN):
        fleet.add_user(zone.split("/")[1].lower().replace("_", "-"), [person()], time_zone=zone)
    fleet.run()
    zones = {row.user_id: row.start_at for row in fleet.rows()}
    assert zones["new-york"] == at("23 09:00", "America/New_York")
    assert zones["kathmandu"] == at("23 19:00", "Asia/Kathmandu")
    assert zones["berlin"] == at("23 14:00")


# Too much ------------------------------------------------------------------------------------------------------------


def test_a_user_with_thousands_of_contacts_and_events_that_match_gets_suggestions_like_anybody(
    fleet: FleetWorld,
) -> None:
    fleet.add_users(["ada", "bob"])
    fleet.know("ada", [person(f"c{number}", tags=("client",)) for number in range(2_000)])
    fleet.add_contacts(["bob"])
    with fleet.database.write() as connection:
        calendar = connection.execute(select(calendars.c.id).where(calendars.c.user_id == "ada")).scalar_one()
        row = {"calendar_id": calendar, "status": "confirmed", "busy": True, "summary": "Client call"}
        begins = [NOW + DAY / 4 + number * timedelta(hours=1) for number in range(280)]
        rows = [
            row | {"google_id": f"e{number}", "start_at": start, "end_at": start + timedelta(minutes=30)}
            for number, start in enumerate(begins)
        ]
        connection.execute(insert(events), rows)
    assert counts(fleet.run()) == {"users": 2, "suggestionsCreated": 46}


def test_a_user_with_5000_calendars_and_a_long_history_is_planned(fleet: FleetWorld) -> None:
    fleet.add_user("ada", [person()])
    with fleet.database.write() as connection:
        row = dict(connection.execute(select(calendars)).mappings().one())
        del row["id"]
        connection.execute(insert(calendars), [row | {"google_id": f"other-{number}"} for number in range(5_000)])
        old = other_row(fleet, "ada") | {
            "status": SuggestionStatus.EXPIRED,
            "expiry_reason": ExpiryReason.PASSED,
            "delivered_at": NOW - 30 * DAY,
        }
        begins = [NOW - 30 * DAY - number * timedelta(minutes=1) for number in range(20_500)]
        connection.execute(
            insert(suggestions), [old | {"start_at": start, "end_at": start + DAY / 24} for start in begins]
        )
    assert counts(fleet.run()) == {"users": 1, "suggestionsCreated": 1}


def test_a_history_of_50000_suggestions_costs_no_statement_more_and_one_row_a_contact(fleet: FleetWorld) -> None:
    people, each = 100, 500
    fleet.add_user("ada", [person(f"c{number}") for number in range(people)])
    fleet.run()
    with work(fleet.database) as without:
        assert counts(fleet.run()) == {"users": 1}
    with fleet.database.write() as connection:
        ids = connection.execute(select(contacts.c.id)).scalars().all()
        base: dict[str, Any] = {"user_id": "ada", "trigger": Trigger.TIME_BOUND, "mode": Mode.CALL, "reasoning": "-"}
        base |= {"created_at": NOW - 400 * DAY, "updated_at": NOW - 400 * DAY, "delivered_at": NOW - 400 * DAY}
        answered: list[dict[str, Any]] = [
            {"status": SuggestionStatus.ACCEPTED, "answered_at": NOW - 400 * DAY, "expiry_reason": None},
            {"status": SuggestionStatus.DISMISSED, "answered_at": NOW - 400 * DAY, "expiry_reason": None},
            {"status": SuggestionStatus.EXPIRED, "answered_at": None, "expiry_reason": ExpiryReason.PASSED},
        ]
        rows = [
            base | answered[number % 3] | {"contact_id": contact, "start_at": start, "end_at": start + DAY / 24}
            for contact in ids
            for number in range(each)
            for start in [NOW - 300 * DAY - number * timedelta(hours=2)]
        ]
        connection.execute(insert(suggestions), rows)
    assert len(rows) == 50_000
    with work(fleet.database) as done:
        assert counts(fleet.run()) == {"users": 1}
    # One more tidies up: a run that is the first of an hour to end the same way.
    assert done.statements <= without.statements + 1
    if fleet.database.backend == "postgresql":
        assert without.rows < done.rows <= without.rows + people
    else:
        # SQLite looks at each row once.
        assert len(rows) < done.steps - without.steps < 60 * len(rows)


def test_users_who_are_too_much_together_are_planned_in_smaller_batches(
    fleet: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MOST_ROWS", 7)
    fleet.add_users(names(5))
    fleet.add_contacts(names(5), 3)
    with statements(fleet.database) as seen:
        assert counts(fleet.run()) == {"users": 5, "suggestionsCreated": 15}
    # Of 5 users 2 and 3, of the 3 users 1 and 2: each part with its own checkpoint, beside the first of the run.
    assert sum(FACTS in text for text in seen) == 3
    assert sum(text.startswith("UPDATE runs SET checkpoint") for text in seen) == 1 + 3


def test_a_user_who_is_too_much_alone_is_set_aside_and_the_run_goes_on(
    fleet: FleetWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounded, "MOST_ROWS", 7)
    fleet.add_users(names(5))
    fleet.add_contacts([name for name in names(5) if name != "u2"])
    fleet.add_contacts(["u2"], 8)
    report = fleet.run()
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert counts(report) == {"users": 5, "usersFailed": 1, "suggestionsCreated": 4}
    assert TOO_MUCH in "".join(capfd.readouterr())


class KilledError(BaseException):
    """The process is killed: nothing that it would do at its end is done."""


class Fatal:
    """A store that kills its process when a user is read, as a user does for whom there is not enough memory."""

    def __init__(self, store: Any, user_id: str) -> None:
        self._store, self._user_id, self.kills = store, user_id, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def known(self, user_ids: Any, **named: Any) -> Any:
        if self._user_id in user_ids:
            self.kills += 1
            raise KilledError
        return self._store.known(user_ids, **named)


def test_a_user_who_kills_two_processes_of_a_run_is_passed_over_by_the_third(
    fleet: FleetWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet.add_users(names(9))
    fleet.add_contacts(names(9))
    fleet.store = fatal = Fatal(fleet.store, "u5")
    stored = []
    for _ in range(2):
        with pytest.raises(KilledError):
            fleet.run(slot=NOW, batch_size=4)
        stored.append([row.user_id for row in fleet.rows()])
    assert stored == [["u0", "u1", "u2", "u3"], ["u0", "u1", "u2", "u3", "u4"]]
    assert fleet.run_row().checkpoint["trying"] == "u5"
    report = fleet.run(slot=NOW, batch_size=4)
    assert outcome(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert counts(report) == {"users": 9, "usersFailed": 1, "suggestionsCreated": 8}
    assert [row.user_id for row in fleet.rows()] == [name for name in names(9) if name != "u5"]
    assert fatal.kills == 2
    assert FATAL in "".join(capfd.readouterr())


# Humane hours --------------------------------------------------------------------------------------------------------


def test_suggestions_are_spread_in_preferred_hours_and_on_the_contacts_clock(fleet: FleetWorld) -> None:
    fleet.options = DEFAULT_OPTIONS
    fleet.add_user("ada", [person("Ben"), person("Cleo"), person("Kiri", 41, time_zone="Pacific/Auckland")])
    fleet.run()
    # 20:00 in Berlin is 08:00 in Auckland.
    expected = ["ben pending 23 17:00-18:00", "cleo pending 24 17:00-18:00", "kiri pending 25 20:00-20:30"]
    assert fleet.shown() == expected
    assert [row.mode for row in fleet.rows()] == [Mode.EITHER, Mode.EITHER, Mode.CALL]
    assert counts(fleet.run()) == {"users": 1}, "running twice changes nothing"
    assert fleet.shown() == expected


def test_the_preferred_hours_that_an_import_brings_are_used(fleet: FleetWorld) -> None:
    fleet.options = DEFAULT_OPTIONS
    fleet.add_user("ada", [person()])
    with fleet.database.write() as connection:
        row = {"user_id": "ada", "weekday": Weekday.THURSDAY, "start_time": time(11), "end_time": time(13)}
        connection.execute(insert(preferred_windows).values(row))
    fleet.run()
    assert fleet.shown() == ["ben pending 26 11:00-12:00"]


def test_an_out_of_office_blocks_and_is_not_shared_and_a_meet_event_is_a_call(fleet: FleetWorld) -> None:
    fleet.options = DEFAULT_OPTIONS
    fleet.add_user("ada", [person("Ben", 10, tags=("climbing",)), person("Cleo", 10, tags=("chess",))])
    fleet.add_event(at("24 18:00"), at("24 19:00"), summary="Climbing", event_type="outOfOffice")
    fleet.add_event(at("25 18:00"), at("25 19:00"), summary="Chess", event_type="default", has_conference=True)
    fleet.run()
    assert fleet.shown() == ["cleo pending 25 18:00-19:00"]
    assert [row.mode for row in fleet.rows()] == [Mode.CALL]
