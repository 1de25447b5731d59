"""Google's OAuth 2.0 endpoints: authorization code with PKCE for installed apps, refresh, revoke."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from catchup_dev.doubles.google.errors import OAuthError, unauthorized
from catchup_dev.doubles.google.store import Store

Form = dict[str, str]

_CODE_SECONDS = 600


def authorize(store: Store, query: Form) -> str:
    """Consent for the user named by `login_hint` (or the only one) and return where the browser goes next.

    Raises:
        OAuthError: the request is one that Google would not redirect.
    """
    with store.lock:
        if query.get("client_id") not in store.state["clients"]:
            raise OAuthError(401, "invalid_client", "The OAuth client was not found.")
        if query.get("response_type") != "code" or "redirect_uri" not in query or "scope" not in query:
            raise OAuthError(400, "invalid_request", "Missing required parameter.")
        users = list(store.state["users"])
        email = query.get("login_hint") or (users[0] if len(users) == 1 else "")
        state = {"state": query["state"]} if "state" in query else {}
        if email not in store.state["users"]:
            return f"{query['redirect_uri']}?{urlencode({'error': 'access_denied'} | state)}"
        code = f"code-{secrets.token_urlsafe(16)}"
        store.state["codes"][code] = {
            "user": email,
            "client": query["client_id"],
            "redirect_uri": query["redirect_uri"],
            "challenge": query.get("code_challenge"),
            "method": query.get("code_challenge_method", "plain"),
            "scope": query["scope"],
            "offline": query.get("access_type") == "offline",
            "expires_at": time.time() + _CODE_SECONDS,
        }
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'scope': query['scope']} | state)}"


def token(store: Store, form: Form) -> dict[str, Any]:
    """Answer the token endpoint: `authorization_code` or `refresh_token`."""
    with store.lock:
        client = form.get("client_id", "")
        if client not in store.state["clients"]:
            raise OAuthError(401, "invalid_client", "The OAuth client was not found.")
        if form.get("client_secret") != store.state["clients"][client]:
            raise OAuthError(401, "invalid_client", "Unauthorized")
        if form.get("grant_type") == "authorization_code":
            return _exchange(store, form)
        if form.get("grant_type") == "refresh_token":
            return _refresh(store, form)
        raise OAuthError(400, "unsupported_grant_type", "Invalid grant_type.")


def revoke(store: Store, form: Form) -> None:
    """Take back a refresh token, or the grant behind an access token."""
    with store.lock:
        given = form.get("token", "")
        refresh = store.state["access_tokens"].get(given, {}).get("refresh_token", given)
        if refresh not in store.state["refresh_tokens"]:
            raise OAuthError(400, "invalid_token", "Token expired or revoked")
        drop_grant(store, refresh)


def drop_grant(store: Store, refresh_token: str) -> None:
    """Forget a refresh token and every access token that came from it."""
    store.state["refresh_tokens"].pop(refresh_token, None)
    access = store.state["access_tokens"]
    for name in [name for name, kept in access.items() if kept["refresh_token"] == refresh_token]:
        del access[name]


def grant(store: Store, email: str, *, client: str, scope: str) -> dict[str, Any]:
    """Consent on a user's behalf and return what the token endpoint would: access and refresh token."""
    with store.lock:
        store.user(email)
        refresh = f"1//{secrets.token_urlsafe(32)}"
        store.state["refresh_tokens"][refresh] = {"user": email, "client": client, "scope": scope}
        return _access_token(store, refresh) | {"refresh_token": refresh}


def user_of(store: Store, authorization: str | None) -> str:
    """Return whose access token a request carries.

    Raises:
        GoogleError: 401, unknown or expired.
    """
    scheme, _, given = (authorization or "").partition(" ")
    with store.lock:
        kept = store.state["access_tokens"].get(given)
        if scheme.lower() != "bearer" or kept is None or kept["expires_at"] <= time.time():
            raise unauthorized()
        return str(kept["user"])


def user_of_refresh_token(store: Store, form: Form) -> str | None:
    """Return whose refresh token a form holds, for the log and for faults."""
    with store.lock:
        kept = store.state["refresh_tokens"].get(form.get("refresh_token", ""))
        return str(kept["user"]) if kept else None


def _exchange(store: Store, form: Form) -> dict[str, Any]:
    code = store.state["codes"].pop(form.get("code", ""), None)
    if code is None or code["client"] != form["client_id"] or code["expires_at"] <= time.time():
        raise OAuthError(400, "invalid_grant", "Malformed auth code.")
    if code["redirect_uri"] != form.get("redirect_uri"):
        raise OAuthError(400, "redirect_uri_mismatch", "Bad Request")
    if code["challenge"] is not None and not _proves(form.get("code_verifier", ""), code):
        raise OAuthError(400, "invalid_grant", "Invalid code verifier.")
    answer = grant(store, code["user"], client=form["client_id"], scope=code["scope"])
    if not code["offline"]:
        del answer["refresh_token"]
    return answer


def _refresh(store: Store, form: Form) -> dict[str, Any]:
    given = form.get("refresh_token", "")
    kept = store.state["refresh_tokens"].get(given)
    if kept is None or kept["client"] != form["client_id"]:
        raise OAuthError(400, "invalid_grant", "Token has been expired or revoked.")
    if not store.state["settings"]["rotate_refresh_tokens"]:
        # Google's usual reply: no refresh_token in it, the old one stays good.
        return _access_token(store, given)
    drop_grant(store, given)
    return grant(store, kept["user"], client=kept["client"], scope=kept["scope"])


def _access_token(store: Store, refresh_token: str) -> dict[str, Any]:
    seconds = int(store.state["settings"]["access_token_seconds"])
    kept = store.state["refresh_tokens"][refresh_token]
    access = f"ya29.{secrets.token_urlsafe(32)}"
    store.state["access_tokens"][access] = {
        "user": kept["user"],
        "refresh_token": refresh_token,
        "expires_at": time.time() + seconds,
    }
    return {"access_token": access, "expires_in": seconds, "scope": kept["scope"], "token_type": "Bearer"}


def _proves(verifier: str, code: dict[str, Any]) -> bool:
    if code["method"] == "plain":
        return bool(verifier == code["challenge"])
    digest = hashlib.sha256(verifier.encode()).digest()
    return bool(base64.urlsafe_b64encode(digest).decode().rstrip("=") == code["challenge"])
