"""Google's OAuth 2.0 endpoints: refreshing access tokens (RFC 6749, section 6) and revoking consent (RFC 7009).

This does not use google-auth, whose refresh sleeps and retries by itself, ignoring SIGTERM and the run's retry budget,
and hides `Retry-After`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urljoin

from catchup_jobs.adapters.google.http import Http, retry_after_seconds
from catchup_jobs.domain.calendar.oauth import OAuthToken, ReconnectNeededError
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

DEFAULT_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
DEFAULT_AUTH_URI: Final = "https://accounts.google.com/o/oauth2/v2/auth"
SCOPES: Final = ("https://www.googleapis.com/auth/calendar.readonly",)

_OK: Final = 200
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_DEFAULT_LIFETIME_SECONDS: Final = 3600
# Refusals of our client, not of the user's consent (RFC 6749, section 5.2).
_CLIENT_REFUSED: Final = frozenset(
    {"invalid_client", "unauthorized_client", "deleted_client", "disabled_client", "unsupported_grant_type"}
)


class GoogleOAuth:
    """Refreshes tokens as one OAuth client."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        now: Callable[[], datetime],
        token_uri: str | None = None,
        http: Http | None = None,
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._token_uri = token_uri or DEFAULT_TOKEN_URI
        self._now = now
        self._http = http or Http()

    def refresh(self, token: OAuthToken) -> OAuthToken:
        """Return a token with a new access token; the refresh token stays unless the server sent a new one.

        Raises:
            ReconnectNeededError: `invalid_grant`, and nothing else.
            MisconfiguredError: Google refuses our client.
            TemporaryError: any other failure.
        """
        form = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "refresh_token": token.refresh_token,
        }
        response, answer = self._post(self._token_uri, form)
        if response.status != _OK:
            raise self._refusal(response, answer)
        access_token, lifetime = answer.get("access_token"), answer.get("expires_in", _DEFAULT_LIFETIME_SECONDS)
        if not isinstance(access_token, str) or not access_token or not isinstance(lifetime, int | float):
            raise TemporaryError("Google's answer to a token refresh holds no access token")
        renewed = answer.get("refresh_token")
        return OAuthToken(
            refresh_token=renewed if isinstance(renewed, str) and renewed else token.refresh_token,
            access_token=access_token,
            expires_at=self._now() + timedelta(seconds=lifetime),
        )

    def revoke(self, token: OAuthToken) -> bool:
        """Revoke the user's consent with all its tokens; return False if it had ended before.

        Raises:
            TemporaryError: Google did not confirm it.
        """
        # The revocation endpoint is next to the token endpoint.
        response, answer = self._post(urljoin(self._token_uri, "revoke"), {"token": token.refresh_token})
        if response.status == _OK:
            return True
        if answer.get("error") == "invalid_token":
            return False
        raise TemporaryError(f"the OAuth server answers {response.status}")

    def _post(self, uri: str, form: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        # A run makes one such request: the connection is not reused.
        response, content = self._http.request(
            uri,
            "POST",
            body=urlencode(form),
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "accept": "application/json",
                "connection": "close",
            },
        )
        return response, _document(content)

    def _refusal(self, response: Any, answer: dict[str, Any]) -> Exception:
        error = answer.get("error")
        if response.status == _TOO_MANY:
            wait = retry_after_seconds(response, now=self._now())
            return TemporaryError("the OAuth server's usage limit is reached", wait_seconds=wait)
        if response.status >= _SERVER_ERROR:
            return TemporaryError(f"the OAuth server answers {response.status}")
        if error == "invalid_grant":
            return ReconnectNeededError("the user's consent ended")
        if error in _CLIENT_REFUSED:
            return MisconfiguredError(
                f"Google refuses the OAuth client ({error}): check CATCHUP_GOOGLE_CLIENT_ID and _SECRET"
            )
        return TemporaryError(f"the OAuth server answers {response.status} without a known error")


def _document(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
