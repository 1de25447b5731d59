"""Connecting a calendar: token files, and the installed-app flow against the double."""

from __future__ import annotations

import json
import threading
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from catchup_jobs.adapters.google.consent import ConnectError, consent_in_browser, read_token_file
from catchup_jobs.adapters.google.oauth import GoogleOAuth

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_dev.doubles.google.client import GoogleDouble

ADA = "ada@example.com"
CLIENT, SECRET = "catchup-double", "catchup-double-secret"


def test_a_token_file_of_the_double_is_read(google: GoogleDouble) -> None:
    google.add_user(ADA)
    document = google.grant(ADA)
    token = read_token_file(json.dumps(document), client_id=CLIENT)
    assert (token.access_token, token.refresh_token) == (document["token"], document["refresh_token"])
    assert token.expires_at is not None
    assert token.expires_at > datetime.now(UTC)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({}, 'no "refresh_token"'),
        ({"refresh_token": ""}, 'no "refresh_token"'),
        ({"refresh_token": "r", "client_id": "other"}, "another OAuth client"),
        ({"type": "service_account", "private_key": "k"}, "service account"),
        ({"installed": {"client_secret": "s3cret"}}, "--installed-app"),
    ],
)
def test_another_file_is_refused_with_what_to_do(document: Any, message: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(ConnectError, match=message) as caught:
        read_token_file(text, client_id=CLIENT)
    assert "s3cret" not in str(caught.value)


def test_a_token_file_without_a_usable_access_token_is_refreshed_later() -> None:
    for extra in ({}, {"token": "a"}, {"token": "a", "expiry": "soon"}):
        token = read_token_file(json.dumps({"refresh_token": "r"} | extra), client_id=None)
        assert token.usable_access_token(datetime.now(UTC)) is None


@pytest.fixture
def browser(capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[], Any]], Any]:
    """Run something that prints a consent page's address, and visit it as a browser would."""

    def run(connect: Callable[[], Any]) -> Any:
        outcome: list[Any] = []

        def target() -> None:
            try:
                outcome.append(connect())
            except ConnectError as error:
                outcome.append(error)

        thread = threading.Thread(target=target)
        thread.start()
        printed = ""
        while "http" not in printed and thread.is_alive():
            thread.join(0.02)
            printed += capsys.readouterr().out
        url = next(line for line in printed.splitlines() if line.startswith("http"))
        with urllib.request.urlopen(url, timeout=5):
            pass
        thread.join(10)
        (result,) = outcome
        return result

    return run


def consent(google: GoogleDouble, secret: str = SECRET) -> Any:
    return consent_in_browser(
        CLIENT, secret, auth_uri=google.auth_uri, token_uri=google.token_uri, open_browser=False, timeout_seconds=10
    )


def test_consent_in_a_browser_gives_a_token_that_can_be_refreshed(
    google: GoogleDouble, browser: Callable[[Callable[[], Any]], Any]
) -> None:
    google.add_user(ADA)
    token = browser(lambda: consent(google))
    oauth = GoogleOAuth(CLIENT, SECRET, now=lambda: datetime.now(UTC), token_uri=google.token_uri)
    refreshed = oauth.refresh(token)
    assert refreshed.refresh_token == token.refresh_token
    assert refreshed.access_token not in {None, token.access_token}


def test_refused_consent_is_told(google: GoogleDouble, browser: Callable[[Callable[[], Any]], Any]) -> None:
    error = browser(lambda: consent(google))
    assert isinstance(error, ConnectError)
    assert "access_denied" in str(error)


def test_a_refused_client_is_told(google: GoogleDouble, browser: Callable[[Callable[[], Any]], Any]) -> None:
    google.add_user(ADA)
    error = browser(lambda: consent(google, secret="wrong"))
    assert isinstance(error, ConnectError)
    assert "invalid_client" in str(error)


def test_no_consent_in_time_is_told(google: GoogleDouble) -> None:
    with pytest.raises(ConnectError, match="no consent came"):
        consent_in_browser(CLIENT, SECRET, auth_uri=google.auth_uri, open_browser=False, timeout_seconds=0.2)
