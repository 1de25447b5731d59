"""The calendar sync when Google, the token or a calendar fails; every test sees that its fault fired."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.jobs.database_faults import after
from integration.jobs.sync_world import ADA, BERLIN, CLIENT_ID, EMAIL, SyncWorld, outcome
from sqlalchemy import select
from unit.jobs.domain.google_schema import GENERATED_EVENTS

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_jobs.adapters.database.schema import dead_letters
from catchup_jobs.adapters.google import http as google_http
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.stored_enums import CalendarError, TokenState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.endings import Report

DONE = (ExitCode.DONE, Outcome.DONE, None)
PARTIAL = (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
RECONNECT = (ExitCode.DONE, Outcome.SKIPPED, Reason.RECONNECT)
SPENT = (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)
TUESDAY = "2026-11-24"
TOKEN_READ = "JOIN oauth_tokens"


def fired(world: SyncWorld) -> list[int]:
    """Return how often each scripted fault fired."""
    return [fault["fired"] for fault in world.google.faults()]


def letters(world: SyncWorld) -> list[Any]:
    with world.database.read() as connection:
        return list(connection.execute(select(dead_letters)))


# Tokens -------------------------------------------------------------------------------------------------------------


def test_a_refreshed_token_is_saved_and_used_by_the_next_run(world: SyncWorld) -> None:
    before = world.token()
    world.pass_time(hours=2)
    assert outcome(world.sync()) == DONE
    after = world.token()
    assert after.access_token not in {None, before.access_token}
    assert after.expires_at == world.now + timedelta(hours=1)
    world.sync()
    assert world.google.count("token") == 1


def test_the_stored_refresh_token_is_not_nulled_when_the_reply_omits_it(world: SyncWorld) -> None:
    before = world.token()
    world.pass_time(hours=2)
    world.sync()
    assert world.token().refresh_token == before.refresh_token
    world.pass_time(hours=2)
    assert outcome(world.sync()) == DONE


def test_a_rotated_refresh_token_is_saved_before_anything_can_fail(world: SyncWorld) -> None:
    world.google.set(rotate_refresh_tokens=True)
    before = world.token()
    world.pass_time(hours=2)
    world.google.add_fault(kind="calendarList", times=None, status=500)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert world.token().refresh_token != before.refresh_token
    world.google.clear_faults()
    world.pass_time(hours=2)
    assert outcome(world.sync()) == DONE


def test_an_access_token_that_google_rejects_early_is_refreshed_once(world: SyncWorld) -> None:
    world.sync()
    world.google.expire_access_tokens()
    world.google.clear_requests()
    assert outcome(world.sync()) == DONE
    assert [(entry["kind"], entry["status"]) for entry in world.google.requests()] == [
        ("refused", 401),
        ("token", 200),
        ("events", 200),
    ]


def test_invalid_grant_marks_reconnect_stops_retrying_and_exits_0(world: SyncWorld) -> None:
    world.google.revoke(EMAIL)
    world.pass_time(hours=2)
    assert outcome(world.sync()) == RECONNECT
    assert world.token_state() is TokenState.RECONNECT
    assert world.google.count("token") == 1
    assert world.slept == []
    assert letters(world) == []
    world.google.clear_requests()
    assert outcome(world.sync()) == RECONNECT
    assert world.google.requests() == []


def test_connecting_again_ends_the_reconnect_state(world: SyncWorld) -> None:
    world.google.revoke(EMAIL)
    world.pass_time(hours=2)
    world.sync()
    world.connect()
    assert outcome(world.sync()) == DONE
    assert world.token_state() is TokenState.ACTIVE


def test_a_token_stored_while_the_old_one_was_refused_is_not_marked(world: SyncWorld) -> None:
    world.pass_time(hours=2)
    world.google.add_fault(kind="token", oauth_error="invalid_grant")
    with after(TOKEN_READ, world.database, world.connect):
        assert outcome(world.sync()) == RECONNECT
    assert fired(world) == [1]
    assert world.token_state() is TokenState.ACTIVE


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"status": 400, "oauth_error": "temporarily_unavailable"},
        {"drop": True},
        {"body": "<html>502</html>"},
        {"body": "{}"},
    ],
    ids=str,
)
def test_transient_oauth_errors_are_not_treated_as_revocation(world: SyncWorld, fault: dict[str, Any]) -> None:
    # httplib2 sends a request again by itself, once, when the connection was dropped without an answer.
    world.google.add_fault(kind="token", times=2 if "drop" in fault else 1, **fault)
    world.pass_time(hours=2)
    assert outcome(world.sync()) == DONE
    assert fired(world) == [2 if "drop" in fault else 1]
    assert world.token_state() is TokenState.ACTIVE
    assert len(world.slept) == 1


@pytest.mark.parametrize("how", ["wrong secret", "unknown client"])
def test_invalid_client_exits_78_and_leaves_the_token(world: SyncWorld, how: str) -> None:
    if how == "wrong secret":
        world.client_secret = "wrong"
    else:
        world.client_id = "unknown"
    world.pass_time(hours=2)
    before = world.token_row()
    assert outcome(world.sync()) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert world.google.count("token", status=401) == 1
    assert world.token_row() == before
    world.client_id, world.client_secret = CLIENT_ID, "catchup-double-secret"
    assert outcome(world.sync()) == DONE


def test_a_consent_without_calendars_asks_to_reconnect(world: SyncWorld) -> None:
    world.google.add_fault(kind="calendarList", status=403, reason="insufficientPermissions")
    assert outcome(world.sync()) == RECONNECT
    assert fired(world) == [1]
    assert world.token_state() is TokenState.RECONNECT


def test_the_calendar_api_switched_off_is_a_misconfiguration(world: SyncWorld) -> None:
    world.google.add_fault(kind="calendarList", status=403, reason="accessNotConfigured")
    assert outcome(world.sync()) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert fired(world) == [1]


def test_another_processs_refresh_is_taken_over(world: SyncWorld) -> None:
    world.pass_time(hours=2)
    with after(TOKEN_READ, world.database, world.connect):
        assert outcome(world.sync()) == DONE
    assert world.google.count("token") == 1, "the one that came too late to be stored"
    assert world.google.count("events", status=200) == 1
    world.google.clear_requests()
    world.sync()
    assert world.google.count("token") == 0, "the other's is stored, and used"


# Calendars that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 403, "reason": "forbidden"}, CalendarError.FORBIDDEN),
        ({"status": 500}, CalendarError.UNAVAILABLE),
        ({"status": 405, "reason": "httpMethodNotAllowed"}, CalendarError.BAD_DATA),
        ({"body": "{}"}, CalendarError.UNAVAILABLE),
    ],
    ids=["forbidden", "unavailable", "bad data", "no page"],
)
def test_one_failed_calendar_keeps_its_events_and_the_others_sync(
    world: SyncWorld, fault: dict[str, Any], reason: CalendarError
) -> None:
    world.add_calendar("team")
    world.add_event("t", f"{TUESDAY} 10:00", calendar="team")
    world.sync()
    token = world.calendar("team").sync_token
    world.google.add_fault(kind="events", calendar="team", times=None, **fault)
    world.google.delete_event("team", "t")
    world.add_event("a", f"{TUESDAY} 15:00")
    report = world.sync()
    assert outcome(report) == PARTIAL
    assert fired(world)[0] >= 1
    assert (report.summary.counts[Count.CALENDARS], report.summary.counts[Count.CALENDARS_FAILED]) == (1, 1)
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-15:00", "16:00-21:00"], "a failed calendar is not free"
    assert (world.calendar("team").sync_token, world.calendar("team").last_error) == (token, reason)
    world.google.clear_faults()
    assert outcome(world.sync()) == DONE
    assert world.free(TUESDAY) == ["09:00-15:00", "16:00-21:00"]
    assert world.calendar("team").last_error is None


def test_a_calendar_that_fails_once_is_tried_again_within_the_run_and_only_that(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.sync()
    world.forget_list()
    world.google.clear_requests()
    world.google.add_fault(kind="events", calendar=EMAIL, status=503)
    report = world.sync()
    assert outcome(report) == DONE
    assert fired(world) == [1]
    assert [(entry["kind"], entry["calendar"], entry["status"]) for entry in world.google.requests()] == [
        ("calendarList", None, 200),
        ("events", EMAIL, 503),
        ("events", "team", 200),
        ("events", EMAIL, 200),
    ]
    assert (report.summary.attempts, len(world.slept)) == (1, 1)
    assert report.summary.counts[Count.CALENDARS] == 2
    assert report.summary.counts[Count.API_REQUESTS] == 4


def test_page_3_fails_and_the_sync_token_is_not_advanced(world: SyncWorld) -> None:
    world.sync()
    token = world.calendar().sync_token
    for number in range(5):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.google.set(page_size=2)
    world.google.add_fault(kind="events", page=3, times=None, status=503)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert world.calendar().sync_token == token
    assert not world.stored_events()
    world.google.clear_faults()
    assert world.sync().summary.counts[Count.EVENTS_ADDED] == 5


def test_page_3_of_a_first_sync_fails_and_leaves_nothing_half_read(world: SyncWorld) -> None:
    for number in range(5):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.google.set(page_size=2)
    world.google.add_fault(kind="events", page=3, status=503)
    assert outcome(world.sync()) == DONE
    assert fired(world) == [1]
    assert len(world.stored_events()) == 5


@pytest.mark.parametrize("page_is_known", [True, False], ids=["goes on", "page not known any more"])
def test_a_sync_that_is_longer_than_its_deadline_goes_on_where_it_was(world: SyncWorld, page_is_known: bool) -> None:
    class Slow:
        def reserve(self) -> float:
            world.pass_time(seconds=150)
            return 0.0

    for number in range(9):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.google.set(page_size=2)
    world.quota = Slow()
    assert outcome(world.sync(manual_id="long")) == (ExitCode.TEMPORARY, Outcome.RETRY, Reason.DEADLINE)
    assert not world.stored_events()
    if not page_is_known:
        world.quota = None
        world.google.add_fault(kind="events", page=4, status=400)

    report = world.sync(manual_id="long")

    assert (outcome(report), report.summary.attempts) == (DONE, 0)
    pages = [entry["page"] for entry in world.google.requests() if entry["kind"] == "events"]
    assert pages == [1, 2, 3, *([4, 5] if page_is_known else [4, 1, 2, 3, 4, 5])]
    assert len(world.stored_events()) == 9
    assert world.run_row().checkpoint is None


def test_when_every_calendar_stays_unavailable_the_run_is_a_dead_letter(world: SyncWorld) -> None:
    world.google.add_fault(kind="events", times=None, status=500)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert [letter.attempts for letter in letters(world)] == [4]


def test_the_calendar_list_failing_keeps_everything_as_it_was(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.forget_list()
    world.google.add_fault(kind="calendarList", times=None, status=500)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    assert world.calendar().removed_at is None


def test_page_2_of_the_calendar_list_failing_removes_no_calendar(world: SyncWorld) -> None:
    world.google.add_calendar(EMAIL, "team")
    world.google.add_calendar(EMAIL, "zoo")
    world.sync()
    world.forget_list()
    world.google.set(page_size=1)
    world.google.add_fault(kind="calendarList", page=2, times=None, status=500)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert len(world.selection.listing(ADA)) == 3


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(GENERATED_EVENTS, max_size=8))
def test_a_good_event_beside_any_others_is_stored(world: SyncWorld, others: list[object]) -> None:
    good = {"id": "good", "start": {"dateTime": f"{TUESDAY}T10:00:00Z"}, "end": {"dateTime": f"{TUESDAY}T11:00:00Z"}}
    # The first cannot be read in any case.
    items = [{"id": "odd", "summary": "t"}, *others, good, *others]
    world.google.clear_faults()
    world.google.add_fault(kind="events", body=json.dumps({"items": items, "nextSyncToken": "t"}))
    report = world.sync(full=True)
    assert (outcome(report), fired(world)) == (PARTIAL, [1])
    assert "good" in world.stored_events()
    assert report.summary.counts[Count.EVENTS_UNREADABLE] >= 1


def test_what_is_stored_of_an_event_stays_while_google_sends_it_unreadable(world: SyncWorld) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.google.add_fault(kind="events", body='{"items": [{"id": "a", "start": {}}], "nextSyncToken": "t"}')
    assert outcome(world.sync(full=True)) == PARTIAL
    assert fired(world) == [1]
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]
    assert outcome(world.sync(full=True)) == DONE


ENTRIES: list[object] = [5, None, [], {}, {"id": 5}, {"id": ""}, {"id": "a\x00b"}, {"id": "x" * 5000}]


def test_odd_entries_of_the_calendar_list_are_left_out_and_take_no_calendar_away(world: SyncWorld) -> None:
    world.add_calendar("team")
    odd = {"id": "odd", "summary": 5, "accessRole": [], "timeZone": "a\x00b", "primary": "yes", "deleted": 0}
    items = [*ENTRIES, {"id": EMAIL, "primary": True, "summary": "Ada"}, odd]
    world.forget_list()
    world.google.add_fault(kind="calendarList", body=json.dumps({"items": items}))
    report = world.sync()
    assert (outcome(report), fired(world)) == (PARTIAL, [1])
    assert report.summary.counts[Count.CALENDARS_UNREADABLE] == len(ENTRIES)
    assert {row.google_id for row in world.selection.listing(ADA)} == {EMAIL, "team", "odd"}
    world.forget_list()
    assert outcome(world.sync()) == DONE
    assert {row.google_id for row in world.selection.listing(ADA)} == {EMAIL, "team"}


NOT_FOUND = '{"error": {"code": 404, "errors": [{"domain": "global", "reason": "notFound"}]}}'


def test_a_calendar_to_which_the_access_is_lost_is_deselected_and_said_once(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.add_event("t", f"{TUESDAY} 10:00", calendar="team")
    world.sync()
    world.google.add_fault(kind="events", calendar="team", status=404, body=NOT_FOUND, times=None)
    report = world.sync()
    # The calendar is asked again after the list was read, which has it.
    assert (outcome(report), fired(world)) == (PARTIAL, [2])
    assert (report.summary.counts[Count.CALENDARS_GONE], report.summary.counts[Count.CALENDARS_FAILED]) == (1, 0)
    team = world.calendar("team")
    assert (team.selected, team.last_error) == (False, CalendarError.NOT_FOUND)
    assert world.free(TUESDAY) == ["09:00-21:00"]
    assert outcome(world.sync()) == DONE
    assert fired(world) == [2]
    world.google.clear_faults()
    world.select("team")
    assert outcome(world.sync()) == DONE
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]


@pytest.mark.parametrize("body", ["<html>404</html>", "{}", ""])
def test_a_404_that_is_not_googles_deselects_nothing(world: SyncWorld, body: str) -> None:
    world.add_calendar("team")
    world.sync()
    world.google.add_fault(kind="events", calendar="team", status=404, body=body, times=None)
    assert outcome(world.sync()) == PARTIAL
    assert fired(world) == [4]
    assert (world.calendar("team").selected, world.calendar("team").last_error) == (True, CalendarError.UNAVAILABLE)


def test_a_selected_calendar_that_is_gone_from_the_list_is_said_once(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.google.add_calendar(EMAIL, "not selected")
    world.sync()
    world.google.remove_calendar(EMAIL, "not selected")
    assert outcome(world.sync()) == DONE
    world.google.remove_calendar(EMAIL, "team")
    report = world.sync()
    assert (outcome(report), report.summary.counts[Count.CALENDARS_GONE]) == (PARTIAL, 1)
    assert outcome(world.sync()) == DONE


@pytest.mark.parametrize("status", [403, 404, 500])
def test_the_primary_calendar_that_cannot_be_read_is_never_deselected_and_named(world: SyncWorld, status: int) -> None:
    world.add_calendar("team")
    world.add_event("a", f"{TUESDAY} 10:00")
    world.sync()
    world.google.add_fault(kind="events", calendar=EMAIL, status=status, body=NOT_FOUND, times=None)
    assert outcome(world.sync()) == (ExitCode.DONE, Outcome.DONE, Reason.CALENDAR_UNREADABLE)
    assert fired(world)[0] >= 1
    assert world.calendar().selected
    assert world.free(TUESDAY) == ["09:00-10:00", "11:00-21:00"]


def test_a_calendar_that_was_forbidden_from_the_first_sync_on_keeps_nobody_from_being_free(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.google.add_fault(kind="events", calendar="team", status=403, reason="forbidden", times=None)
    assert outcome(world.sync()) == PARTIAL
    assert fired(world) == [2]
    assert world.free(TUESDAY) == ["09:00-21:00"]


@pytest.mark.parametrize("fault", [{"body": "{}"}, {"status": 204, "body": ""}, {"body": '{"items": null}'}], ids=str)
@pytest.mark.parametrize("page", [1, 2])
def test_a_page_without_items_takes_no_event_away(world: SyncWorld, fault: dict[str, Any], page: int) -> None:
    for number in range(3):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    world.sync()
    world.google.set(page_size=2)
    world.google.add_fault(kind="events", page=page, times=None, **fault)
    token = world.calendar().sync_token
    assert outcome(world.sync(full=True)) == SPENT
    assert fired(world) == [4]
    assert set(world.stored_events()) == {"e0", "e1", "e2"}
    assert world.calendar().sync_token == token


@pytest.mark.parametrize("body", ["{}", '{"items": []}'])
def test_a_list_without_the_primary_calendar_takes_no_calendar_away(world: SyncWorld, body: str) -> None:
    world.sync()
    world.forget_list()
    world.google.add_fault(kind="calendarList", times=None, body=body)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]
    assert world.calendar().removed_at is None


@pytest.mark.parametrize("reason", ["domainPolicy", "admin_policy_enforced"])
def test_a_policy_of_the_organisation_asks_to_reconnect(world: SyncWorld, reason: str) -> None:
    if reason == "domainPolicy":
        world.google.add_fault(kind="calendarList", status=403, reason=reason)
    else:
        world.pass_time(hours=2)
        world.google.add_fault(kind="token", oauth_error=reason)
    assert outcome(world.sync()) == RECONNECT
    assert (fired(world), world.token_state(), letters(world)) == ([1], TokenState.RECONNECT, [])


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "token", "status": 500},
        {"kind": "token", "status": 503},
        {"kind": "token", "oauth_error": "invalid_client"},
        {"kind": "token", "oauth_error": "temporarily_unavailable"},
        {"kind": "token", "status": 429},
        {"kind": "calendarList", "status": 503},
        {"kind": "calendarList", "status": 403, "reason": "quotaExceeded"},
        {"kind": "events", "status": 403, "reason": "forbidden"},
    ],
    ids=str,
)
def test_what_is_not_the_users_side_never_asks_to_reconnect(world: SyncWorld, fault: dict[str, Any]) -> None:
    world.pass_time(hours=2)
    world.google.add_fault(times=None, **fault)
    assert outcome(world.sync()) != RECONNECT
    assert fired(world)[0] >= 1
    assert world.token_state() is TokenState.ACTIVE


# Usage limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("events", 429, "rateLimitExceeded"),
        ("events", 403, "userRateLimitExceeded"),
        ("events", 403, "quotaExceeded"),
        ("calendarList", 429, "rateLimitExceeded"),
        ("calendarList", 403, "rateLimitExceeded"),
        ("token", 429, "rateLimitExceeded"),
    ],
)
def test_a_named_wait_is_honoured_and_books_no_attempt(world: SyncWorld, kind: str, status: int, reason: str) -> None:
    if kind == "token":
        world.pass_time(hours=2)
    world.google.add_fault(kind=kind, status=status, reason=reason, retry_after="30", times=6)
    report = world.sync()
    assert outcome(report) == DONE
    assert fired(world) == [6]
    assert len(world.slept) == 6
    assert all(seconds >= 30 for seconds in world.slept)
    assert report.summary.attempts == 0


def test_a_wait_given_as_a_date_is_honoured(world: SyncWorld) -> None:
    world.google.add_fault(kind="events", status=429, retry_after="Mon, 23 Nov 2026 11:00:45 GMT")
    assert outcome(world.sync()) == DONE
    assert fired(world) == [1]
    assert 45 <= world.slept[0] < 50


def test_a_wait_beyond_the_deadline_ends_the_run_for_now_with_75(world: SyncWorld) -> None:
    world.google.add_fault(kind="events", status=429, retry_after="3600")
    report = world.sync()
    assert outcome(report) == (ExitCode.TEMPORARY, Outcome.RETRY, Reason.DEADLINE)
    assert fired(world) == [1]
    assert (report.summary.attempts, letters(world)) == (0, [])


@pytest.mark.parametrize("status", [403, 429])
def test_a_usage_limit_without_a_named_wait_waits_a_minute_and_books_no_attempt(world: SyncWorld, status: int) -> None:
    world.google.add_fault(kind="events", status=status, times=5)
    report = world.sync()
    assert (outcome(report), fired(world)) == (DONE, [5])
    assert all(60 <= seconds <= 61 for seconds in world.slept)
    assert (report.summary.attempts, letters(world)) == (0, [])


@pytest.mark.parametrize("kind", ["calendarList", "events", "token"])
def test_a_daily_limit_waits_for_the_next_slot(world: SyncWorld, kind: str) -> None:
    if kind == "token":
        world.pass_time(hours=2)
    limit = '{"error": {"code": 403, "errors": [{"domain": "usageLimits", "reason": "dailyLimitExceeded"}]}}'
    world.google.add_fault(kind=kind, status=403, body=limit)
    assert outcome(world.sync()) == (ExitCode.DONE, Outcome.SKIPPED, Reason.DAILY_LIMIT)
    assert (fired(world), world.slept, letters(world)) == ([1], [], [])
    assert world.run_row().reason is Reason.DAILY_LIMIT
    assert outcome(world.sync()) == DONE


@pytest.mark.parametrize("kind", ["events", "token"])
def test_an_outage_books_attempts_even_when_it_names_a_wait(world: SyncWorld, kind: str) -> None:
    world.pass_time(hours=2)
    world.google.add_fault(kind=kind, status=503, retry_after="30", times=None)
    assert outcome(world.sync()) == SPENT
    assert fired(world) == [4]


def test_calendars_done_before_a_usage_limit_are_not_read_again(world: SyncWorld) -> None:
    world.add_calendar("team")
    world.sync()
    world.forget_list()
    world.google.clear_requests()
    world.google.add_fault(kind="events", calendar="team", status=429, retry_after="5")
    assert outcome(world.sync()) == DONE
    assert fired(world) == [1]
    assert world.google.count("events", calendar=EMAIL) == 1
    assert world.google.count("calendarList") == 1


# Answers that never come whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"delay": 60}, {"drop": True}, {"truncate": True}, {"body": "no json"}, {"body": "[]"}, {"body": "[" * 100_000}],
    ids=["hang", "dropped", "truncated", "not json", "not an object", "nested deeply"],
)
def test_an_answer_that_does_not_come_whole_is_a_temporary_error(world: SyncWorld, fault: dict[str, Any]) -> None:
    world.add_event("a", f"{TUESDAY} 10:00")
    # Long enough for a busy machine to answer the other requests.
    world.socket_timeout = 3
    times = 2 if "drop" in fault else 1
    world.google.add_fault(kind="events", times=times, **fault)
    report = world.sync()
    assert (outcome(report), fired(world)) == (DONE, [times])
    assert report.summary.attempts == 1
    assert set(world.stored_events()) == {"a"}


def test_a_huge_answer_is_cut_off_at_the_limit(world: SyncWorld) -> None:
    world.google.add_fault(kind="events", huge=google_http.MAX_BODY_BYTES + 1)
    report = world.sync()
    assert (outcome(report), fired(world)) == (DONE, [1])
    assert report.summary.attempts == 1


def test_a_dripping_body_is_given_up_after_its_time(world: SyncWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    # Instead of a minute; long enough for a busy machine to answer the other requests.
    monkeypatch.setattr(google_http, "REQUEST_SECONDS", 3)
    world.google.add_fault(kind="events", drip=0.2)
    report = world.sync()
    assert (outcome(report), fired(world)) == (DONE, [1])
    assert report.summary.attempts == 1


def test_a_dripping_head_is_given_up_after_its_time(world: SyncWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_http, "REQUEST_SECONDS", 3)
    world.google.add_fault(kind="events", drip_head=1)
    report = world.sync()
    assert (outcome(report), fired(world)) == (DONE, [1])
    assert report.summary.attempts == 1


def test_a_server_that_is_not_there_is_a_temporary_error(world: SyncWorld) -> None:
    # Port 9 (discard) has no listener.
    world.google = GoogleDouble("http://127.0.0.1:9")
    assert outcome(world.sync()) == SPENT


# The database ------------------------------------------------------------------------------------------------------


def test_events_are_stored_once_whatever_happens_to_their_commit(
    commit_fails: tuple[Database, Callable[[], None]], google: GoogleDouble, tmp_path: Path
) -> None:
    database, fail = commit_fails
    google.add_user(EMAIL, time_zone=BERLIN)
    world = SyncWorld(database, google, tmp_path / "locks")
    world.add_user()
    world.connect()
    for number in range(3):
        world.add_event(f"e{number}", f"{TUESDAY} 1{number}:00")
    with after("INSERT INTO events", database, fail):
        report = world.sync()
    assert (outcome(report), report.summary.attempts) == (DONE, 1)
    assert set(world.stored_events()) == {"e0", "e1", "e2"}
    assert world.free(TUESDAY) == ["09:00-10:00", "13:00-21:00"]


# Privacy ------------------------------------------------------------------------------------------------------------


def test_no_log_and_no_summary_holds_a_token_an_address_or_a_title(
    world: SyncWorld, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world.add_calendar("canary-calendar")
    world.add_event("a", f"{TUESDAY} 10:00")
    world.google.add_fault(kind="events", calendar="canary-calendar", status=403, reason="forbidden")
    world.google.add_fault(kind="events", calendar="canary-calendar", truncate=True)
    world.google.add_fault(kind="events", calendar="canary-calendar", status=404, reason="notFound")
    world.pass_time(hours=2)
    reports: list[Report] = [world.sync(), world.sync()]
    world.google.revoke(EMAIL)
    world.pass_time(hours=2)
    reports.append(world.sync())
    assert fired(world) == [1, 1, 1]
    text = capsys.readouterr().out + caplog.text + "".join(report.summary.to_json() for report in reports)
    token: OAuthToken = world.token()
    for secret in (token.access_token, token.refresh_token, EMAIL, "canary-calendar", "Canary title"):
        assert secret
        assert secret not in text
    assert not re.search(r"ya29\.|1//", text)
    assert "calendar failed" in text
    assert "lost access to a calendar" in text
