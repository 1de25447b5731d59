"""A user's first token: from a token file, or by consent in a browser (installed-app flow with PKCE).

Only `catchup-jobs calendar connect` imports this.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from catchup_jobs.adapters.google.oauth import DEFAULT_AUTH_URI, DEFAULT_TOKEN_URI, NEEDED_SCOPES, SCOPES
from catchup_jobs.domain.calendar.access_token import OAuthToken, is_token

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSENT_TIMEOUT_SECONDS: Final = 300
"""How long `calendar connect --installed-app` waits for the browser."""


class ConnectError(Exception):
    """A calendar cannot be connected; the message says what to do and holds no token."""


def read_token_file(text: str, *, client_id: str | None) -> OAuthToken:
    """Return the token of an "authorized user" file, as google-auth's `Credentials.to_json` writes it.

    Args:
        text: the file's content.
        client_id: of the OAuth client that the jobs refresh tokens with, None while there is none.

    Raises:
        ConnectError: the text is something else, the token is another client's, or it cannot read calendars.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ConnectError("the token file is not JSON") from None
    if not isinstance(document, dict):
        raise ConnectError("the token file is not a JSON object")
    if document.get("type") == "service_account":
        raise ConnectError("this is a service account's key; a user's calendar needs the user's own consent")
    if "installed" in document or "web" in document:
        raise ConnectError("this is an OAuth client's secret file, not a user's token; use --installed-app instead")
    refresh_token = document.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        raise ConnectError('the token file has no "refresh_token": consent again with access_type=offline')
    if not is_token(refresh_token):
        raise ConnectError('the "refresh_token" of the token file is damaged: it holds more than printable ASCII')
    issued_to = document.get("client_id")
    if client_id is not None and issued_to is not None and issued_to != client_id:
        raise ConnectError(
            "the token file belongs to another OAuth client than CATCHUP_GOOGLE_CLIENT_ID, and only that one can use it"
        )
    granted = _scopes(document)
    if granted and not all(granted & needed for needed in NEEDED_SCOPES):
        raise ConnectError(f"the token's consent does not cover calendars: consent again, to {SCOPES[0]}")
    access_token = document.get("token") or document.get("access_token")
    expires_at = _expiry(document.get("expiry"))
    if not is_token(access_token) or expires_at is None:
        return OAuthToken(refresh_token)
    return OAuthToken(refresh_token, access_token, expires_at)


def consent_in_browser(
    client_id: str,
    client_secret: str,
    *,
    auth_uri: str | None = None,
    token_uri: str | None = None,
    open_browser: bool = True,
    timeout_seconds: float = CONSENT_TIMEOUT_SECONDS,
) -> OAuthToken:
    """Print (and open) the consent page's address, wait for the redirect to a loopback port, and return the token.

    Raises:
        ConnectError: refused, timed out, or granted without calendars or without a refresh token.
    """
    from google_auth_oauthlib.flow import InstalledAppFlow, WSGITimeoutError  # noqa: PLC0415 - 0.3 s, for this way only
    from oauthlib.oauth2 import OAuth2Error  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    client = {
        "client_id": client_id,
        "client_secret": client_secret,
        "auth_uri": auth_uri or DEFAULT_AUTH_URI,
        "token_uri": token_uri or DEFAULT_TOKEN_URI,
    }
    flow: Any = InstalledAppFlow.from_client_config({"installed": client}, scopes=list(SCOPES))
    try:
        with _plain_http_allowed(client["auth_uri"], client["token_uri"]), flow.oauth2session:
            credentials = flow.run_local_server(
                host="127.0.0.1",
                port=0,
                open_browser=open_browser,
                timeout_seconds=timeout_seconds,
                authorization_prompt_message="To connect the calendar, open this page in a browser here:\n{url}",
                success_message="The calendar is connected. You may close this page.",
                access_type="offline",
                prompt="consent",
            )
    except WSGITimeoutError:
        raise ConnectError(f"no consent came within {timeout_seconds:.0f} s") from None
    except OAuth2Error as error:
        raise ConnectError(f"the consent was not given ({error.error})") from None
    except Warning:
        # oauthlib raises this where other scopes were granted than requested.
        raise ConnectError("the consent does not cover calendars: tick them on Google's page") from None
    except (RequestException, OSError) as error:
        raise ConnectError(f"Google's token endpoint cannot be reached ({type(error).__name__})") from None
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        # oauthlib expects an object with the fields of RFC 6749.
        raise ConnectError(f"the answer of Google's token endpoint is not one ({type(error).__name__})") from None
    if not credentials.refresh_token:
        raise ConnectError("Google gave no refresh token: remove the app at myaccount.google.com and consent again")
    if not is_token(credentials.refresh_token) or not is_token(credentials.token):
        raise ConnectError("Google's token endpoint gave a token that holds more than printable ASCII")
    expires_at = credentials.expiry.replace(tzinfo=UTC) if credentials.expiry else None
    return OAuthToken(credentials.refresh_token, credentials.token, expires_at)


@contextmanager
def _plain_http_allowed(*addresses: str) -> Iterator[None]:
    """Let oauthlib use endpoints without TLS, where the installation configures such (a test double)."""
    name = "OAUTHLIB_INSECURE_TRANSPORT"
    before = os.environ.get(name)
    if any(address.startswith("http://") for address in addresses):
        os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _scopes(document: dict[str, Any]) -> frozenset[str]:
    """Return what was consented to, nothing where the file does not say it."""
    # google-auth writes a list, other programs the text of Google's answer (RFC 6749, 3.3).
    scopes = document.get("scopes") or document.get("scope")
    listed = scopes.split() if isinstance(scopes, str) else scopes
    return frozenset(filter(lambda scope: isinstance(scope, str), listed)) if isinstance(listed, list) else frozenset()


def _expiry(text: object) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(str(text))
        # google-auth writes UTC, with or without the Z.
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
