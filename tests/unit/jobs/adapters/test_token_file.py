"""Token files that somebody brings, as google-auth writes them and otherwise."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import googleapiclient
import pytest

from catchup_jobs.adapters.google.consent import ConnectError, read_token_file
from catchup_jobs.adapters.google.oauth import NEEDED_SCOPES, SCOPES
from catchup_jobs.domain.calendar.access_token import OAuthToken

GOOD = {"type": "authorized_user", "refresh_token": "1//r", "token": "ya29.a", "expiry": "2026-11-23T12:00:00Z"}
UNTIL = datetime(2026, 11, 23, 12, tzinfo=UTC)


def read(**fields: Any) -> OAuthToken:
    return read_token_file(json.dumps(GOOD | fields), client_id=None)


def test_a_token_file_of_google_auth_is_read_whole() -> None:
    assert read() == OAuthToken("1//r", "ya29.a", UNTIL)
    assert read(expiry="2026-11-23T12:00:00") == read(expiry="2026-11-23T13:00:00+01:00") == read()


# RFC 6749, appendix A.12: an access token is printable ASCII. Without a usable one the first sync gets another.
@pytest.mark.parametrize(
    "fields",
    [
        {"token": None},
        {"token": 5},
        {"token": "a\r\nX: b"},
        {"token": "ключ"},
        {"token": "a" * 5000},
        {"expiry": None},
        {"expiry": 5},
        {"expiry": "soon"},
        {"expiry": "0001-01-01T00:00:00+01:00"},
        {"expiry": "9999-12-31T23:59:59-01:00"},
    ],
    ids=str,
)
def test_an_access_token_that_cannot_be_used_is_left_out(fields: dict[str, Any]) -> None:
    assert read(**fields) == OAuthToken("1//r")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "5",
        "[" * 100_000,
        "9" * 5000,
        json.dumps({"installed": {}}),
        json.dumps({"type": "service_account"}),
        *(json.dumps(GOOD | {"refresh_token": token}) for token in (None, 5, "", "a\nb", "ü", "\ud800", "a" * 5000)),
    ],
    ids=lambda text: text[:50],
)
def test_what_is_no_users_token_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ConnectError) as caught:
        read_token_file(text, client_id=None)
    assert "ya29" not in str(caught.value)


AUTH: Final = "https://www.googleapis.com/auth/"


def test_the_scopes_that_a_consent_needs_are_those_of_googles_own_description() -> None:
    description = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "calendar.v3.json"
    resources = json.loads(description.read_text(encoding="utf-8"))["resources"]
    assert [set(resources[name]["methods"]["list"]["scopes"]) for name in ("calendarList", "events")] == [
        set(scopes) for scopes in NEEDED_SCOPES
    ]
    assert all(set(SCOPES) & scopes for scopes in NEEDED_SCOPES)


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"scopes": [f"{AUTH}calendar.readonly"]}, True),
        ({"scopes": [f"{AUTH}calendar", "openid"]}, True),
        ({"scopes": [f"{AUTH}calendar.events.readonly", f"{AUTH}calendar.calendarlist.readonly"]}, True),
        ({"scope": f"openid {AUTH}calendar.readonly"}, True),
        ({"scopes": None}, True),
        ({"scopes": []}, True),
        ({"scopes": [5]}, True),
        ({"scopes": {"a": 1}}, True),
        ({"scopes": ["openid"]}, False),
        ({"scopes": [f"{AUTH}calendar.events.readonly"]}, False),
        ({"scopes": [f"{AUTH}gmail.readonly", f"{AUTH}drive"]}, False),
        ({"scope": "openid email"}, False),
    ],
    ids=str,
)
def test_a_consent_that_does_not_cover_calendars_is_refused_where_the_file_says_so(
    fields: dict[str, Any], taken: bool
) -> None:
    if taken:
        assert read(**fields) == read()
    else:
        with pytest.raises(ConnectError, match="does not cover calendars"):
            read(**fields)
