"""OAuth tokens as the sync handles them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Refreshed while there is still some time left, so that a token does not expire between two requests of one run.
REFRESH_MARGIN = timedelta(minutes=5)


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
        return self.access_token


class ReconnectNeededError(Exception):
    """The user's consent was revoked or expired: the user must connect again. Not a failure of the job."""
