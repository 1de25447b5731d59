"""OAuth tokens as the sync handles them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

# Refreshed while there is still some time left, so that a token does not expire between two requests of one run.
REFRESH_MARGIN: Final = timedelta(minutes=5)
"""How long before its end an access token is refreshed."""

# Both tokens are printable ASCII (RFC 6749, appendix A.12 and A.17). Google's have 2048 characters at most
# (https://developers.google.com/identity/protocols/oauth2#size).
_TOKEN: Final = re.compile(r"[\x20-\x7e]{1,2048}")
# Google's live for an hour. A longer life than this is a mistake, and in the end no date.
_LIFETIME_MAX_SECONDS: Final = 366 * 86400


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """The tokens that an OAuth server issued for a user. Its `repr` shows none of them.

    Attributes:
        refresh_token: valid until the user or the server revokes it.
        access_token: None before the first refresh.
        expires_at: when the access token expires (aware), None where unknown.
    """

    refresh_token: str = field(repr=False)
    access_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = field(default=None)

    def usable_access_token(self, now: datetime) -> str | None:
        """Return the access token, or None when a refresh is due."""
        if self.access_token is None or self.expires_at is None or self.expires_at - now < REFRESH_MARGIN:
            return None
        return self.access_token if is_token(self.access_token) else None


def is_token(value: object) -> bool:
    """Return whether a value is text that can be an access or a refresh token, and so can stand in a header."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def lifetime(seconds: object) -> timedelta | None:
    """Return `expires_in` of a token response (RFC 6749, section 5.1) as a duration, None where it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # Infinity and NaN, which Python's JSON admits, compare false here, too.
    if not 0 < seconds <= _LIFETIME_MAX_SECONDS:
        return None
    return timedelta(seconds=seconds)


class ReconnectNeededError(Exception):
    """The user's consent was revoked or expired: the user must connect again. Not a failure of the job."""
