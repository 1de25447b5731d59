"""Google's error bodies."""

from __future__ import annotations

from typing import Any


class GoogleError(Exception):
    """An answer other than 2xx, as the Calendar API words it."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: dict[str, Any] = {
            "error": {
                "code": status,
                "message": message,
                "errors": [{"domain": domain, "reason": reason, "message": message}],
            }
        }


class OAuthError(Exception):
    """An answer of the token endpoint (RFC 6749, section 5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {"error": error, "error_description": description}


def bad_request(message: str) -> GoogleError:
    """400 for a parameter."""
    return GoogleError(400, "invalid", message)


def unauthorized() -> GoogleError:
    """401 for an access token that is unknown or expired."""
    challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    return GoogleError(401, "authError", "Invalid Credentials", headers={"WWW-Authenticate": challenge})


def not_found() -> GoogleError:
    """404 for a calendar that the user cannot see."""
    return GoogleError(404, "notFound", "Not Found")


def full_sync_required() -> GoogleError:
    """410 for a sync token that is no longer valid."""
    message = "Sync token is no longer valid, a full sync is required."
    return GoogleError(410, "fullSyncRequired", message, domain="calendar")
