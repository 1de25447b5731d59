"""Google's OAuth 2.0 endpoints: refreshing access tokens (RFC 6749, section 6) and revoking consent (RFC 7009).

This does not use google-auth, whose refresh sleeps and retries by itself, ignoring SIGTERM and the run's retry budget,
and hides `Retry-After`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urljoin

from catchup_jobs.adapters.google.answers import json_object, meaning_everywhere, read_refusal
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.domain.calendar.access_token import OAuthToken, ReconnectNeededError, is_token, lifetime
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from catchup_jobs.adapters.google.answers import Refusal

DEFAULT_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
DEFAULT_AUTH_URI: Final = "https://accounts.google.com/o/oauth2/v2/auth"
_SCOPE: Final = "https://www.googleapis.com/auth/"
SCOPES: Final = (f"{_SCOPE}calendar.readonly",)
_EVERYTHING: Final = ("calendar", "calendar.readonly")
# Of which a consent needs one each: what Google's description of the API lists for `calendarList.list`, `events.list`.
NEEDED_SCOPES: Final = tuple(
    frozenset(_SCOPE + name for name in (*_EVERYTHING, *names))
    for names in (
        ("calendar.calendarlist", "calendar.calendarlist.readonly"),
        (
            "calendar.app.created",
            "calendar.events",
            "calendar.events.freebusy",
            "calendar.events.owned",
            "calendar.events.owned.readonly",
            "calendar.events.public.readonly",
            "calendar.events.readonly",
        ),
    )
)

_OK: Final = 200
_DEFAULT_LIFETIME_SECONDS: Final = 3600
"""The lifetime of an access token where Google names none."""
# RFC 6749, section 5.2; `access_denied` is Google's for an account that it has restricted; the others ask for the
# user's presence (OpenID Connect Core, section 3.1.2.6).
_CONSENT_ENDED: Final = frozenset(
    {"invalid_grant", "access_denied", "consent_required", "interaction_required", "login_required"}
)
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
            ReconnectNeededError: the consent ended, or a policy of the user's organisation forbids the access.
            DailyLimitError: see there.
            MisconfiguredError: Google refuses our client.
            TemporaryError: any other failure, or an answer that holds no usable token.
        """
        form = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "refresh_token": token.refresh_token,
        }
        response, content = self._post(self._token_uri, form)
        if response.status != _OK:
            raise self._refusal(self._read_refusal(response, content))
        answer = json_object(content)
        access_token, renewed = answer.get("access_token"), answer.get("refresh_token")
        lives = lifetime(answer.get("expires_in", _DEFAULT_LIFETIME_SECONDS))
        if not is_token(access_token) or not (renewed is None or is_token(renewed)) or lives is None:
            raise TemporaryError("Google's answer to a token refresh holds no usable token")
        return OAuthToken(
            refresh_token=renewed or token.refresh_token, access_token=access_token, expires_at=self._now() + lives
        )

    def revoke(self, token: OAuthToken) -> bool:
        """Revoke the user's consent with all its tokens; return False if it had ended before.

        Raises:
            TemporaryError: Google did not confirm it.
        """
        # The revocation endpoint is next to the token endpoint.
        response, content = self._post(urljoin(self._token_uri, "revoke"), {"token": token.refresh_token})
        if response.status == _OK:
            return True
        if "invalid_token" in self._read_refusal(response, content).reasons:
            return False
        raise TemporaryError(f"the OAuth server answers {response.status}")

    def _post(self, uri: str, form: dict[str, str]) -> tuple[Any, bytes]:
        # A run makes one such request: the connection is not reused.
        return self._http.request(
            uri,
            "POST",
            body=urlencode(form),
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "accept": "application/json",
                "connection": "close",
            },
        )

    def _read_refusal(self, response: Any, content: bytes) -> Refusal:
        return read_refusal(response.status, response, content, now=self._now())

    def _refusal(self, refusal: Refusal) -> Exception:
        known = meaning_everywhere(refusal)
        if known is not None:
            return known
        if refusal.reasons & _CONSENT_ENDED:
            return ReconnectNeededError("the user's consent ended")
        refused = sorted(refusal.reasons & _CLIENT_REFUSED)
        if refused:
            return MisconfiguredError(
                f"Google refuses the OAuth client ({refused[0]}): check CATCHUP_GOOGLE_CLIENT_ID and _SECRET"
            )
        return TemporaryError(f"the OAuth server answers {refusal.status} without a known error")
