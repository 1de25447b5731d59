"""Whatever Google, or a proxy in its place, answers leads to one of a few outcomes."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.jobs.sync_world import BERLIN, CLIENT_ID, CLIENT_SECRET, EMAIL
from integration.jobs.test_request_limits import dripping

from catchup_jobs.adapters.google.calendar_api import MOST_PAGES, CalendarService, GoogleCalendar
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.google.oauth import GoogleOAuth
from catchup_jobs.domain.calendar.access_token import OAuthToken, ReconnectNeededError
from catchup_jobs.domain.calendar.sync_window import FullSync, IncrementalSync, full_window
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError
from catchup_jobs.jobs.sync.ports import CalendarFailedError, DailyLimitError, SyncTokenExpiredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from catchup_dev.doubles.google.client import GoogleDouble

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
FULL = FullSync(full_window(NOW))
HTML = "<html><body>Please log in to the guest network</body></html>"


class Tokens:
    """The access token of one grant."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        return self._token

    def renewed(self, rejected: str) -> str:
        return rejected


@pytest.fixture
def source(google: GoogleDouble) -> Iterator[GoogleCalendar]:
    google.add_user(EMAIL, time_zone=BERLIN)
    google.add_event(EMAIL, "e1", title="t", at="2026-11-24 10:00")
    tokens = Tokens(google.grant(EMAIL)["token"])
    with closing(CalendarService(google.api_endpoint, http=Http(timeout=30))) as service:
        yield GoogleCalendar(service, tokens, lambda: None, now=lambda: NOW)


def became(call: Callable[[], Any]) -> str:
    """Return what became of a request; any other exception fails the test."""
    try:
        call()
    except TemporaryError as error:
        return "temporary" if error.wait_seconds is None else f"wait {error.wait_seconds:.0f}"
    except CalendarFailedError as error:
        return error.reason.value
    except (MisconfiguredError, PermanentError, ReconnectNeededError, DailyLimitError, SyncTokenExpiredError) as error:
        return type(error).__name__.removesuffix("Error")
    return "answered"


def error(status: int, reason: str, domain: str = "global") -> str:
    """Return an error body in the older form (https://developers.google.com/workspace/calendar/api/guides/errors)."""
    entry = {"domain": domain, "reason": reason, "message": "m"}
    return json.dumps({"error": {"errors": [entry], "code": status, "message": "m"}})


def error_info(status: int, name: str, reason: str, **metadata: str) -> str:
    """Return an error body in the newer form (google.rpc.Status with a google.rpc.ErrorInfo)."""
    entry = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}
    return json.dumps({"error": {"code": status, "message": "m", "status": name, "details": [entry]}})


EVERYWHERE = [
    # What is on the way, or an outage.
    (302, HTML, "temporary"),
    (304, "", "temporary"),
    (407, HTML, "temporary"),
    (407, error(407, "x"), "temporary"),
    (408, HTML, "temporary"),
    (421, HTML, "temporary"),
    (425, "", "temporary"),
    (201, "{}", "temporary"),
    (203, '{"items": []}', "temporary"),
    (204, "", "temporary"),
    (206, '{"items": []}', "temporary"),
    (500, '{"error": 5}', "temporary"),
    (500, "[]", "temporary"),
    (502, "null", "temporary"),
    (503, '{"error": {"errors": [5]}}', "temporary"),
    (504, '{"error": {"message": 5}}', "temporary"),
    (599, HTML, "temporary"),
    # Limits.
    (429, "", "wait 60"),
    (429, "[]", "wait 60"),
    (429, error(429, "rateLimitExceeded", "usageLimits"), "wait 60"),
    (429, error_info(429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", quota_unit="1/min/{project}"), "wait 60"),
    (403, error(403, "userRateLimitExceeded", "usageLimits"), "wait 60"),
    (403, error(403, "quotaExceeded", "usageLimits"), "wait 60"),
    (403, error_info(403, "PERMISSION_DENIED", "RATE_LIMIT_EXCEEDED"), "wait 60"),
    (403, error(403, "dailyLimitExceeded", "usageLimits"), "DailyLimit"),
    (429, error(429, "dailyLimitExceeded", "usageLimits"), "DailyLimit"),
    (429, error_info(429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", quota_unit="1/d/{project}"), "DailyLimit"),
    (429, error_info(429, "RESOURCE_EXHAUSTED", "x", quota_limit="DefaultRequestsPerDayPerProject"), "DailyLimit"),
    # The user's organisation, consent, and our project.
    (403, error(403, "domainPolicy"), "ReconnectNeeded"),
    (403, error(403, "insufficientPermissions"), "ReconnectNeeded"),
    (403, error_info(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "ReconnectNeeded"),
    (403, error(403, "accessNotConfigured", "usageLimits"), "Misconfigured"),
    (403, error_info(403, "PERMISSION_DENIED", "SERVICE_DISABLED"), "Misconfigured"),
    (401, error(401, "authError"), "temporary"),
    (401, "5", "temporary"),
]
# Bodies on which the client itself fails: the status alone decides.
UNREADABLE = ["5", "null", "[]", '"x"', '{"error": 5}', '{"error": [5]}', '{"error": {"errors": [5]}}']


ONLY_GOOGLES = [
    # status, body, at the list, at all events, at the changed ones
    *((403, body, "Permanent", "forbidden", "forbidden") for body in UNREADABLE),
    (403, error(403, "forbidden"), "Permanent", "forbidden", "forbidden"),
    (404, error(404, "notFound"), "Misconfigured", "not_found", "not_found"),
    *((403, body, "temporary", "temporary", "temporary") for body in ("", "[" * 9999, "denied by policy")),
    (404, HTML, "Misconfigured", "temporary", "temporary"),
    (400, error(400, "invalid"), "Misconfigured", "bad_data", "SyncTokenExpired"),
    (400, HTML, "temporary", "temporary", "SyncTokenExpired"),
    (410, error(410, "fullSyncRequired"), "Misconfigured", "bad_data", "SyncTokenExpired"),
    *((status, HTML, "temporary", "temporary", "temporary") for status in (402, 403, 405, 409, 418, 423, 451)),
]


def answered(google: GoogleDouble, call: Callable[[], Any], **fault: Any) -> str:
    """Return what became of a call that met a fault, which must have fired."""
    google.clear_faults()
    google.add_fault(**fault)
    outcome = became(call)
    assert google.faults()[0]["fired"] >= 1, fault
    return outcome


def readings(source: GoogleCalendar) -> dict[str, Callable[[], Any]]:
    """Return the three ways of reading Google."""
    return {
        "list": lambda: list(source.calendars()),
        "full": lambda: list(source.events(EMAIL, FULL)),
        "incremental": lambda: list(source.events(EMAIL, IncrementalSync(FULL.window, "token"))),
    }


@pytest.mark.parametrize("way", ["list", "full", "incremental"])
def test_a_status_that_means_the_same_everywhere(google: GoogleDouble, source: GoogleCalendar, way: str) -> None:
    read = readings(source)[way]
    found = [(*case[:2], answered(google, read, status=case[0], body=case[1], times=None)) for case in EVERYWHERE]
    assert found == EVERYWHERE


@pytest.mark.parametrize(("way", "column"), [("list", 2), ("full", 3), ("incremental", 4)])
def test_a_refusal_that_only_google_can_give_needs_googles_word(
    google: GoogleDouble, source: GoogleCalendar, way: str, column: int
) -> None:
    read = readings(source)[way]
    found = [(*case[:2], answered(google, read, status=case[0], body=case[1])) for case in ONLY_GOOGLES]
    assert found == [(*case[:2], case[column]) for case in ONLY_GOOGLES]


# Without `nextPageToken` the page is the last one: events then have a `nextSyncToken`, a list had its primary calendar.
NO_PAGES = [
    "",
    "null",
    "5",
    '"x"',
    "[]",
    "{}",
    '{"status": "ok"}',
    '{"items": null}',
    '{"items": null, "nextSyncToken": "t"}',
    '{"items": {}, "nextSyncToken": "t"}',
    '{"items": "x", "nextSyncToken": "t"}',
    '{"nextSyncToken": "t"}',
    '{"kind": "calendar#acl", "nextSyncToken": "t"}',
    '{"items": []}',
    '{"items": [], "nextSyncToken": ""}',
    '{"items": [], "nextSyncToken": 5}',
    '{"items": [], "nextSyncToken": "a\\r\\nb"}',
    '{"items": [], "nextSyncToken": "\\ud800"}',
    json.dumps({"items": [], "nextSyncToken": "t" * 5000}),
    '{"items": [], "nextPageToken": 5, "nextSyncToken": "t"}',
    '{"items": [], "nextPageToken": ["x"]}',
    '{"items": [], "nextPageToken": "again"}',
    HTML,
    "[" * 100_000,
]


@pytest.mark.parametrize("way", ["list", "full", "incremental"])
def test_an_answer_that_is_no_page_is_temporary_and_never_an_empty_one(
    google: GoogleDouble, source: GoogleCalendar, way: str
) -> None:
    read = readings(source)[way]
    found = {body: answered(google, read, body=body, status=200, times=None) for body in NO_PAGES}
    assert found == dict.fromkeys(NO_PAGES, "temporary")


def test_a_page_that_says_what_it_is_may_leave_out_empty_items(google: GoogleDouble, source: GoogleCalendar) -> None:
    google.add_fault(status=200, body='{"kind": "calendar#events", "nextSyncToken": "t"}')
    (page,) = source.events(EMAIL, FULL)
    assert (page.events, page.next_sync_token) == ((), "t")


def test_a_number_of_thousands_of_digits_harms_no_event(google: GoogleDouble, source: GoogleCalendar) -> None:
    items = '{"id": "odd", "sequence": %s}, {"id": "good", "start": {"date": "2026-11-24"}}' % ("9" * 5000)
    google.add_fault(status=200, body=f'{{"items": [{items}], "nextSyncToken": "t"}}')
    (page,) = source.events(EMAIL, FULL)
    assert [event.google_id for event in page.events] == ["odd", "good"]


WAITS = [
    ("7", "wait 7"),
    ("9" * 30, "wait 86400"),
    # The three forms of a date (RFC 9110, section 5.6.7).
    ("Mon, 23 Nov 2026 11:00:45 GMT", "wait 45"),
    ("Monday, 23-Nov-26 11:00:45 GMT", "wait 45"),
    ("Mon Nov 23 11:00:45 2026", "wait 45"),
    ("Mon, 23 Nov 99999999999 11:00:45 GMT", "wait 60"),
    ("soon", "wait 60"),
]


def test_a_limit_waits_as_long_as_named_or_a_minute(google: GoogleDouble, source: GoogleCalendar) -> None:
    read = readings(source)["list"]
    assert [(text, answered(google, read, status=429, retry_after=text)) for text, _ in WAITS] == WAITS


# OAuth --------------------------------------------------------------------------------------------------------------


def refreshed(google: GoogleDouble) -> OAuthToken:
    oauth = GoogleOAuth(CLIENT_ID, CLIENT_SECRET, now=lambda: NOW, token_uri=google.token_uri, http=Http(timeout=30))
    return oauth.refresh(OAuthToken("refresh"))


def oauth_error(code: str) -> str:
    return json.dumps({"error": code, "error_description": "m"})


REFUSED = [
    (400, oauth_error("invalid_grant"), "ReconnectNeeded"),
    # https://developers.google.com/identity/protocols/oauth2/web-server#authorization-errors
    (400, oauth_error("admin_policy_enforced"), "ReconnectNeeded"),
    (401, oauth_error("policy_enforced"), "ReconnectNeeded"),
    (403, oauth_error("org_internal"), "ReconnectNeeded"),
    # "Account restricted": https://github.com/closeio/sync-engine/pull/1014
    (400, oauth_error("access_denied"), "ReconnectNeeded"),
    (401, oauth_error("invalid_client"), "Misconfigured"),
    (401, oauth_error("deleted_client"), "Misconfigured"),
    (400, oauth_error("unauthorized_client"), "Misconfigured"),
    (400, oauth_error("temporarily_unavailable"), "temporary"),
    (400, '{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}', "temporary"),
    (403, error(403, "rateLimitExceeded", "usageLimits"), "wait 60"),
    (403, error(403, "dailyLimitExceeded", "usageLimits"), "DailyLimit"),
    (403, error(403, "domainPolicy"), "ReconnectNeeded"),
    (429, oauth_error("rate_limited"), "wait 60"),
    (500, oauth_error("invalid_grant"), "temporary"),
    (503, "", "temporary"),
    *(
        (400, body, "temporary")
        for body in [*UNREADABLE, "", "[" * 9999, '{"error": ["invalid_grant"]}', '{"error": {}}', HTML]
    ),
    *((status, HTML, "temporary") for status in (201, 204, 302, 403, 404, 407, 408, 425)),
    *((200, body, "temporary") for body in [*UNREADABLE, "{}", HTML]),
]


def test_what_the_oauth_server_refuses(google: GoogleDouble) -> None:
    found = [
        (status, body, answered(google, lambda: refreshed(google), kind="token", status=status, body=body))
        for status, body, _ in REFUSED
    ]
    assert found == REFUSED


UNUSABLE: list[dict[str, Any]] = [
    # RFC 6749: a token is printable ASCII (appendix A.12, A.17), `expires_in` a number of seconds (5.1).
    {"access_token": "a\r\nX-Evil: b"},
    {"access_token": "a\u0000b"},
    {"access_token": "naïve"},
    {"access_token": "ключ"},
    {"access_token": "\ud800"},
    {"access_token": ""},
    {"access_token": 5},
    {"access_token": ["a"]},
    {"access_token": "a" * 5000},
    {"refresh_token": "a\nb"},
    {"refresh_token": 5},
    {"expires_in": float("nan")},
    {"expires_in": float("inf")},
    {"expires_in": -1},
    {"expires_in": 0},
    {"expires_in": 10**12},
    {"expires_in": 10**400},
    {"expires_in": True},
    {"expires_in": "soon"},
    {"expires_in": None},
    {"expires_in": {}},
]


def test_an_unusable_token_is_temporary(google: GoogleDouble) -> None:
    good = {"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"}
    bodies = [*(json.dumps(good | fields) for fields in UNUSABLE), '{"access_token": "ya29.x", "expires_in": 1e400}']
    found = {body: answered(google, lambda: refreshed(google), kind="token", status=200, body=body) for body in bodies}
    assert found == dict.fromkeys(bodies, "temporary")
    assert answered(google, lambda: refreshed(google), kind="token", status=200, body=json.dumps(good)) == "answered"


def test_a_token_that_an_earlier_version_stored_and_no_header_can_hold_is_refreshed() -> None:
    assert OAuthToken("r", "a\r\nb", NOW + timedelta(hours=1)).usable_access_token(NOW) is None
    assert OAuthToken("r", "ya29.x", NOW + timedelta(hours=1)).usable_access_token(NOW) == "ya29.x"


# Any JSON at any status ---------------------------------------------------------------------------------------------

FEW = {
    "answered",
    "temporary",
    "forbidden",
    "not_found",
    "bad_data",
    "Misconfigured",
    "Permanent",
    "ReconnectNeeded",
    "DailyLimit",
    "SyncTokenExpired",
}
NAMES = st.sampled_from(
    [
        "error",
        "errors",
        "details",
        "reason",
        "code",
        "status",
        "message",
        "metadata",
        "quota_unit",
        "items",
        "id",
        "kind",
        "nextPageToken",
        "nextSyncToken",
        "primary",
        "start",
        "end",
        "date",
        "dateTime",
        "access_token",
        "expires_in",
    ]
)
TEXTS = st.sampled_from(["usageLimits", "domainPolicy", "invalid_grant", "calendar#events", "2026-11-24"]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
BODIES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(200, 599), BODIES)
def test_any_json_at_any_status_has_one_of_few_outcomes(
    google: GoogleDouble, source: GoogleCalendar, status: int, body: object
) -> None:
    ways = [*readings(source).values(), lambda: refreshed(google)]
    for read in ways:
        outcome = answered(google, read, status=status, body=json.dumps(body), times=None)
        assert outcome in FEW or outcome.startswith("wait ")


@pytest.mark.parametrize(
    ("way", "kind", "outcome"),
    [("list", "calendarList", "Permanent"), ("full", "events", "bad_data"), ("incremental", "events", "bad_data")],
)
def test_a_list_without_end_is_given_up_after_a_number_of_pages(
    google: GoogleDouble, source: GoogleCalendar, way: str, kind: str, outcome: str
) -> None:
    body = json.dumps({"kind": f"calendar#{kind}", "items": [], "nextPageToken": "page {fired}"})
    google.add_fault(status=200, body=body, times=None)
    assert became(readings(source)[way]) == outcome
    assert google.faults()[0]["fired"] == MOST_PAGES


# RFC 6749, 5.2, has the header beside `invalid_client`; RFC 9110, 11.6.1, and what servers make of it.
@pytest.mark.parametrize(
    "challenge", ["Basic", 'Basic realm="x"', "Negotiate", "NTLM", 'Bearer realm="x", error="invalid_token"', "x=", "="]
)
def test_a_challenge_to_log_in_does_not_hide_the_answer(challenge: str) -> None:
    body = b'{"error": "invalid_client"}'
    head = f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: {len(body)}\r\n\r\n"
    with dripping(head.encode() + body, at_once=10_000) as address, closing(Http()) as http:
        oauth = GoogleOAuth("id", "secret", now=lambda: NOW, token_uri=f"http://{address}/token", http=http)
        with pytest.raises(MisconfiguredError, match="invalid_client"):
            oauth.refresh(OAuthToken("refresh", "access", None))
