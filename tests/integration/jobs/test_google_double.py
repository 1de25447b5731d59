"""The double keeps to what the Calendar API documents; the sync's tests rest on it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from catchup_dev.doubles.google.client import ControlError, GoogleDouble
from catchup_dev.doubles.google.server import running

if TYPE_CHECKING:
    from pathlib import Path

ADA = "ada@example.com"
WINDOW = {"timeMin": "2026-11-22T00:00:00Z", "timeMax": "2027-01-05T00:00:00Z"}


class Client:
    """Plain requests as one user."""

    def __init__(self, double: GoogleDouble, email: str = ADA) -> None:
        self.double = double
        self.file = double.grant(email)
        self.token = self.file["token"]

    def get(self, path: str, **query: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.double.api_endpoint}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        return answer_to(request)

    def events(self, calendar: str = ADA, **query: str) -> tuple[int, dict[str, Any]]:
        return self.get(f"calendars/{urllib.parse.quote(calendar)}/events", singleEvents="true", **query)

    def all_events(self, **query: str) -> tuple[list[dict[str, Any]], str]:
        """Read all pages; return items and the sync token."""
        items: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            status, body = self.events(**query, **page)
            assert status == 200, body
            items += body["items"]
            if "nextPageToken" not in body:
                return items, body["nextSyncToken"]
            assert "nextSyncToken" not in body
            page = {"pageToken": body["nextPageToken"]}


def answer_to(request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def post(url: str, **form: str) -> tuple[int, dict[str, Any]]:
    return answer_to(urllib.request.Request(url, data=urllib.parse.urlencode(form).encode()))


@pytest.fixture
def ada(google: GoogleDouble) -> Client:
    google.add_user(ADA, time_zone="Europe/Berlin")
    return Client(google)


def add_events(google: GoogleDouble, number: int) -> None:
    for index in range(number):
        google.add_event(ADA, f"event{index:02}", title=f"Event {index}", at=f"2026-11-{23 + index % 7} 10:00")


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def test_events_are_paged_and_the_sync_token_comes_on_the_last_page_only(google: GoogleDouble, ada: Client) -> None:
    add_events(google, 5)
    google.set(page_size=2)
    items, _ = ada.all_events(**WINDOW)
    assert ids(items) == [f"event{index:02}" for index in range(5)]
    assert [entry["page"] for entry in google.requests() if entry["kind"] == "events"] == [1, 2, 3]


def test_a_change_between_two_pages_loses_nothing(google: GoogleDouble, ada: Client) -> None:
    add_events(google, 4)
    google.set(page_size=2)
    _, first = ada.events(**WINDOW)
    google.delete_event(ADA, "event00")
    google.add_event(ADA, "event99", title="New", at="2026-11-24 12:00")
    _, second = ada.events(**WINDOW, pageToken=first["nextPageToken"])
    assert ids(first["items"]) + ids(second["items"]) == ["event00", "event01", "event02", "event03"]
    _, third = ada.events(**WINDOW, pageToken=second["nextPageToken"])
    changed, _ = ada.all_events(syncToken=third["nextSyncToken"])
    assert ids(changed) == ["event00", "event99"]


def test_the_window_cuts_the_first_sync_but_not_the_incremental_ones(google: GoogleDouble, ada: Client) -> None:
    google.add_event(ADA, "far", title="Far", at="2028-01-01 10:00")
    google.add_event(ADA, "near", title="Near", at="2026-11-24 10:00")
    items, token = ada.all_events(**WINDOW)
    assert ids(items) == ["near"]
    google.put_event(ADA, "far", {"summary": "Touched"})
    assert ids(ada.all_events(syncToken=token)[0]) == ["far"]


def test_deleted_events_arrive_as_tombstones_of_id_and_status(google: GoogleDouble, ada: Client) -> None:
    add_events(google, 1)
    _, token = ada.all_events(**WINDOW)
    google.delete_event(ADA, "event00")
    changed, token = ada.all_events(syncToken=token)
    assert changed == [{"id": "event00", "status": "cancelled"}]
    assert ada.all_events(syncToken=token)[0] == []


@pytest.mark.parametrize(
    "query", [{"timeMin": WINDOW["timeMin"]}, {"orderBy": "startTime"}, {"q": "x"}, {"showDeleted": "false"}]
)
def test_parameters_that_a_sync_token_forbids_are_refused(
    google: GoogleDouble, ada: Client, query: dict[str, str]
) -> None:
    _, token = ada.all_events(**WINDOW)
    assert ada.events(syncToken=token, **query)[0] == 400


def test_other_parameters_than_the_first_requests_are_refused(google: GoogleDouble, ada: Client) -> None:
    _, token = ada.all_events(**WINDOW)
    status, _ = ada.get(f"calendars/{ADA}/events", syncToken=token)
    assert status == 400


def test_an_invalidated_or_foreign_sync_token_needs_a_full_sync(google: GoogleDouble, ada: Client) -> None:
    _, token = ada.all_events(**WINDOW)
    google.invalidate_sync_tokens(ADA)
    for bad in (token, "nonsense"):
        status, body = ada.events(syncToken=bad)
        assert status == 410
        assert body["error"]["errors"][0]["reason"] == "fullSyncRequired"


def test_a_series_is_expanded_on_the_local_clock(google: GoogleDouble, ada: Client) -> None:
    google.add_event(ADA, "yoga", title="Yoga", at="2026-10-19 18:00", repeat="FREQ=WEEKLY;COUNT=3")
    items, _ = ada.all_events(timeMin="2026-10-01T00:00:00Z", timeMax="2026-12-01T00:00:00Z")
    assert [item["start"]["dateTime"] for item in items] == [
        "2026-10-19T18:00:00+02:00",
        "2026-10-26T18:00:00+01:00",
        "2026-11-02T18:00:00+01:00",
    ]
    assert items[1]["id"] == "yoga_20261026T170000Z"
    assert {item["recurringEventId"] for item in items} == {"yoga"}


def test_a_touched_endless_series_brings_hundreds_of_instances(google: GoogleDouble, ada: Client) -> None:
    google.add_event(ADA, "daily", title="Daily", at="2026-11-23 08:00", repeat="FREQ=DAILY")
    items, token = ada.all_events(**WINDOW)
    assert len(items) == 43
    google.put_event(ADA, "daily", {"summary": "Daily!"})
    assert len(ada.all_events(syncToken=token)[0]) == 500


def test_one_cancelled_and_one_moved_instance(google: GoogleDouble, ada: Client) -> None:
    google.add_event(ADA, "s", title="S", at="2026-11-23 08:00", repeat="FREQ=DAILY;COUNT=3")
    items, token = ada.all_events(**WINDOW)
    first, second, _ = ids(items)
    google.put_instance(ADA, first, {"status": "cancelled"})
    google.put_instance(ADA, second, {"start": {"dateTime": "2026-11-24T20:00:00+01:00"}})
    changed, _ = ada.all_events(syncToken=token)
    assert changed[0] == {"id": first, "status": "cancelled"}
    assert changed[1]["start"] == {"dateTime": "2026-11-24T20:00:00+01:00"}
    assert len(changed) == 2


def test_a_series_moved_or_deleted_leaves_tombstones_of_its_old_instances(google: GoogleDouble, ada: Client) -> None:
    google.add_event(ADA, "s", title="S", at="2026-11-23 08:00", repeat="FREQ=DAILY;COUNT=2")
    items, token = ada.all_events(**WINDOW)
    google.move_event(ADA, "s", at="2026-11-23 09:00")
    changed, token = ada.all_events(syncToken=token)
    assert {item["id"] for item in changed if item["status"] == "cancelled"} == set(ids(items))
    assert sum(item["status"] == "confirmed" for item in changed) == 2
    google.delete_event(ADA, "s")
    assert {item["status"] for item in ada.all_events(syncToken=token)[0]} == {"cancelled"}


def test_fields_give_a_partial_response(google: GoogleDouble, ada: Client) -> None:
    add_events(google, 1)
    _, body = ada.events(**WINDOW, fields="items(id,start/dateTime)")
    assert body == {"items": [{"id": "event00", "start": {"dateTime": "2026-11-23T10:00:00+01:00"}}]}
    assert ada.events(**WINDOW, fields="items(id")[0] == 400


def test_the_calendar_list_is_paged(google: GoogleDouble, ada: Client) -> None:
    for name in ("team", "family"):
        google.add_calendar(ADA, name)
    google.set(page_size=2)
    _, first = ada.get("users/me/calendarList")
    _, second = ada.get("users/me/calendarList", pageToken=first["nextPageToken"])
    assert ids(first["items"] + second["items"]) == [ADA, "family", "team"]


def test_access_tokens_expire_and_refreshing_omits_the_refresh_token(google: GoogleDouble, ada: Client) -> None:
    google.expire_access_tokens()
    assert ada.get("users/me/calendarList")[0] == 401
    form = {name: ada.file[name] for name in ("client_id", "client_secret", "refresh_token")}
    status, body = post(google.token_uri, grant_type="refresh_token", **form)
    assert status == 200
    assert "refresh_token" not in body
    ada.token = body["access_token"]
    assert ada.get("users/me/calendarList")[0] == 200


def test_a_rotated_refresh_token_is_good_once(google: GoogleDouble, ada: Client) -> None:
    google.set(rotate_refresh_tokens=True)
    form = {name: ada.file[name] for name in ("client_id", "client_secret", "refresh_token")}
    _, body = post(google.token_uri, grant_type="refresh_token", **form)
    assert body["refresh_token"] != form["refresh_token"]
    assert post(google.token_uri, grant_type="refresh_token", **form)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"refresh_token": "revoked"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_the_token_endpoint_refuses(
    google: GoogleDouble, ada: Client, changed: dict[str, str], status: int, error: str
) -> None:
    form = {name: ada.file[name] for name in ("client_id", "client_secret", "refresh_token")}
    answer = post(google.token_uri, **({"grant_type": "refresh_token"} | form | changed))
    assert (answer[0], answer[1]["error"]) == (status, error)


def test_revoked_consent_ends_the_access_token_and_the_refresh_token(google: GoogleDouble, ada: Client) -> None:
    status, _ = post(f"{google.url}/revoke", token=ada.token)
    assert status == 200
    assert ada.get("users/me/calendarList")[0] == 401
    form = {name: ada.file[name] for name in ("client_id", "client_secret", "refresh_token")}
    assert post(google.token_uri, grant_type="refresh_token", **form)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("status", [403, 429])
def test_usage_limits_say_how_long_to_wait(google: GoogleDouble, ada: Client, status: int) -> None:
    fault = google.add_fault(kind="events", status=status, retry_after="7")
    url = f"{google.api_endpoint}calendars/{ADA}/events"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {ada.token}"}), timeout=5)
    with caught.value as error:
        assert error.headers["Retry-After"] == "7"
        assert json.load(error)["error"]["errors"][0] == {
            "domain": "usageLimits",
            "reason": "rateLimitExceeded",
            "message": "scripted",
        }
    assert [(entry["id"], entry["fired"]) for entry in google.faults()] == [(fault, 1)]
    assert ada.events(**WINDOW)[0] == 200


def test_a_fault_waits_for_its_page_and_its_turn(google: GoogleDouble, ada: Client) -> None:
    add_events(google, 3)
    google.set(page_size=1)
    google.add_fault(kind="events", page=3, status=503)
    google.add_fault(kind="calendarList", skip=1, times=None, status=500)
    with pytest.raises(AssertionError, match="backendError"):
        ada.all_events(**WINDOW)
    assert [ada.get("users/me/calendarList")[0] for _ in range(3)] == [200, 500, 500]


def test_unknown_commands_and_users_are_told(google: GoogleDouble) -> None:
    with pytest.raises(ControlError, match="no command explode"):
        google.explode()
    with pytest.raises(ControlError, match="no user nobody"):
        google.grant("nobody")


def test_state_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "google.json"
    with running(state=path) as server:
        double = GoogleDouble(server.url)
        double.add_user(ADA)
        double.add_event(ADA, "dentist", title="Dentist", at="2026-11-24 15:00")
        client = Client(double)
        _, token = client.all_events(**WINDOW)
        double.delete_event(ADA, "dentist")
    assert path.stat().st_mode & 0o077 == 0
    with running(state=path) as server:
        client.double = GoogleDouble(server.url)
        assert client.all_events(syncToken=token)[0] == [{"id": "dentist", "status": "cancelled"}]


def test_the_command_line_drives_a_running_double(google: GoogleDouble) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "catchup_dev.doubles.google", "--url", google.url, *arguments]
        environment = {"PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    run("user", "add", ADA, "--time-zone", "Europe/Berlin")
    run("event", "add", ADA, "--id", "dentist", "--title", "Dentist", "--at", "+1d 15:00", "--minutes", "45")
    run("event", "move", ADA, "dentist", "--at", "2027-03-01 10:00")
    (event,) = json.loads(run("event", "list", ADA))
    assert event["start"] == {"dateTime": "2027-03-01T10:00:00+01:00", "timeZone": "Europe/Berlin"}
    expiry = json.loads(run("user", "grant", ADA))["expiry"]
    assert datetime.fromisoformat(expiry) > datetime.now(UTC)
    assert json.loads(run("fault", "add", "kind=events", "status=429", "retry_after=2")) == 1
    run("event", "delete", ADA, "dentist")
    assert json.loads(run("event", "list", ADA)) == []
